"""Channels that follow their certificate: when its files change, calls go over a new connection that presents the new one.

For processes that call others for as long as they live. Files are looked at once a second, when there is a call; a bad one
leaves the connection as it is and is said once.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final, Self, cast

import grpc

from trivium.core.errors import BadSetting
from trivium.rpc.channels import channel
from trivium.rpc.tls import read_dial, read_tls

_LOG = logging.getLogger(__name__)
_LOOK_S: Final = 1.0


def renewed_channel(address: str, environ: Mapping[str, str]) -> grpc.aio.Channel:
    """A channel to `host:port` by the TLS and key settings in `environ`. BadSetting when they are wrong now."""
    tls, dial = read_tls(environ), read_dial(environ)
    if dial.credentials is None:
        return channel(address, dial)
    return cast(grpc.aio.Channel, _Renewed(address, environ, tls.stamp()))


class _Renewed:
    """What stubs need of a channel. Connections before a renewal are kept to the end, for the calls that are on them."""

    def __init__(self, address: str, environ: Mapping[str, str], stamp: tuple[int, ...]) -> None:
        self._address = address
        self._environ = environ
        self._tls = read_tls(environ)
        self._stamp = stamp
        self._looked = time.monotonic()
        self._open = [channel(address, read_dial(environ))]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """See grpc.aio.Channel."""
        await asyncio.gather(*(opened.close(grace) for opened in self._open))

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
        on = self._open[-1]
        method = getattr(on, kind)(*args, **kwargs)

        def call(*called: Any, **how: Any) -> Any:
            nonlocal on, method
            self._look()
            if on is not self._open[-1]:
                on = self._open[-1]
                method = getattr(on, kind)(*args, **kwargs)
            return method(*called, **how)

        return call

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        stamp = self._tls.stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._open.append(channel(self._address, read_dial(self._environ)))
        except BadSetting as error:
            _LOG.error("%s is called with the old certificate: %s", self._address, error)
            return
        _LOG.warning("%s is called with the new certificate", self._address)
