"""Reads and counts for as long as the process lives. The broker may go and come back, and so may the database."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from services.ledger.reading import Lost, Reader, connected
from trivium.core.errors import Unreachable
from trivium.kafka.record import Delivered
from trivium.ledger.database import reason_of
from trivium.ledger.facts import TOPICS
from trivium.ledger.store import OutOfStep, Place, Store
from trivium.settings import KafkaSettings
from trivium.telemetry.metrics import Metrics

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
_PAUSE_S: Final = 0.5
_MOST_PAUSE_S: Final = 5.0
_SAY_EVERY_S: Final = 30.0
_SAID_MOST: Final = 20
"""Refused records that are named in the log; the table ledger_refused names all."""


@dataclass(frozen=True, slots=True)
class Filling:
    """What it stands on."""

    store: Store
    kafka: KafkaSettings
    instance: str
    metrics: Metrics
    stopping: asyncio.Event
    batch: int

    async def run(self) -> None:
        """Until told to stop."""
        while not self.stopping.is_set():
            try:
                async with connected(self.kafka, self.instance, TOPICS) as consumer:
                    await self._follow(Reader(consumer, self.batch, self._lost))
            except (Unreachable, OutOfStep, TimeoutError) as error:
                _LOG.warning("%s; connecting again", error)
                await pause(self.stopping, _PAUSE_S)

    async def until_now(self) -> int:
        """Once, to the ends of the topics as they are at the start. Returns how many records were counted."""
        count = 0
        async with connected(self.kafka, self.instance, TOPICS) as consumer:
            reader = Reader(consumer, self.batch, self._lost)
            await reader.stand(await asyncio.to_thread(self.store.read_so_far))
            while not self.stopping.is_set() and await self._unread(reader):
                count += await self._step(reader)
        return count

    async def _unread(self, reader: Reader) -> bool:
        read = await asyncio.to_thread(self.store.read_so_far)
        return any(end > (read[place].next_offset if place in read else 0) for place, end in reader.ends.items() if end)

    async def _follow(self, reader: Reader) -> None:
        read = await self._asked(self.store.read_so_far)
        if read is None:
            return
        await reader.stand(read)
        while not self.stopping.is_set():
            await self._step(reader)
            self.metrics.ledger(behind=reader.behind())

    async def _step(self, reader: Reader) -> int:
        records = await reader.next_batch()
        if reader.passed_over:
            passed, reader.passed_over = reader.passed_over, {}
            await self._asked(lambda: self.store.pass_over(passed))
        if reader.anew:
            anew, reader.anew = reader.anew, set()
            await self._asked(lambda: self.store.reset(anew))
        if records:
            await self._count(records, reader.since)
        else:
            # So that what was removed is noticed before somebody asks for a report.
            await self._asked(self.store.look)
        return len(records)

    async def _count(self, records: Sequence[Delivered], since: Mapping[Place, int]) -> None:
        done = await self._asked(lambda: self.store.apply(records, since))
        if done is None:
            return
        for topic in {record.topic for record in records}:
            refused = sum(record.topic == topic for record, _ in done.refused)
            self.metrics.ledger_records(topic, "refused", refused)
            self.metrics.ledger_records(topic, "counted", sum(record.topic == topic for record in records) - refused)
        for record, reason in done.refused[:_SAID_MOST]:
            _LOG.warning("%s/%d@%d is not counted: %s", record.topic, record.partition, record.offset, reason)

    async def _asked(self, question: Callable[[], T]) -> T | None:
        """Ask the database for as long as it takes; None when told to stop before it answered."""
        pause_s, said, began = _PAUSE_S, 0.0, time.monotonic()
        while True:
            try:
                if said and await asyncio.to_thread(self.store.prepare):
                    raise OutOfStep("the ledger's database came back empty: the topics are read from their beginning")
                answer = await asyncio.to_thread(question)
            except DBAPIError as error:
                if not away(error):
                    raise
                self.metrics.ledger(up=False)
                if time.monotonic() - said > _SAY_EVERY_S:
                    said = time.monotonic()
                    _LOG.warning("the ledger's database is away (%s); waiting for it, the topics keep what comes", reason_of(error))
                await pause(self.stopping, pause_s)
                pause_s = min(pause_s * 2, _MOST_PAUSE_S)
                if self.stopping.is_set():
                    return None
            else:
                if said:
                    _LOG.warning("the ledger's database is back after %.0f s: going on", time.monotonic() - began)
                self.metrics.ledger(up=True)
                return answer

    def _lost(self, lost: Lost) -> None:
        self.metrics.ledger_records(lost.topic, "lost", lost.count)


def away(error: DBAPIError) -> bool:
    """Whether waiting may mend it: the connection, a lock, a full disk; not a statement that is wrong."""
    return error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Wait, but not longer than until told to stop."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
