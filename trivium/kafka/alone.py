"""Handing out the records over which members of a group died, one by one, so that the one to blame is named.

    nothing in hand -> name a record beside the committed offset -> hand it out -> ... -> name nobody -> what was taken goes on

What was taken (`Careful.alone`) stands in the log by then, and what kills later is known from there: in a tier, `started`. Nothing
of it goes on while a record is named, so that whatever ends the process in that time was that record.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final

from aiokafka import ConsumerRecord

from trivium.kafka.claim import Careful, Claim, Lane
from trivium.kafka.reader import delivered
from trivium.kafka.suspects import KILLED, NOBODY

Commit = Callable[[Collection[Lane]], Awaitable[bool]]
"""Commits these lanes, moved or not; False when it did not happen."""

_LOG = logging.getLogger(__name__)
_PAUSE_S: Final = 0.1


def claim_of(record: ConsumerRecord, lane: Lane) -> Claim:
    """The claim on a fetched record. One that was found to kill says so, and nobody looks into it."""
    found = delivered(record)
    return Claim(replace(found, unreadable=KILLED) if record.offset in lane.note.out else found, lane)


def left_alive(lanes: Iterable[Lane]) -> Collection[Lane]:
    """Those of which members died before, with notes of a member that lives to see them go."""
    noted = [lane for lane in lanes if lane.note.starts]
    for lane in noted:
        lane.note = lane.note.alive()
    return noted


class OneByOne:
    """The suspects of one member."""

    def __init__(self, careful: Careful, commit: Commit) -> None:
        self._careful = careful
        self._commit = commit
        self._task: asyncio.Task[Sequence[ConsumerRecord]] | None = None
        self._named: Lane | None = None
        self._ending = asyncio.Lock()

    async def hand_out(self, lane: Lane, records: Sequence[ConsumerRecord]) -> Sequence[ConsumerRecord]:
        """Hand out the suspects among these; returns the others, or nothing when `end` was called meanwhile."""
        _LOG.warning("%s-%d: members died over what waits here: it is handed out one by one", lane.partition.topic, lane.partition.partition)
        task = self._task = asyncio.create_task(self._hand_out(lane, records), name="alone")
        try:
            await asyncio.wait((task,))
        finally:
            await self.end()
        return () if task.cancelled() else task.result()

    async def end(self) -> None:
        """Name nobody any more: partitions go, or this member does, and what was taken may go on."""
        async with self._ending:
            task, self._task = self._task, None
            if task is not None and task.cancel():
                await asyncio.gather(task, return_exceptions=True)
            lane, self._named = self._named, None
            if lane is not None:
                lane.note = lane.note.naming(NOBODY, NOBODY)
                await self._commit((lane,))

    async def _hand_out(self, lane: Lane, records: Sequence[ConsumerRecord]) -> Sequence[ConsumerRecord]:
        await self._careful.finished()
        left = list(records)
        while left and (offset := left[0].offset) < lane.alone_until:
            await self._name(lane, offset)
            lane.floor.delivered(offset)
            if self._careful.alone(claim_of(left[0], lane)):
                del left[0]
                continue
            lane.floor.withdrawn(offset)
            await self._go_on(lane)
            await asyncio.sleep(_PAUSE_S)
        await self._go_on(lane)
        return left

    async def _go_on(self, lane: Lane) -> None:
        await self._name(lane, NOBODY)
        self._named = None
        await self._careful.finished()

    async def _name(self, lane: Lane, offset: int) -> None:
        self._named = lane
        lane.note = lane.note.naming(offset, offset + 1)
        while not await self._commit((lane,)):  # noqa: ASYNC110 (a broker that is away tells nobody when it is back)
            await asyncio.sleep(_PAUSE_S)
