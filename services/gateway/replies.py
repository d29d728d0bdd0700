"""Terminals that other parts of the mesh wrote: followed as they come, and looked up in the log when they came before."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final, Self

from trivium.codec import decode_terminal
from trivium.core.errors import Unreachable
from trivium.core.outcome import Terminal
from trivium.core.partition import home
from trivium.core.request import Identity
from trivium.kafka.reader import ReaderOptions, Tail, end_offsets, read_tail
from trivium.kafka.record import Delivered
from trivium.kafka.topics import DAY_MS, HEADER_CONTENT_TYPE, HEADER_REPLAY

_LOG = logging.getLogger(__name__)

_KEPT: Final = 10_000
_KEPT_BYTES: Final = 64 * 1024 * 1024
_SCANS: Final = 2
_BACK_MS: Final = 3_600_000
_START_MS: Final = 8_000

Key = tuple[str, bytes, bytes]
"""Topic, tenant/id, replay."""


class Replies:
    """The newest terminals of the reply topics, and who waits for which.

    Bounded: 10,000 terminals and 64 MiB; what is older, or was written before the topic was followed, is looked up in
    the log: the identity's partition, from an hour ago or from a given instant on.
    """

    def __init__(self, bootstrap: str, partitions: int, options: ReaderOptions) -> None:
        self._bootstrap = bootstrap
        self._partitions = partitions
        self._options = options
        self._tails: dict[str, Tail] = {}
        self._known: OrderedDict[Key, Delivered] = OrderedDict()
        self._bytes = 0
        self._waiting: dict[Key, set[asyncio.Future[Delivered]]] = {}
        self._scans = asyncio.Semaphore(_SCANS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def follow(self, topic: str) -> None:
        """See every terminal of the topic from now on. Topics that nobody asks for are not read: that costs a request
        to the broker every few ms. Raises Unreachable."""
        tail = self._tails.get(topic)
        if tail is None:
            tail = self._tails[topic] = Tail(self._bootstrap, topic, self._take, False, self._options)
            tail.start()
        if not tail.caught_up.is_set() and not await tail.wait_caught_up(_START_MS):
            raise Unreachable(f"the reply topic {topic} cannot be read from the broker at {self._bootstrap}")

    async def stop(self) -> None:
        """Stop following."""
        await asyncio.gather(*(tail.stop() for tail in self._tails.values()))

    async def search(self, topic: str, identity: Identity, since_ms: int) -> Terminal | None:
        """The first terminal of this identity since an instant that is in the log now. Raises Unreachable when that could not
        be found out. Its cost is the traffic of one partition from then to the terminal."""
        known = self.known(topic, identity, since_ms)
        if known is not None:
            return known
        async with self._scans:
            found = await self._scan(_key(topic, identity), identity, since_ms)
        return None if found is None else _terminal(found)

    def known(self, topic: str, identity: Identity, since_ms: int = 0) -> Terminal | None:
        """The terminal, if it was seen and is not older than an hour before `since_ms`: ids may be used again after a day."""
        found = self._known.get(_key(topic, identity))
        return _terminal(found) if found is not None and found.timestamp_ms >= since_ms - _BACK_MS else None

    async def wait(self, topic: str, identity: Identity, look_back_after_s: float = 0.0, since_ms: int = 0) -> Terminal:
        """The first terminal of this identity in this topic, whenever it comes; the caller bounds the wait.

        `look_back_after_s`: how long a new one is waited for before the log is searched for an old one, from an hour before
        `since_ms` (0: now) on.
        """
        key = _key(topic, identity)
        known = self.known(topic, identity, since_ms)
        if known is not None:
            return known
        await self.follow(topic)
        future: asyncio.Future[Delivered] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(future)
        try:
            done, _ = await asyncio.wait((future,), timeout=look_back_after_s)
            if not done:
                found = await self._look_back(key, identity, future, since_ms)
                if found is not None:
                    # The log's first one, though the topic may only be followed since a repetition of it.
                    self._keep(key, found)
                    return _terminal(found)
            return _terminal(await future)
        finally:
            self._leave(key, future)

    def _leave(self, key: Key, future: asyncio.Future[Delivered]) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.discard(future)
            if not waiting:
                del self._waiting[key]

    async def _look_back(
        self, key: Key, identity: Identity, future: asyncio.Future[Delivered], since_ms: int
    ) -> Delivered | None:
        async with self._scans:
            if future.done():
                return None
            try:
                return await self._scan(key, identity, (since_ms or int(time.time() * 1000)) - _BACK_MS, future)
            except Unreachable as error:
                _LOG.warning("older replies could not be searched: %s", error)
        return None

    async def _scan(
        self, key: Key, identity: Identity, since_ms: int, future: asyncio.Future[Delivered] | None = None
    ) -> Delivered | None:
        """Gives up when the future ends."""
        topic, partition = key[0], home(identity.key, self._partitions)
        ends = await end_offsets(self._bootstrap, topic, self._options)
        until = {partition: ends[partition]} if partition in ends else {}
        async with aclosing(_reading(self._bootstrap, topic, since_ms, until, self._options)) as records:
            async for record in records:
                if future is not None and future.done():
                    return None
                if _key_of(record) == key:
                    return record
        return None

    def _take(self, record: Delivered) -> None:
        key = _key_of(record)
        known = self._known.get(key)
        if known is not None and record.timestamp_ms - known.timestamp_ms < DAY_MS:
            return
        self._keep(key, record)
        for future in self._waiting.get(key, ()):
            if not future.done():
                future.set_result(record)

    def _keep(self, key: Key, record: Delivered) -> None:
        replaced = self._known.pop(key, None)
        self._bytes += len(record.value or b"") - (len(replaced.value or b"") if replaced else 0)
        self._known[key] = record
        while len(self._known) > _KEPT or self._bytes > _KEPT_BYTES:
            _, old = self._known.popitem(last=False)
            self._bytes -= len(old.value or b"")


async def _reading(
    bootstrap: str, topic: str, since_ms: int, until: Mapping[int, int], options: ReaderOptions
) -> AsyncGenerator[Delivered]:
    async for record in read_tail(bootstrap, topic, since_ms, until, options):
        yield record


def _key(topic: str, identity: Identity) -> Key:
    return topic, identity.key.encode(), b"%d" % identity.replay


def _key_of(record: Delivered) -> Key:
    return record.topic, record.key or b"", record.header(HEADER_REPLAY) or b"0"


def _terminal(record: Delivered) -> Terminal:
    kind = record.header(HEADER_CONTENT_TYPE)
    return decode_terminal(record.value or b"", kind.decode() if kind else None)
