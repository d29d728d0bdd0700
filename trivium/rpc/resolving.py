"""Instances that came since: gRPC asks for the addresses of a name when it connects and when a connection ends, not between.

    resolving = Resolving(("tiers.example:7301",))
    if await resolving.grown():
        ...  # open new connections: they know the new instance

An age of connections on the servers' side finds them too, but a call that begins just as one ends can be lost, and
nothing is retried here. An instance that goes is noticed by gRPC itself.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import grpc

_LOG = logging.getLogger(__name__)
EVERY_S: Final = 5.0
"""How often names are asked for: a new instance has its share within it."""
GRACE_S: Final = 150.0
"""Calls on the connections of before go on for so long: an attempt takes 120 s at most."""
_ASK_S: Final = 3.0
_ROUNDS: Final = 3

Resolve = Callable[[str], Awaitable[frozenset[str]]]
"""`host:port` to addresses; none when the name is not known now."""


async def resolve(address: str) -> frozenset[str]:
    """By the machine's own resolver. A target of gRPC's with a scheme (ipv4:, unix:, dns:) has no name that it knows."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or host.split(":")[0] in ("ipv4", "ipv6", "unix", "dns"):
        return frozenset()
    try:
        async with asyncio.timeout(_ASK_S):
            found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return frozenset()
    return frozenset(str(where[0]) for *_, where in found)


class Resolving:
    """Names, and the addresses that they had lately."""

    def __init__(self, names: Iterable[str], resolve: Resolve = resolve) -> None:
        self._seen: dict[str, dict[str, int]] = {name: {} for name in names}
        self._round = 0
        self._resolve = resolve

    async def grown(self) -> bool:
        """Whether a name has an address that the last answers had not; the first answer is never news. Several count,
        because some servers name some of many addresses at a time."""
        self._round += 1
        names = tuple(self._seen)
        found = await asyncio.gather(*map(self._resolve, names))
        # All of them, news or not: each is remembered.
        news = [self._news(name, addresses) for name, addresses in zip(names, found, strict=True)]
        return any(news)

    def _news(self, name: str, found: frozenset[str]) -> bool:
        seen = self._seen[name]
        news = len(found - seen.keys()) if seen else 0
        seen.update(dict.fromkeys(found, self._round))
        for address in [address for address, last in seen.items() if self._round - last >= _ROUNDS]:
            del seen[address]
        if news:
            _LOG.info("%s has %d new addresses", name, news)
        return news > 0


class Retired:
    """Channels that get no new calls: each is closed when its last call has ended, or after GRACE_S."""

    def __init__(self) -> None:
        self._closing: dict[asyncio.Task[None], grpc.aio.Channel] = {}

    def add(self, channel: grpc.aio.Channel) -> None:
        """From now on."""
        task = asyncio.get_running_loop().create_task(channel.close(GRACE_S), name="channel-retired")
        self._closing[task] = channel
        task.add_done_callback(lambda done: self._closing.pop(done, None))

    async def close(self) -> None:
        """All of them now; calls that are on them are cancelled."""
        closing = dict(self._closing)
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)
        await asyncio.gather(*(channel.close(None) for channel in closing.values()))
