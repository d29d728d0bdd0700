"""Reading without a consumer group: the tail of a topic once, or a whole topic for as long as the process lives.

`read_tail` is how a memory is folded again from its own log; `Tail` keeps a view of a topic (cache,
documents, pulse) and knows how stale that view may be.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from trivium.core.errors import Unreachable
from trivium.kafka.guard import Unreadable, fetched, guard, stop
from trivium.kafka.record import Delivered
from trivium.kafka.security import arguments, unreachable

_LOG = logging.getLogger(__name__)

_POLL_MS: Final = 200
_GONE: Final = (KafkaError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """How to read. Times are ms."""

    client_id: str = "trivium"
    fetch_max_wait_ms: int = 10
    """The embedded broker answers only when this is over, even when data has come; a real Kafka answers at once,
    and 500 saves it work there."""
    max_poll_records: int = 2_000
    request_timeout_ms: int = 10_000
    start_timeout_ms: int = 8_000
    idle_timeout_ms: int = 15_000
    """How long `read_tail` waits for the next record of a partition that has more."""
    reconnect_ms: int = 200
    reconnect_most_ms: int = 2_000


def delivered(record: ConsumerRecord) -> Delivered:
    """aiokafka's record as ours. Kafka knows headers without a value; here they are empty."""
    headers = record.headers
    for _, value in headers:
        if value is None:
            headers = tuple((name, content or b"") for name, content in headers)
            break
    why = record.why if type(record) is Unreadable else ""
    return Delivered(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, headers, why)


@asynccontextmanager
async def connected(bootstrap: str, topic: str, options: ReaderOptions) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group that has all partitions of `topic`. Raises Unreachable within the start timeout."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        client_id=options.client_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=options.fetch_max_wait_ms,
        max_poll_records=options.max_poll_records,
        request_timeout_ms=options.request_timeout_ms,
        **arguments(bootstrap),
    )
    try:
        try:
            async with asyncio.timeout(options.start_timeout_ms / 1000):
                await consumer.start()
            guard(consumer)
        except _GONE as error:
            raise await unreachable(bootstrap, error, f"topic {topic}") from error
        yield consumer
    finally:
        await _stopped(consumer)


async def _stopped(consumer: AIOKafkaConsumer) -> None:
    try:
        async with asyncio.timeout(5):
            await stop(consumer)
    except _GONE as error:
        _LOG.warning("a reader did not stop cleanly: %r", error)


async def end_offsets(bootstrap: str, topic: str, options: ReaderOptions | None = None) -> Mapping[int, int]:
    """Partition -> the offset that the next record will get. Raises Unreachable."""
    async with connected(bootstrap, topic, options or ReaderOptions()) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        return {partition.partition: end for partition, end in ends.items()}


async def read_tail(
    bootstrap: str, topic: str, from_ms: int, until: Mapping[int, int], options: ReaderOptions | None = None
) -> AsyncIterator[Delivered]:
    """The records of `topic` since `from_ms` (epoch ms, broker's time), partition by partition in order.

    `until`: partition -> the offset to stop before; other partitions are not read. Gaps are allowed, and what cannot be
    read as a record is left out. Raises Unreachable when the broker is not there, or gives nothing for `idle_timeout_ms` although there is more.
    """
    chosen = options or ReaderOptions()
    async with connected(bootstrap, topic, chosen) as consumer:
        unread = await _seek_to_time(consumer, topic, from_ms, until)
        quiet_since = time.monotonic()
        while unread:
            batch = await _poll(consumer, list(unread))
            for partition, records in batch.items():
                end = unread[partition]
                for record in records:
                    if record.offset < end and record.timestamp >= from_ms and type(record) is not Unreadable:
                        yield delivered(record)
            if batch:
                quiet_since = time.monotonic()
                unread = await _unfinished(consumer, unread)
            elif time.monotonic() - quiet_since > chosen.idle_timeout_ms / 1000:
                raise Unreachable(f"{topic}: nothing came for {chosen.idle_timeout_ms} ms, {len(unread)} partitions left")


async def _poll(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> Mapping[TopicPartition, list[ConsumerRecord]]:
    try:
        return await fetched(consumer, _POLL_MS, *partitions)
    except OffsetOutOfRangeError as error:
        raise Unreachable(f"records vanished while they were read: {error}") from error
    except KafkaError as error:
        raise Unreachable(f"the broker stopped answering: {error!r}") from error


async def _unfinished(consumer: AIOKafkaConsumer, unread: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    left = {partition: end for partition, end in unread.items() if await consumer.position(partition) < end}
    for partition in unread.keys() - left.keys():
        consumer.pause(partition)
    return left


async def _seek_to_time(
    consumer: AIOKafkaConsumer, topic: str, from_ms: int, until: Mapping[int, int]
) -> dict[TopicPartition, int]:
    """Stand before the first record since `from_ms` in each partition; returns those that have something to read."""
    wanted = {TopicPartition(topic, number): end for number, end in until.items()}
    for partition in consumer.assignment() - wanted.keys():
        consumer.pause(partition)
    if not wanted:
        return {}
    first = await consumer.beginning_offsets(wanted)
    last = await consumer.end_offsets(wanted)
    found = await consumer.offsets_for_times(dict.fromkeys(wanted, max(0, from_ms)))
    silent = [partition for partition in wanted if found[partition] is None and last[partition] > first[partition]]
    newest = await _newest(consumer, {partition: last[partition] for partition in silent})
    starts = {}
    for partition in wanted:
        by_time = found[partition]
        if by_time is not None:
            starts[partition] = by_time.offset
        else:
            # No record since then, or a broker (the embedded one) that cannot look up times: the newest tells.
            starts[partition] = first[partition] if newest.get(partition, -1) >= from_ms else last[partition]
    for partition, start in starts.items():
        consumer.seek(partition, start)
    return {partition: end for partition, end in wanted.items() if starts[partition] < min(end, last[partition])}


async def _newest(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
    """The broker's time of the last record before each end."""
    times: dict[TopicPartition, int] = {}
    for partition, end in ends.items():
        consumer.seek(partition, end - 1)
    deadline = time.monotonic() + 1
    while times.keys() != ends.keys() and time.monotonic() < deadline:
        missing = [partition for partition in ends if partition not in times]
        for partition, records in (await _poll(consumer, missing)).items():
            times[partition] = records[-1].timestamp
    return times


class Tail:
    """Follows every partition of a topic, in order inside each, and reconnects by itself.

    `on_record` is called in the event loop for each record and must be quick and not raise. After a
    reconnection it goes on where it was; when those records are gone (retention) it goes on at the oldest.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        on_record: Callable[[Delivered], None],
        from_beginning: bool = True,
        options: ReaderOptions | None = None,
        since_ms: int = 0,
    ) -> None:
        """`since_ms`: begin at the first record since then (epoch ms, broker's time); at the oldest when there is none, or when
        the broker cannot look times up."""
        self._since_ms = since_ms
        self._bootstrap = bootstrap
        self._topic = topic
        self._on_record = on_record
        self._from_beginning = from_beginning
        self._options = options or ReaderOptions()
        self._next: dict[TopicPartition, int] = {}
        self._goal: dict[TopicPartition, int] | None = None
        self._fresh_ms: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.caught_up = asyncio.Event()
        """Set once everything that was in the topic when the tail first connected has been given to `on_record`."""

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Begin to follow; returns at once, also when the broker is not there yet."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"tail-{self._topic}")

    async def stop(self) -> None:
        """Stop following."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def wait_caught_up(self, timeout_ms: int) -> bool:
        """Wait for `caught_up`; False after `timeout_ms`."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await self.caught_up.wait()
        except TimeoutError:
            return False

    def has_read(self, ends: Mapping[int, int]) -> bool:
        """Whether it has given everything before these offsets (partition -> offset) to `on_record`."""
        return all(self._next.get(TopicPartition(self._topic, number), 0) >= end for number, end in ends.items())

    def lag_ms(self, now_ms: int) -> int:
        """How old this view may be at `now_ms` (epoch ms): since when it was last known to hold everything.

        Grows while the broker is silent, and from `now_ms` counts as infinitely old before it first caught up.
        """
        if not self.caught_up.is_set() or not self._fresh_ms:
            return now_ms
        return max(0, now_ms - min(self._fresh_ms.values()))

    async def _run(self) -> None:
        pause_ms = self._options.reconnect_ms
        while True:
            try:
                async with connected(self._bootstrap, self._topic, self._options) as consumer:
                    await self._stand(consumer)
                    pause_ms = self._options.reconnect_ms
                    await self._follow(consumer)
            except (Unreachable, *_GONE) as error:
                _LOG.warning("view of %s: %s; connecting again in %d ms", self._topic, error, pause_ms)
            await asyncio.sleep(pause_ms / 1000)
            pause_ms = min(pause_ms * 2, self._options.reconnect_most_ms)

    async def _stand(self, consumer: AIOKafkaConsumer) -> None:
        """Go to where reading begins, and fix what catching up means the first time."""
        partitions = consumer.assignment()
        first = await consumer.beginning_offsets(partitions)
        last = await consumer.end_offsets(partitions)
        if self._goal is None:
            self._goal = last
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, self._since_ms)) if self._since_ms else {}
        for partition in partitions:
            start = first[partition] if self._from_beginning else last[partition]
            if (by_time := found.get(partition)) is not None:
                start = by_time.offset
            start = max(self._next.get(partition, start), first[partition])
            self._next[partition] = start
            consumer.seek(partition, start)
        self._look(consumer, self._next)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            batch = await _poll(consumer, [])
            for partition, records in batch.items():
                for record in records:
                    if type(record) is not Unreadable:
                        self._give(delivered(record))
                self._next[partition] = records[-1].offset + 1
            positions = {partition: await consumer.position(partition) for partition in self._next}
            self._look(consumer, positions)

    def _give(self, record: Delivered) -> None:
        try:
            self._on_record(record)
        except Exception:
            _LOG.exception("view of %s: record %d of partition %d", record.topic, record.offset, record.partition)

    def _look(self, consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> None:
        """Note which partitions hold everything, and whether the first goal is reached."""
        for partition, position in positions.items():
            high, seen_ms = consumer.highwater(partition), consumer.last_poll_timestamp(partition)
            if high is not None and position >= high:
                self._fresh_ms[partition] = seen_ms
        if not self.caught_up.is_set() and self._reached(positions):
            now_ms = int(time.time() * 1000)
            for partition in positions:
                self._fresh_ms.setdefault(partition, now_ms)
            self.caught_up.set()

    def _reached(self, positions: Mapping[TopicPartition, int]) -> bool:
        goal = self._goal
        return goal is not None and all(positions.get(partition, 0) >= end for partition, end in goal.items())
