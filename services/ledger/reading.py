"""The topics of the ledger, read to their ends and on, from where the database says that reading stopped.

No consumer group: how far was read stands in the database, in the transaction of what was counted. The record before that
place is read again and compared: a topic that was deleted and made anew is read from its beginning.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from trivium.core.errors import Unreachable
from trivium.kafka.guard import guard
from trivium.kafka.reader import delivered
from trivium.kafka.record import Delivered
from trivium.kafka.security import arguments, unreachable
from trivium.ledger.store import Place, Read
from trivium.settings import KafkaSettings

_LOG = logging.getLogger(__name__)
_POLL_MS: Final = 200
_REQUEST_MS: Final = 10_000
_STOP_S: Final = 5
_GONE: Final = (KafkaError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Lost:
    """Records that were deleted before they were counted."""

    topic: str
    count: int


class Reader:
    """One connection. `next_batch` until it raises Unreachable; then open a new one."""

    def __init__(
        self, consumer: AIOKafkaConsumer, most: int, on_lost: Callable[[Lost], None]
    ) -> None:
        self._consumer = consumer
        self._most = most
        self._on_lost = on_lost
        self._unproven: dict[TopicPartition, Read] = {}
        self._next: dict[TopicPartition, int] = {}
        self.since: dict[Place, int] = {}
        """Where the partitions of the last batch stood before it."""
        self.passed_over: dict[Place, int] = {}
        """Below these offsets there is nothing (any more): the database must know before the next batch."""
        self.anew: set[Place] = set()
        """Partitions that were made anew: what the database knows of them must be forgotten before the next batch."""
        self.ends: dict[Place, int] = {}
        """How far the partitions went when reading began."""

    async def stand(self, read: Mapping[Place, Read]) -> None:
        """Go to where reading goes on."""
        consumer, partitions = self._consumer, self._consumer.assignment()
        async with asyncio.timeout(_REQUEST_MS / 1000):
            first, last = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        self.ends = {(p.topic, p.partition): end for p, end in last.items()}
        anew = []
        for partition in partitions:
            known = read.get((partition.topic, partition.partition))
            start = first[partition]
            if known is not None and known.next_offset > last[partition]:
                anew.append(partition)
            elif known is not None and known.next_offset - 1 >= start and known.last_ms:
                start = known.next_offset - 1
                self._unproven[partition] = known
            elif known is not None and known.next_offset >= start:
                start = known.next_offset
            else:
                self._missed(partition, known.next_offset if known is not None else start, start)
            self._next[partition] = start
            consumer.seek(partition, start)
        if anew:
            self._read_anew(anew)

    async def next_batch(self) -> list[Delivered]:
        """What has come, in order inside each partition; empty after a moment without any."""
        self.since = {}
        try:
            batch = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=self._most)
        except OffsetOutOfRangeError as error:
            await self._start_over(error.args[0])
            return []
        except KafkaError as error:
            if error.retriable:
                _LOG.warning("the broker gives nothing for the moment: %r", error)
                await asyncio.sleep(_POLL_MS / 1000)
                return []
            raise Unreachable(f"the broker stopped answering: {error!r}") from error
        return [record for partition, records in batch.items() for record in self._taken(partition, records)]

    def behind(self) -> int:
        """Records that were not given yet, as far as the last fetch knew."""
        ends = ((partition, self._consumer.highwater(partition)) for partition in self._next)
        return sum(max(0, end - self._next[partition]) for partition, end in ends if end is not None)

    def _taken(self, partition: TopicPartition, records: Sequence[ConsumerRecord]) -> Sequence[Delivered]:
        known = self._unproven.pop(partition, None)
        if known is not None:
            before = records[0]
            if before.offset != known.next_offset - 1 or before.timestamp != known.last_ms:
                self._read_anew([partition])
                return ()
            records = records[1:]
        if not records:
            return ()
        self.since[partition.topic, partition.partition] = self._next[partition] if known is None else known.next_offset
        self._next[partition] = records[-1].offset + 1
        return [delivered(record) for record in records]

    def _read_anew(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            _LOG.warning("%s/%d was made anew: it is read from its beginning", partition.topic, partition.partition)
            self._next[partition] = 0
            self._consumer.seek(partition, 0)
            self.anew.add((partition.topic, partition.partition))

    async def _start_over(self, gone: Mapping[TopicPartition, int]) -> None:
        first = await self._consumer.beginning_offsets(list(gone))
        for partition, wanted in gone.items():
            self._unproven.pop(partition, None)
            self._missed(partition, wanted, first[partition])
            self._next[partition] = first[partition]
            self._consumer.seek(partition, first[partition])

    def _missed(self, partition: TopicPartition, wanted: int, first: int) -> None:
        self.passed_over[partition.topic, partition.partition] = first
        if first > wanted:
            _LOG.error(
                "%s/%d: offsets %d to %d were deleted before they were counted",
                *(partition.topic, partition.partition, wanted, first - 1),
            )
            self._on_lost(Lost(partition.topic, first - wanted))


@asynccontextmanager
async def connected(kafka: KafkaSettings, client_id: str, topics: Sequence[str]) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group that has all partitions of `topics`. Raises Unreachable."""
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=kafka.bootstrap,
        client_id=client_id,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=max(kafka.fetch_max_wait_ms, 100),
        request_timeout_ms=_REQUEST_MS,
        **arguments(kafka.bootstrap),
    )
    try:
        try:
            async with asyncio.timeout(kafka.connect_timeout_ms / 1000):
                await consumer.start()
            guard(consumer)
        except _GONE as error:
            raise await unreachable(kafka.bootstrap, error, "ledger") from error
        yield consumer
    finally:
        try:
            async with asyncio.timeout(_STOP_S):
                await consumer.stop()
        except _GONE as error:
            _LOG.warning("the reader did not stop cleanly: %r", error)
