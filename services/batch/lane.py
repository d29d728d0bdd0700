"""The lane of a tier's patient work, read by whoever owns it: first what is left in the log, then what comes.

An offset is no state here: an entry stands in the log until it is emptied, and a new owner reads all of them. The group only says
who is the owner."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from services.batch.book import Book
from trivium.kafka.claim import Claim, GroupOptions, Partition
from trivium.kafka.group import GroupConsumer
from trivium.kafka.outbox import Outbox
from trivium.kafka.reader import ReaderOptions, end_offsets, read_tail
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import BATCHES, DAY_MS

_LOG = logging.getLogger(__name__)
_KEPT_MS: Final = 2 * DAY_MS
_TICK_S: Final = 0.2


Tell = Callable[[int, int], None]
"""Takes how many requests are held, and how many batches are under way."""


class Owner(Protocol):
    """What works on a lane (services/batch/keeper.py, services/batch/offpeak.py)."""

    book: Book
    lost: bool

    def recall(self, record: Delivered) -> None:
        """A record of the lane or of the batches, as it stands in the log at the start."""

    async def opened(self) -> None:
        """All of them were given."""

    async def take(self, record: Delivered) -> None:
        """A record that came since."""

    async def pull_back(self) -> int:
        """What may wait no longer is ended."""

    async def step(self) -> None:
        """Everything else that is due."""


class Reading:
    """Owns the lane while the group gives it, and drives its owner. `async with` it; then watch `failed`."""

    def __init__(
        self, bootstrap: str, topic: str, group: str, make: Callable[[], Owner], options: GroupOptions, reader: ReaderOptions,
        batches: bool, tell: Tell,
    ) -> None:  # fmt: skip
        """`make`: an owner who knows nothing yet. `batches`: he has batches, too. `tell`: is told how much is held."""
        self._bootstrap, self._topic, self._make, self._reader, self._tell = bootstrap, topic, make, reader, tell
        self._batches = batches
        self._owner: Owner | None = None
        self._claims: deque[Claim] = deque()
        self._came = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Ends with an exception when the lane cannot be worked on."""
        self._consumer = GroupConsumer(
            bootstrap, group, (topic,), self._claimed, options, on_assigned=self._assigned, on_lost=self._lost
        )

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.failed.add_done_callback(self._over)
        for work, name in ((self._taking(), "taking"), (self._pulling(), "pulling"), (self._stepping(), "stepping")):
            task = asyncio.create_task(work, name=f"batch-{name}")
            task.add_done_callback(self._over)
            self._tasks.append(task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._owner is not None:
            self._owner.lost = True
        await self._consumer.stop()
        if not self.failed.done():
            self.failed.cancel()

    def _over(self, ended: asyncio.Future[None]) -> None:
        if not ended.cancelled() and (error := ended.exception()) is not None and not self.failed.done():
            self.failed.set_exception(error)

    # --- whose it is -------------------------------------------------------------------------------------------------

    async def _assigned(self, new: Mapping[Partition, int]) -> None:
        starts = {number: start for (_, number), start in new.items()}
        if 0 not in starts:
            return
        owner = self._make()
        since_ms = time.time_ns() // 1_000_000 - _KEPT_MS
        if self._batches:
            ends = await end_offsets(self._bootstrap, BATCHES, self._reader)
            async for record in read_tail(self._bootstrap, BATCHES, since_ms, ends, self._reader):
                owner.recall(record)
        count = 0
        async for record in read_tail(self._bootstrap, self._topic, since_ms, {0: starts[0]}, self._reader):
            owner.recall(record)
            count += 1
            if count % 500 == 0:
                await asyncio.sleep(0)
        await owner.opened()
        _LOG.info("the lane %s is ours; %d records were read again", self._topic, count)
        self._owner = owner
        self._came.set()

    def _lost(self, _partitions: Sequence[Partition]) -> None:
        if self._owner is not None:
            _LOG.info("the lane %s went to another process", self._topic)
            self._owner.lost = True
        self._owner = None
        self._claims.clear()

    def _claimed(self, claim: Claim) -> None:
        self._claims.append(claim)
        self._came.set()

    # --- work --------------------------------------------------------------------------------------------------------

    async def _taking(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            while self._claims and self._owner is not None:
                claim = self._claims.popleft()
                await self._owner.take(claim.record)
                # It stands in the log until it is emptied: that it was seen is enough.
                claim.ack()

    async def _pulling(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            if self._owner is not None:
                await self._owner.pull_back()

    async def _stepping(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            if self._owner is not None:
                await self._owner.step()
                self._tell(len(self._owner.book.items), len(self._owner.book.batches))


def writing(outbox: Outbox) -> Callable[[Sequence[Sequence[Record]]], Awaitable[None]]:
    """Puts stages of records and waits until the last is confirmed."""

    async def write(stages: Sequence[Sequence[Record]]) -> None:
        some = [stage for stage in stages if stage]
        if not some:
            return
        landed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done() -> None:
            if not landed.done():
                landed.set_result(None)

        outbox.put(some, done)
        await asyncio.wait((landed, outbox.failed), return_when=asyncio.FIRST_COMPLETED)
        if not landed.done():
            outbox.failed.result()
        await landed

    return write
