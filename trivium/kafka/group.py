"""A member of a consumer group that keeps many records in flight and never commits past one that is not done.

Every record is handed out as a claim; acknowledging the claim, in any order and at any time, moves the
partition's floor. Commits follow the floor every 200 ms, on every rebalance and at the end. A partition with
too many open claims is paused; the consumer itself never stops polling, so the group never gives it up.

A rebalance revokes everything and assigns most of it again. Claims of partitions that come back to the same
member stay valid and are not handed out twice; those of partitions that went elsewhere are lost: their work
will be done again there, and acknowledging them does nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from trivium.crash import Point, pass_by
from trivium.kafka.alone import OneByOne, claim_of, left_alive
from trivium.kafka.claim import (
    Careful,
    GroupOptions,
    Lane,
    OnAssigned,
    OnClaim,
    OnLost,
    OnRevoke,
    OnSettled,
    Partition,
    nothing_to_drop,
    nothing_to_finish,
    nothing_to_prepare,
    nothing_to_resume,
)
from trivium.kafka.floor import Floor
from trivium.kafka.guard import fetched, guard, stop
from trivium.kafka.joining import Begin, Listener, consumer_of, reading_begins, start_over
from trivium.kafka.security import unreachable
from trivium.kafka.suspects import Note

_LOG = logging.getLogger(__name__)

_POLL_MS: Final = 200
_RETRY_S: Final = 0.1
_GONE: Final = (KafkaError, OSError, TimeoutError)



class GroupConsumer:
    """Reads `topics` as a member of `group` and hands every record to `on_claim`, in order inside a partition."""

    def __init__(
        self,
        bootstrap: str,
        group: str,
        topics: Sequence[str],
        on_claim: OnClaim,
        options: GroupOptions | None = None,
        on_assigned: OnAssigned = nothing_to_prepare,
        on_lost: OnLost = nothing_to_drop,
        on_revoke: OnRevoke = nothing_to_finish,
        on_settled: OnSettled = nothing_to_resume,
        careful: Careful | None = None,
    ) -> None:
        """`on_claim`: called in the event loop, quick, must not raise. `on_assigned`: awaited with the partitions
        that are new to this member and the offsets that reading begins at, before any of their records come;
        heartbeats go on meanwhile. `on_lost`: the partitions whose claims are lost. `on_revoke`: awaited for `revoke_wait_ms`
        at most before partitions are given up; what is acknowledged by then is committed. `on_settled`: it is known what is lost.
        `careful`: told of records over which members died, one at a time (trivium/kafka/alone.py).
        """
        self._bootstrap = bootstrap
        self._group = group
        self._topics = tuple(topics)
        self._on_claim = on_claim
        self._on_assigned = on_assigned
        self._on_lost = on_lost
        self._on_revoke = on_revoke
        self._on_settled = on_settled
        self._one_by_one = OneByOne(careful, self._commit_noted) if careful is not None else None
        self._options = options or GroupOptions()
        self._lanes: dict[TopicPartition, Lane] = {}
        self._held_back: dict[TopicPartition, Lane] = {}
        self._fresh: set[TopicPartition] = set()
        self._epoch = 0
        self.rebalances = 0
        """How often partitions were assigned to this member."""
        self._ready = asyncio.Event()
        self._held_topics: set[str] = set()
        self._draining = False
        self._idle = asyncio.Event()
        self._committing = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Ends with an exception when this member cannot go on; its owner leaves the process."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect, and join the group in the background. Raises Unreachable within the start timeout."""
        options = self._options
        consumer = consumer_of(self._bootstrap, self._group, options)
        self._consumer = consumer
        try:
            async with asyncio.timeout(options.start_timeout_ms / 1000):
                await consumer.start()
            guard(consumer)
        except _GONE as error:
            await self._close(consumer)
            raise await unreachable(self._bootstrap, error, f"group {self._group}") from error
        # After the start, which otherwise would wait for the whole group: joining takes what others make it take.
        consumer.subscribe(self._topics, listener=Listener(self._revoked, self._assigned))
        self._tasks = [
            asyncio.create_task(self._guard(self._poll_loop(consumer)), name=f"poll-{self._group}"),
            asyncio.create_task(self._guard(self._commit_loop()), name=f"commit-{self._group}"),
        ]

    async def wait_joined(self, timeout_ms: int) -> bool:
        """Wait for the first assignment; False after `timeout_ms`. May take as long as the group's rebalance."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await self._ready.wait()
        except TimeoutError:
            return False

    async def drain(self, timeout_ms: int) -> bool:
        """Hand out nothing more and wait until every claim is acknowledged. False after `timeout_ms`."""
        self._draining = True
        if self._one_by_one is not None:
            await self._one_by_one.end()
        if self.open_count:
            self._idle.clear()
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._idle.wait()
            except TimeoutError:
                return False
        return True

    async def stop(self) -> None:
        """Commit what is done and leave. Claims that are open come again, to whoever reads next."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            if tasks and self._ready.is_set():
                await self._commit(consumer, left_alive(self._lanes.values()))
            await self._close(consumer)
        if not self.failed.done():
            self.failed.cancel()
        elif not self.failed.cancelled():
            self.failed.exception()

    @property
    def open_count(self) -> int:
        """Claims that are not acknowledged."""
        return sum(lane.floor.open_count for lane in (*self._lanes.values(), *self._held_back.values()))

    @property
    def assigned(self) -> Sequence[Partition]:
        """The partitions that this member reads now."""
        return sorted((partition.topic, partition.partition) for partition in self._lanes)

    def behind(self) -> int:
        """How many records of the assigned partitions are not handed out yet, as far as the last fetch knew."""
        if self._consumer is None:
            return 0
        ends = ((lane, self._consumer.highwater(partition)) for partition, lane in self._lanes.items())
        return sum(max(0, end - lane.next_offset) for lane, end in ends if end is not None)

    def hold(self, topic: str) -> None:
        """Hand out nothing more of `topic` until `release`; the consumer stays in the group."""
        self._held_topics.add(topic)
        for lane in self._lanes.values():
            if lane.partition.topic == topic:
                self._pause(lane)

    def release(self, topic: str) -> None:
        """Undo `hold`."""
        self._held_topics.discard(topic)
        for lane in self._lanes.values():
            if lane.partition.topic == topic:
                self._resume_if_room(lane)

    def on_acked(self, lane: Lane) -> None:
        """For claims: the lane has one open claim less."""
        if lane.paused:
            self._resume_if_room(lane)
        if self._draining and not self.open_count:
            self._idle.set()

    def _pause(self, lane: Lane) -> None:
        lane.paused = True
        if self._consumer is not None and lane.partition in self._consumer.assignment():
            self._consumer.pause(lane.partition)

    def _resume_if_room(self, lane: Lane) -> None:
        if lane.floor.open_count * 2 > self._options.max_open or lane.partition.topic in self._held_topics:
            return
        if self._consumer is None or self._lanes.get(lane.partition) is not lane:
            return
        if lane.partition in self._consumer.assignment():
            lane.paused = False
            self._consumer.resume(lane.partition)

    async def _guard(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            _LOG.exception("group %s cannot go on", self._group)
            if not self.failed.done():
                self.failed.set_exception(error)

    async def _poll_loop(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            await self._ready.wait()
            if self._fresh:
                await self._settle_in(consumer)
                continue
            batch = await self._fetched(consumer)
            # A batch that a rebalance overtook is dropped: settling in seeks every new partition anyway.
            if batch and self._ready.is_set() and not self._fresh:
                await self._hand_out_all(batch)

    async def _fetched(self, consumer: AIOKafkaConsumer) -> Mapping[TopicPartition, list[ConsumerRecord]]:
        try:
            return await fetched(consumer, _POLL_MS)
        except OffsetOutOfRangeError as error:
            await start_over(consumer, self._group, error.args[0])
            return {}
        except NoOffsetForPartitionError:
            # A fetch that began between a rebalance and our seek found no committed offset. Settling in seeks every
            # partition; the error is of the time before. Seen on a real Kafka when the other member was killed.
            await asyncio.sleep(_RETRY_S)
            return {}
        except KafkaError as error:
            if not error.retriable:
                raise
            _LOG.warning("group %s: fetching failed and goes on: %r", self._group, error)
            await asyncio.sleep(_RETRY_S)
            return {}

    async def _hand_out_all(self, batch: Mapping[TopicPartition, list[ConsumerRecord]]) -> None:
        epoch = self._epoch
        for partition, records in batch.items():
            lane = self._lanes[partition]
            rest: Sequence[ConsumerRecord] = records
            if records[0].offset < lane.alone_until and self._one_by_one is not None and not self._draining:
                rest = await self._one_by_one.hand_out(lane, records)
            if epoch != self._epoch:
                # It was fetched before a rebalance.
                return
            self._hand_out(lane, rest)

    async def _commit_noted(self, lanes: Collection[Lane]) -> bool:
        return self._consumer is not None and await self._commit(self._consumer, lanes)

    def _hand_out(self, lane: Lane, records: Sequence[ConsumerRecord]) -> None:
        floor, on_claim = lane.floor, self._on_claim
        if self._draining:
            return
        for record in records:
            floor.delivered(record.offset)
            on_claim(claim_of(record, lane))
        if floor.open_count + self._options.max_poll_records > self._options.max_open:
            self._pause(lane)

    async def _settle_in(self, consumer: AIOKafkaConsumer) -> None:
        """Take the partitions of the newest assignment: go on with kept ones, prepare for new ones."""
        epoch, fresh = self._epoch, set(self._fresh)
        try:
            async with asyncio.timeout(self._options.request_timeout_ms / 1000):
                kept = {partition: lane.note.text(lane.reached) for partition, lane in self._held_back.items()}
                begins = await reading_begins(consumer, fresh, self._one_by_one is not None, kept)
        except _GONE as error:
            if epoch == self._epoch:
                _LOG.warning("group %s: offsets cannot be read yet: %r", self._group, error)
                await asyncio.sleep(_RETRY_S)
            return
        if epoch != self._epoch:
            return
        new = self._take(consumer, begins)
        await self._commit(consumer, [lane for lane in self._lanes.values() if lane.note != Note()])
        if new:
            await self._on_assigned(new)
        if epoch == self._epoch:
            self._fresh.clear()
            self._on_settled()

    def _take(self, consumer: AIOKafkaConsumer, begins: Mapping[TopicPartition, Begin]) -> Mapping[Partition, int]:
        held, self._held_back = self._held_back, {}
        new: dict[Partition, int] = {}
        lanes: dict[TopicPartition, Lane] = {}
        for partition, begin in begins.items():
            lane = held.get(partition)
            if lane is None or begin.offset > lane.reached:
                lane = Lane(self, partition, begin.offset)
                new[partition.topic, partition.partition] = begin.offset
            else:
                del held[partition]
            lane.take_over(begin.taken)
            lanes[partition] = lane
            consumer.seek(partition, lane.next_offset)
        self._lanes = lanes
        for lane in lanes.values():
            if lane.paused or lane.partition.topic in self._held_topics:
                self._pause(lane)
        self._lose(held.values())
        return new

    def _lose(self, lanes: Iterable[Lane]) -> None:
        lost = list(lanes)
        for lane in lost:
            lane.lost = True
            lane.floor = Floor()
        if lost:
            self._on_lost([(lane.partition.topic, lane.partition.partition) for lane in lost])

    async def _revoked(self) -> None:
        self._ready.clear()
        self._epoch += 1
        if self._one_by_one is not None:
            await self._one_by_one.end()
        if self._lanes:
            try:
                async with asyncio.timeout(self._options.revoke_wait_ms / 1000):
                    await self._on_revoke()
            except TimeoutError:
                _LOG.info("group %s: not everything was finished before a rebalance", self._group)
            pass_by(self._options.crash, Point.DURING_REVOKE)
        if self._consumer is not None:
            await self._commit(self._consumer, left_alive(self._lanes.values()))
        # A second revocation before settling in finds no lanes and must not forget the first one's.
        self._held_back |= self._lanes
        self._lanes = {}
        self._fresh = set()

    def _assigned(self, partitions: Iterable[TopicPartition]) -> None:
        self.rebalances += 1
        self._fresh = set(partitions)
        if not self._fresh:
            held, self._held_back = self._held_back, {}
            self._lose(held.values())
            self._on_settled()
        self._ready.set()

    async def _commit_loop(self) -> None:
        while True:
            await asyncio.sleep(self._options.commit_every_ms / 1000)
            if self._consumer is not None and self._ready.is_set():
                await self._commit(self._consumer)

    async def _commit(self, consumer: AIOKafkaConsumer, noted: Collection[Lane] = ()) -> bool:
        """Commit what moved, and what is `noted`. False when it did not happen."""
        try:
            async with asyncio.timeout(self._options.commit_timeout_ms / 1000), self._committing:
                due = {
                    part: lane.standing for part, lane in self._lanes.items() if lane.reached > lane.committed or lane in noted
                }
                if due:
                    pass_by(self._options.crash, Point.BEFORE_COMMIT)
                    await consumer.commit(due)
                for partition, standing in due.items():
                    if partition in self._lanes:
                        self._lanes[partition].committed = standing.offset
                return True
        except (CommitFailedError, IllegalStateError) as error:
            _LOG.info("group %s: a rebalance overtook a commit; what was not committed comes again: %s", self._group, error)
        except _GONE as error:
            _LOG.warning("group %s: offsets could not be committed and will be again: %r", self._group, error)
        return False

    async def _close(self, consumer: AIOKafkaConsumer) -> None:
        try:
            async with asyncio.timeout(self._options.stop_timeout_ms / 1000):
                await stop(consumer)
        except _GONE as error:
            _LOG.warning("group %s was not left cleanly: %r", self._group, error)
