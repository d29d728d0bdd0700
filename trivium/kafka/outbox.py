"""Staged effects: every record of one stage is confirmed by the broker before the next stage is sent.

This is how nothing is lost: the last thing that happens is `done`, which acknowledges the input offset, so a
committed offset means that its effects are in the log. No task is made for an event; a few pumps, owned by
the outbox, do the sending, and callbacks of confirmations move what they belong to forward.

    put -> pump -> producer -> (confirmed) -> next stage -> ... -> done
                       \\-> (failed: unknown) -> produce again after a pause
                       \\-> (can never be produced) -> on_refused gives records in its place
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from trivium.core.errors import Unreachable
from trivium.kafka.record import Record

_LOG = logging.getLogger(__name__)

_NEVER: Final = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidTopicError,
    TopicAuthorizationFailedError,
)
_PASSING: Final = (KafkaError, OSError, TimeoutError)
_REPLACEMENTS: Final = 2
_GATHER_S: Final = 0.002
_WATCH_S: Final = 0.25
_WARN_EVERY_S: Final = 5.0

OnRefused = Callable[[Record, BaseException], Sequence[Record]]
"""Given a record that can never be produced and why; returns what to produce in its place, in the same stage."""


class Sends(Protocol):
    """What the outbox needs of a producer."""

    @property
    def alive(self) -> bool: ...

    def send(self, record: Record) -> Awaitable[asyncio.Future[object]]: ...

    async def renew(self) -> None: ...


@dataclass(frozen=True, slots=True)
class OutboxOptions:
    """Times are ms."""

    pumps: int = 4
    patience_ms: int = 30_000
    """How long one record may stay unconfirmed before the outbox reports failure, so that the process leaves."""
    crowd: int = 64
    """From so many unconfirmed records on, pumps gather for 2 ms before they send."""
    backoff_ms: int = 50
    backoff_most_ms: int = 2_000


class _Parcel:
    """One `put`: what is left of its stages, and how many records of the present one are unconfirmed."""

    __slots__ = ("done", "left", "stages", "waiting")

    def __init__(self, stages: Sequence[Sequence[Record]], done: Callable[[], None]) -> None:
        self.stages = stages
        self.left = 0
        self.waiting = 0
        self.done = done


class _Flight:
    """One record on its way. Calling it is the callback of its confirmation."""

    __slots__ = ("attempts", "outbox", "parcel", "record", "replaced", "since")

    def __init__(self, outbox: "Outbox", parcel: _Parcel, record: Record, since: float, replaced: int) -> None:
        self.outbox = outbox
        self.parcel = parcel
        self.record = record
        self.since = since
        self.attempts = 0
        self.replaced = replaced

    def __call__(self, future: asyncio.Future[object]) -> None:
        if future.cancelled():
            self.outbox._again(self, KafkaError("the producer was closed"))
        elif (error := future.exception()) is None:
            self.outbox._confirmed(self)
        else:
            self.outbox._unsent(self, error)


class Outbox:
    """Sends stages of records in order, each after the one before it is in the log."""

    def __init__(self, producer: Sends, on_refused: OnRefused, options: OutboxOptions | None = None) -> None:
        self._producer = producer
        self._on_refused = on_refused
        self._options = options or OutboxOptions()
        self._loop = asyncio.get_running_loop()
        self._queues: list[deque[_Flight]] = [deque() for _ in range(self._options.pumps)]
        self._wake = [asyncio.Event() for _ in self._queues]
        self._flights: dict[_Flight, None] = {}
        self._open = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False
        self._warned = float("-inf")
        self._tasks: list[asyncio.Task[None]] = []
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """Ends with an exception when effects cannot be written any more; the owner leaves the process."""

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Start the pumps. The producer must be started."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._pump(lane), name=f"outbox-{lane}") for lane in range(len(self._wake))]
            self._tasks.append(asyncio.create_task(self._watch(), name="outbox-watch"))

    async def stop(self) -> None:
        """Stop at once; what is not confirmed is given up, and its `done` is never called. `drain` first."""
        self._closed = True
        tasks, self._tasks = self._tasks, []
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

    def put(self, stages: Sequence[Sequence[Record]], done: Callable[[], None]) -> None:
        """Send `stages` in order, then call `done`. Empty stages are passed over; never blocks, never raises.

        Records of one stage that go to one partition keep their order, also against earlier puts, unless a
        failure made one of them go again.
        """
        parcel = _Parcel(stages, done)
        self._open += 1
        self._empty.clear()
        self._next_stage(parcel)

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
                now = self._loop.time()
                for record in stage:
                    self._depart(_Flight(self, parcel, record, now, 0))
                return
        self._open -= 1
        if not self._open:
            self._empty.set()
        parcel.done()

    def _depart(self, flight: _Flight) -> None:
        self._flights[flight] = None
        self._enqueue(flight)

    def _enqueue(self, flight: _Flight) -> None:
        record = flight.record
        key = record.key if record.partition is None else record.partition
        lane = hash((record.topic, key)) % len(self._queues)
        self._queues[lane].append(flight)
        self._wake[lane].set()

    def _confirmed(self, flight: _Flight) -> None:
        del self._flights[flight]
        self._settled(flight.parcel)

    def _settled(self, parcel: _Parcel) -> None:
        parcel.waiting -= 1
        if not parcel.waiting:
            self._next_stage(parcel)

    def _unsent(self, flight: _Flight, error: BaseException) -> None:
        if isinstance(error, _PASSING) and not isinstance(error, _NEVER):
            self._again(flight, error)
        else:
            self._refuse(flight, error)

    def _refuse(self, flight: _Flight, error: BaseException) -> None:
        del self._flights[flight]
        if flight.replaced >= _REPLACEMENTS:
            self._fail(Unreachable(f"{flight.record.topic}: the replacement of a refused record is refused: {error}"))
            return
        replacements = self._on_refused(flight.record, error)
        parcel, now = flight.parcel, self._loop.time()
        parcel.waiting += len(replacements)
        for record in replacements:
            self._depart(_Flight(self, parcel, record, now, flight.replaced + 1))
        self._settled(parcel)

    def _again(self, flight: _Flight, error: BaseException) -> None:
        if self._closed:
            return
        options = self._options
        pause_ms = min(options.backoff_ms << min(flight.attempts, 16), options.backoff_most_ms)
        flight.attempts += 1
        if self._loop.time() - self._warned > _WARN_EVERY_S:
            self._warned = self._loop.time()
            _LOG.warning("records are not confirmed and go again, one for %s: %r", flight.record.topic, error)
        self._loop.call_later(pause_ms / 1000, self._enqueue, flight)

    def _fail(self, error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    async def _pump(self, lane: int) -> None:
        queue, wake = self._queues[lane], self._wake[lane]
        while True:
            while queue:
                await self._send(queue.popleft())
            if len(self._flights) >= self._options.crowd:
                # Under load larger batches cost far less; a lone record never waits.
                await asyncio.sleep(_GATHER_S)
            if not queue:
                wake.clear()
                await wake.wait()

    async def _send(self, flight: _Flight) -> None:
        try:
            future = await self._producer.send(flight.record)
        except Exception as error:
            self._unsent(flight, error)
            if not self._producer.alive:
                await self._renew()
        else:
            future.add_done_callback(flight)

    async def _renew(self) -> None:
        try:
            await self._producer.renew()
        except Unreachable as error:
            _LOG.warning("the producer could not be replaced yet: %s", error)

    async def _watch(self) -> None:
        """Report failure when the oldest record is unconfirmed for too long; flights are kept oldest first."""
        patience_s = self._options.patience_ms / 1000
        while True:
            await asyncio.sleep(_WATCH_S)
            oldest = next(iter(self._flights), None)
            if oldest is not None and self._loop.time() - oldest.since > patience_s:
                topic = oldest.record.topic
                self._fail(Unreachable(f"no broker confirmed a record for {topic} in {self._options.patience_ms} ms"))
                return
