"""Staged effects: every record of one stage is confirmed by the broker before the next stage is sent.

This is how nothing is lost: the last thing that happens is `done`, which acknowledges the input offset, so a
committed offset means that its effects are in the log. No task and no future is made for a record: each
partition has a lane with one batch in flight, and what comes meanwhile is its next batch.

    put -> lane -> batch -> (confirmed) -> next stage -> ... -> done
                       \\-> (failed: unknown) -> the same records again, in order, after a pause
                       \\-> (can never be produced) -> on_refused gives records in its place
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol, Self

from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from trivium.core.errors import Unreachable
from trivium.core.murmur2 import partition_of
from trivium.kafka.record import Record

_LOG = logging.getLogger(__name__)

_NEVER: Final = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError, TopicAuthorizationFailedError)
_PASSING: Final = (KafkaError, OSError, TimeoutError)
_REPLACEMENTS: Final = 2
_GATHER_S: Final = 0.003
_WATCH_S: Final = 0.25
_WARN_EVERY_S: Final = 5.0

OnRefused = Callable[[Record, BaseException], Sequence[Record]]
"""Given a record that can never be produced and why; returns what to produce in its place, in the same stage."""


class Sends(Protocol):
    """What the outbox needs of a producer."""

    @property
    def alive(self) -> bool: ...

    def known(self, topic: str) -> int: ...

    def learn(self, topic: str) -> Awaitable[int]: ...

    def send_batch(
        self, topic: str, partition: int, records: Iterable[Record]
    ) -> Awaitable[tuple[int, asyncio.Future[Any]]]: ...

    async def renew(self) -> None: ...


@dataclass(frozen=True, slots=True)
class OutboxOptions:
    """Times are ms."""

    patience_ms: int = 30_000
    """How long a partition may confirm nothing before the outbox reports failure, so that the process leaves."""
    backoff_ms: int = 50
    backoff_most_ms: int = 2_000


class _Parcel:
    """One `put`: what is left of its stages, and how many records of the present one are unconfirmed."""

    __slots__ = ("done", "left", "refusals", "stages", "waiting")

    def __init__(self, stages: Sequence[Sequence[Record]], done: Callable[[], Any]) -> None:
        self.stages = stages
        self.left = 0
        self.waiting = 0
        self.refusals = 0
        self.done = done


_Entry = tuple[Record, _Parcel]


class _Lane:
    """One partition: what waits, and what flies. Calling it is the callback of its batch."""

    __slots__ = ("alone", "attempts", "busy", "flying", "outbox", "partition", "queue", "since", "topic")

    def __init__(self, outbox: "Outbox", topic: str, partition: int) -> None:
        self.outbox = outbox
        self.topic = topic
        self.partition = partition
        self.queue: deque[_Entry] = deque()
        self.flying: list[_Entry] = []
        self.busy = False
        self.since = 0.0
        self.attempts = 0
        self.alone = 0

    def __call__(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            self.outbox._unlanded(self, KafkaError("the producer was closed"))
        elif (error := future.exception()) is not None:
            self.outbox._unlanded(self, error)
        else:
            self.outbox._landed(self)


class Outbox:
    """Sends stages of records in order, each after the one before it is in the log."""

    def __init__(self, producer: Sends, on_refused: OnRefused, options: OutboxOptions | None = None) -> None:
        self._producer = producer
        self._on_refused = on_refused
        self._options = options or OutboxOptions()
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._unlearned: dict[str, list[_Entry]] = {}
        self._ready: deque[_Lane] = deque()
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._flying = 0
        self._open = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False
        self._warned = float("-inf")
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """Ends with an exception when effects cannot be written any more; the owner leaves the process."""

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Start sending. The producer must be started."""
        if not self._tasks:
            self._own(self._pump(), "outbox-pump")
            self._own(self._watch(), "outbox-watch")

    async def stop(self) -> None:
        """Stop at once; what is not confirmed is given up, and its `done` is never called. `drain` first."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not self.failed.done():
            self.failed.cancel()
        elif not self.failed.cancelled():
            self.failed.exception()

    @property
    def open_count(self) -> int:
        """How many puts are not done."""
        return self._open

    def put(self, stages: Sequence[Sequence[Record]], done: Callable[[], Any]) -> None:
        """Send `stages` in order, then call `done`. Empty stages are passed over; never blocks, never raises.

        Records that go to one partition keep the order in which their stages began, also through failures.
        """
        self._open += 1
        self._empty.clear()
        self._next_stage(_Parcel(stages, done))

    async def drain(self, timeout_ms: int) -> bool:
        """Wait until everything that was put is done. False after `timeout_ms`, or when the outbox failed."""
        waiting = asyncio.ensure_future(self._empty.wait())
        try:
            both: list[asyncio.Future[Any]] = [waiting, self.failed]
            await asyncio.wait(both, timeout=timeout_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        return self._empty.is_set()

    def _next_stage(self, parcel: _Parcel) -> None:
        stages = parcel.stages
        while parcel.left < len(stages):
            stage = stages[parcel.left]
            parcel.left += 1
            if stage:
                parcel.waiting = len(stage)
                for record in stage:
                    self._route(record, parcel)
                return
        self._open -= 1
        if not self._open:
            self._empty.set()
        try:
            parcel.done()
        except Exception as error:
            self._fail(error)

    def _route(self, record: Record, parcel: _Parcel) -> None:
        topic, partition = record.topic, record.partition
        lane = None if partition is None else self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lane_of(record, parcel)
            if lane is None:
                return
        lane.queue.append((record, parcel))
        if not lane.busy:
            lane.since = self._loop.time()
            self._offer(lane)

    def _lane_of(self, record: Record, parcel: _Parcel) -> _Lane | None:
        """The lane of a record; None when its topic must be learned first, or has no such partition."""
        topic, partition = record.topic, record.partition
        count = self._producer.known(topic)
        if not count:
            self._learn_first(record, parcel)
            return None
        if partition is None:
            partition = partition_of(record.key, count) if record.key is not None else self._open % count
        elif not 0 <= partition < count:
            error = InvalidTopicError(f"{topic} has no partition {partition}, only {count}")
            self._loop.call_soon(self._refuse, record, parcel, error)
            return None
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(self, topic, partition)
        return lane

    def _offer(self, lane: _Lane) -> None:
        lane.busy = True
        self._ready.append(lane)
        self._wake.set()

    def _landed(self, lane: _Lane) -> None:
        entries, lane.flying = lane.flying, []
        self._flying -= 1
        self._moved.set()
        lane.attempts = 0
        for _, parcel in entries:
            parcel.waiting -= 1
            if not parcel.waiting:
                self._next_stage(parcel)
        self._go_on(lane)

    def _go_on(self, lane: _Lane) -> None:
        lane.busy = False
        if lane.queue:
            lane.since = self._loop.time()
            self._offer(lane)

    def _unlanded(self, lane: _Lane, error: BaseException) -> None:
        entries, lane.flying = lane.flying, []
        self._flying -= 1
        self._moved.set()
        lane.queue.extendleft(reversed(entries))
        if isinstance(error, _NEVER) and len(entries) > 1:
            # One of them is to blame; alone, it will show itself.
            lane.alone = len(entries)
            self._go_on(lane)
        else:
            self._unsent(lane, error)

    def _unsent(self, lane: _Lane, error: BaseException) -> None:
        """The first record of the lane was not sent: it goes again later, or never."""
        if isinstance(error, _PASSING) and not isinstance(error, _NEVER):
            self._again(lane, error)
            return
        record, parcel = lane.queue.popleft()
        self._refuse(record, parcel, error)
        self._go_on(lane)

    def _refuse(self, record: Record, parcel: _Parcel, error: BaseException) -> None:
        parcel.refusals += 1
        if parcel.refusals > _REPLACEMENTS:
            self._fail(Unreachable(f"{record.topic}: the replacement of a refused record is refused: {error}"))
            return
        try:
            replacements = self._on_refused(record, error)
        except Exception as bug:
            self._fail(bug)
            return
        parcel.waiting += len(replacements) - 1
        for replacement in replacements:
            self._route(replacement, parcel)
        if not parcel.waiting:
            self._next_stage(parcel)

    def _again(self, lane: _Lane, error: BaseException) -> None:
        if self._closed:
            return
        self._warn(lane.topic, error)
        pause_ms = min(self._options.backoff_ms << min(lane.attempts, 16), self._options.backoff_most_ms)
        lane.attempts += 1
        self._loop.call_later(pause_ms / 1000, self._offer, lane)

    def _warn(self, topic: str, error: BaseException) -> None:
        now = self._loop.time()
        if now - self._warned > _WARN_EVERY_S:
            self._warned = now
            _LOG.warning("records are not confirmed and go again, for %s: %r", topic, error)

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    def _own(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _pump(self) -> None:
        ready, wake, moved = self._ready, self._wake, self._moved
        while True:
            await wake.wait()
            wake.clear()
            if self._flying and not moved.is_set():
                await self._gather()
            moved.clear()
            while ready:
                await self._launch(ready.popleft())

    async def _gather(self) -> None:
        """While a batch flies a broker takes no other: let the next ones grow. A lone record never waits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GATHER_S):
                await self._moved.wait()

    async def _launch(self, lane: _Lane) -> None:
        queue, limit = lane.queue, len(lane.queue)
        if lane.alone:
            lane.alone -= 1
            limit = 1
        records = (record for record, _ in islice(queue, limit))
        try:
            taken, future = await self._producer.send_batch(lane.topic, lane.partition, records)
        except Exception as error:
            self._unsent(lane, error)
            if not self._producer.alive:
                await self._renew()
        else:
            lane.flying = [queue.popleft() for _ in range(taken)]
            self._flying += 1
            future.add_done_callback(lane)

    async def _renew(self) -> None:
        try:
            await self._producer.renew()
        except Unreachable as error:
            _LOG.warning("the producer could not be replaced yet: %s", error)

    def _learn_first(self, record: Record, parcel: _Parcel) -> None:
        waiting = self._unlearned.get(record.topic)
        if waiting is None:
            waiting = self._unlearned[record.topic] = []
            self._own(self._learn(record.topic), f"outbox-learn-{record.topic}")
        waiting.append((record, parcel))

    async def _learn(self, topic: str) -> None:
        """Ask until the broker tells the partitions of `topic`; give up as for a partition that confirms nothing."""
        deadline = self._loop.time() + self._options.patience_ms / 1000
        while not self._producer.known(topic):
            try:
                await self._producer.learn(topic)
            except _PASSING as error:
                self._warn(topic, error)
                if not self._producer.alive:
                    await self._renew()
            if self._producer.known(topic):
                break
            if self._loop.time() > deadline:
                raise Unreachable(f"no broker told the partitions of {topic} in {self._options.patience_ms} ms")
            await asyncio.sleep(self._options.backoff_ms / 1000)
        for record, parcel in self._unlearned.pop(topic):
            self._route(record, parcel)

    async def _watch(self) -> None:
        """Report failure when a partition confirms nothing for too long."""
        patience_s = self._options.patience_ms / 1000
        while True:
            await asyncio.sleep(min(_WATCH_S, patience_s))
            oldest = self._loop.time() - patience_s
            for lane in self._lanes.values():
                if lane.busy and lane.since < oldest:
                    waited = self._options.patience_ms
                    raise Unreachable(f"no broker confirmed a record for {lane.topic} in {waited} ms")
