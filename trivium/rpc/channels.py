"""Channels to the other parts of the mesh, and the options that both sides must agree on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self, cast

import grpc

MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""Largest message that is taken or sent; a larger request is told so."""
HARD_LIMIT_BYTES: Final = 4 * MAX_MESSAGE_BYTES
"""Above it gRPC itself refuses, in its own words."""
KEEPALIVE_MS: Final = 20_000
"""A client pings so often. The server allows pings at half of it: otherwise GOAWAY, too_many_pings."""

Options = tuple[tuple[str, int | str], ...]

CHANNEL_OPTIONS: Final[Options] = (
    ("grpc.max_send_message_length", HARD_LIMIT_BYTES),
    ("grpc.max_receive_message_length", HARD_LIMIT_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # How long one try to connect may take, handshake included; not how long is waited after a refusal.
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Nothing paid is redone behind our back.
    ("grpc.enable_retries", 0),
    # A name that has several addresses is several instances: calls take turns. Who came since is found when a connection
    # ends, and by trivium/rpc/resolving.py.
    ("grpc.lb_policy_name", "round_robin"),
    # Each channel has a connection of its own, so that several reach several workers of one port.
    ("grpc.use_local_subchannel_pool", 1),
)

SERVER_OPTIONS: Final[Options] = (
    ("grpc.max_send_message_length", HARD_LIMIT_BYTES),
    ("grpc.max_receive_message_length", HARD_LIMIT_BYTES),
    ("grpc.keepalive_time_ms", 2 * KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
    ("grpc.http2.max_pings_without_data", 0),
)


@dataclass(frozen=True, slots=True)
class Dial:
    """How this process calls others. `trivium.rpc.tls.read_dial` reads it from the environment."""

    credentials: grpc.ChannelCredentials | None = None
    """Of TLS; None is plain text."""
    key: str = field(default="", repr=False)
    """API key; empty: none is presented."""
    ends_ms: int | None = None
    """Epoch ms when the certificate that is presented expires; 0: none is presented; None: nobody said."""


PLAIN: Final = Dial()


def channel(address: str, dial: Dial = PLAIN) -> grpc.aio.Channel:
    """A channel to `host:port`. Connects when first used; a peer that comes back is found within two seconds.

    Belongs to the event loop it is made in. The owner closes it.
    """
    if dial.credentials is not None:
        opened = grpc.aio.secure_channel(address, dial.credentials, options=CHANNEL_OPTIONS)
    else:
        opened = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
    return cast(grpc.aio.Channel, Keyed(opened, dial.key)) if dial.key else opened


class Keyed:
    """A channel whose every call presents an API key. Not an interceptor: those cost a task a call."""

    def __init__(self, opened: grpc.aio.Channel, key: str) -> None:
        self._channel = opened
        self._metadata = (("authorization", f"Bearer {key}"),)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close(None)

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._presenting(self._channel.unary_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._presenting(self._channel.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._presenting(self._channel.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._presenting(self._channel.stream_stream(*args, **kwargs))

    def _presenting(self, call: Any) -> Any:
        mine = self._metadata

        def presented(request: Any = None, *, metadata: Any = None, **kwargs: Any) -> Any:
            return call(request, metadata=mine if metadata is None else (*mine, *metadata), **kwargs)

        return presented


def stub(kind: Callable[[grpc.aio.Channel], Any], channel: grpc.aio.Channel) -> Any:
    """`stub(TierStub, channel)`: generated stubs have no types, so their methods are Any."""
    return kind(channel)
