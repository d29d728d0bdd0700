"""Channels of processes that call others for as long as they live: they follow their certificate and their name.

When the certificate's files change, or the name has got an address that it had not, calls go over new connections. Files are
looked at once a second and names asked for every five, when there is a call; a bad file leaves the connections as they
are and is said once. Those of before are closed when their calls have ended.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final, Self, cast

import grpc

from trivium.core.errors import BadSetting
from trivium.rpc.channels import channel
from trivium.rpc.resolving import EVERY_S, Resolve, Resolving, Retired, resolve
from trivium.rpc.tls import read_dial, read_tls

_LOG = logging.getLogger(__name__)
_LOOK_S: Final = 1.0


def renewed_channel(address: str, environ: Mapping[str, str], resolve: Resolve = resolve) -> grpc.aio.Channel:
    """A channel to `host:port` by the TLS and key settings in `environ`. BadSetting when they are wrong now."""
    return cast(grpc.aio.Channel, _Renewed(address, environ, resolve))


class _Renewed:
    """What stubs need of a channel."""

    def __init__(self, address: str, environ: Mapping[str, str], resolve: Resolve) -> None:
        self._address = address
        self._environ = environ
        self._tls = read_tls(environ)
        self._stamp = self._tls.stamp()
        self._looked = self._asked = float("-inf")
        self._resolving = Resolving((address,), resolve)
        self._asking: asyncio.Task[None] | None = None
        self._retired = Retired()
        self._current = channel(address, read_dial(environ))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """See grpc.aio.Channel."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await asyncio.gather(self._current.close(grace), self._retired.close())

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._following("unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._following("unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._following("stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._following("stream_stream", args, kwargs)

    def _following(self, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        on = self._current
        method = getattr(on, kind)(*args, **kwargs)

        def call(*called: Any, **how: Any) -> Any:
            nonlocal on, method
            self._look()
            if on is not self._current:
                on = self._current
                method = getattr(on, kind)(*args, **kwargs)
            return method(*called, **how)

        return call

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        if now - self._asked >= EVERY_S and self._asking is None:
            self._asked = now
            self._asking = asyncio.get_running_loop().create_task(self._ask(), name="channel-name")
        stamp = self._tls.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self._redial("the new certificate")

    async def _ask(self) -> None:
        try:
            if await self._resolving.grown():
                self._redial("new connections: it has more instances")
        finally:
            self._asking = None

    def _redial(self, why: str) -> None:
        try:
            made = channel(self._address, read_dial(self._environ))
        except BadSetting as error:
            _LOG.error("%s is called with the old certificate: %s", self._address, error)
            return
        self._retired.add(self._current)
        self._current = made
        _LOG.warning("%s is called with %s", self._address, why)
