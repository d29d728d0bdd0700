"""The Kafka door of a tier: work records in, outcomes out, and nothing paid redone blindly.

    claim -> decode -> (settled before: ack) -> slot -> guards -> started confirmed -> call
          -> outcome confirmed -> settled confirmed -> ack

A fixed number of runners, one a slot, does the calls; all else happens in callbacks of consumer and outbox."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Self

from google.protobuf.message import DecodeError
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from trivium import codec
from trivium.core.errors import BadRequest
from trivium.core.outcome import Fault, FaultKind, Outcome, Reason, ReasonCode
from trivium.core.policy import OnAmbiguous
from trivium.core.slip import Work
from trivium.kafka import topics
from trivium.kafka.claim import Claim, GroupOptions
from trivium.kafka.group import GroupConsumer, Partition
from trivium.kafka.outbox import Outbox
from trivium.kafka.reader import ReaderOptions, end_offsets, read_tail
from trivium.kafka.record import Record
from trivium.telemetry import names
from trivium.telemetry.tracing import Tracing, context_from_headers, headers_from_context
from trivium.tier import spans
from trivium.tier.caller import Caller
from trivium.tier.memory import AttemptKey, AttemptMemory
from trivium.tier.meter import Tap, now_ms, uncalled
from trivium.tier.records import KAFKA, MAX_STARTS, Headers, Writer, trace_of
from trivium.tier.slots import Ticket
from trivium.v1 import journey_pb2

_LOG = logging.getLogger(__name__)
_GRACE_MS: Final = 30_000
_ATTEMPT_CAP_MS: Final = 120_000


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Where the log is and how to read it. Times are ms."""

    bootstrap: str
    group: GroupOptions = field(default_factory=GroupOptions)
    reader: ReaderOptions = field(default_factory=ReaderOptions)
    horizon_ms: int = _ATTEMPT_CAP_MS + 10_000 + _GRACE_MS
    """How far back the attempts are read again: attempt cap + session timeout + grace."""
    drain_ms: int = 25_000


class _Job:
    """One attempt in hand. Several claims when its record came more than once."""

    __slots__ = ("aside", "asked_ms", "claims", "execution", "key", "message", "ticket", "trace", "work")

    def __init__(self, claim: Claim, key: AttemptKey, message: journey_pb2.Work, work: Work) -> None:
        self.claims = [claim]
        self.key = key
        self.message = message
        self.work = work
        self.trace: Headers = trace_of(claim.record.headers)
        self.asked_ms = now_ms()
        self.execution = 0
        self.aside: Record | None = None
        self.ticket: Ticket | None = None

    @property
    def partition(self) -> int:
        return self.claims[0].record.partition

    @property
    def lost(self) -> bool:
        return all(claim.lost for claim in self.claims)


class Worker:
    """Consumes the lanes of the caller's tier. `async with` it; then watch `failed`."""

    def __init__(
        self, caller: Caller, writer: Writer, outbox: Outbox, tracing: Tracing, options: WorkerOptions
    ) -> None:
        self._caller = caller
        self._writer = writer
        self._outbox = outbox
        self._tracing = tracing
        self._options = options
        self._spare = topics.work(caller.tier, topics.Lane.SPARE)
        self._memory = AttemptMemory(options.horizon_ms)
        self._open: dict[AttemptKey, _Job] = {}
        self._granted: deque[_Job] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._runners: list[asyncio.Task[None]] = []
        self._consumer = GroupConsumer(
            options.bootstrap,
            f"trivium-{caller.tier.value}",
            topics.lanes(caller.tier),
            self._on_claim,
            options.group,
            on_assigned=self._recollect,
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def failed(self) -> asyncio.Future[None]:
        """Ends with an exception when this worker cannot go on."""
        return self._consumer.failed

    @property
    def in_hand(self) -> int:
        """Attempts that wait, run, or are not in the log yet."""
        return len(self._open)

    async def start(self) -> None:
        """Join the group. Raises Unreachable when the broker is not there."""
        self._runners = [
            asyncio.create_task(self._run(), name=f"runner-{number}") for number in range(self._caller.slots.total)
        ]
        try:
            await self._consumer.start()
        except BaseException:
            await self._stop_runners()
            raise

    async def stop(self) -> None:
        """Take nothing more, finish what is in hand within the drain time, leave the group."""
        if not await self._consumer.drain(self._options.drain_ms):
            _LOG.warning("%d attempts are given up; they come again", len(self._open))
        await self._stop_runners()
        await self._consumer.stop()

    async def _stop_runners(self) -> None:
        runners, self._runners = self._runners, []
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)

    # --- taking work in ----------------------------------------------------------------------------------------------

    async def _recollect(self, new: Mapping[Partition, int]) -> None:
        """Read the attempts of new partitions again before any of their work is handed out."""
        topic = topics.attempts(self._caller.tier)
        numbers = {number for _, number in new}
        ends = await end_offsets(self._options.bootstrap, topic, self._options.reader)
        until = {number: end for number, end in ends.items() if number in numbers}
        since_ms = now_ms() - self._options.horizon_ms
        async for record in read_tail(self._options.bootstrap, topic, since_ms, until, self._options.reader):
            self._memory.fold((record,), now_ms())

    def _on_claim(self, claim: Claim) -> None:
        try:
            message = journey_pb2.Work.FromString(claim.record.value or b"")
            work = codec.work_from(message)
        except DecodeError:
            size = len(claim.record.value or b"")
            self._put_aside(claim, Reason(ReasonCode.UNDECODABLE, f"the {size} bytes are not a work record"))
        except BadRequest as error:
            self._put_aside(claim, error.reason)
        except Exception as error:
            _LOG.exception("a work record could not be read")
            self._put_aside(claim, Reason(ReasonCode.INTERNAL, f"the record could not be read: {type(error).__name__}"))
        else:
            identity = work.request.identity
            self._take(claim, (identity.key, identity.replay, work.attempt), message, work)

    def _take(self, claim: Claim, key: AttemptKey, message: journey_pb2.Work, work: Work) -> None:
        if self._memory.is_settled(key):
            claim.ack()
            return
        if (known := self._open.get(key)) is not None:
            known.claims.append(claim)
            return
        job = self._open[key] = _Job(claim, key, message, work)
        if (refused := self._caller.refused(work)) is not None:
            self._finish(job, refused, called=False)
            return
        name = work.target.name
        spare = claim.record.topic == self._spare
        job.ticket = Ticket(work.task.name, work.task.slots, spare, partial(self._grant, job))
        self._caller.board.queued(name, job.asked_ms)
        self._caller.slots.ask(job.ticket)

    def _grant(self, job: _Job) -> None:
        self._granted.append(job)
        while self._idle:
            waiting = self._idle.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return

    def _put_aside(self, claim: Claim, reason: Reason) -> None:
        record = claim.record
        _LOG.warning("%s/%d@%d is put aside: %s", record.topic, record.partition, record.offset, reason.message)
        self._caller.metrics.deadletter(reason.code.value)
        self._outbox.put([[self._writer.dead_letter(record, reason, now_ms())]], claim.ack)

    # --- runners -----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._granted:
                waiting = loop.create_future()
                self._idle.append(waiting)
                await waiting
            job = self._granted.popleft()
            try:
                await self._serve(job)
            except Exception as error:
                _LOG.exception("%s: the worker failed", job.work.request.identity)
                fault = f"the worker failed: {type(error).__name__}"
                self._finish(job, self._caller.own(uncalled(job.work, FaultKind.INTERNAL, fault)), called=True)
            finally:
                if job.ticket is not None:
                    self._caller.slots.release(job.ticket)

    async def _serve(self, job: _Job) -> None:
        at_ms = now_ms()
        queue_ms = at_ms - job.asked_ms
        name = job.work.target.name
        self._caller.board.unqueued(name, queue_ms, at_ms)
        self._caller.metrics.queue_wait(name, queue_ms)
        if job.lost:
            self._open.pop(job.key, None)
            return
        starts = self._memory.starts(job.key)
        if starts and (given_up := self._given_up(job, starts)) is not None:
            job.execution = starts
            self._finish(job, given_up, called=True)
        elif (blocked := self._caller.blocked(job.work, queue_ms)) is not None:
            self._finish(job, blocked, called=False)
        elif self._tracing.enabled:
            await self._traced(job, starts + 1, queue_ms)
        else:
            await self._call(job, starts + 1, queue_ms, INVALID_SPAN)

    def _given_up(self, job: _Job, starts: int) -> Outcome | None:
        """Work that was started before and never settled, when it may not be called once more."""
        work = job.work
        if starts >= MAX_STARTS:
            said = f"attempt {work.attempt} was started {starts} times and never ended"
            record, at_ms = job.claims[0].record, now_ms()
            reason = Reason(ReasonCode.STARTED_TOO_OFTEN, said, hint="look for what kills the worker, then replay")
            self._caller.metrics.deadletter(reason.code.value)
            job.aside = self._writer.dead_letter(record, reason, at_ms, work.request.identity)
            return self._caller.own(uncalled(work, FaultKind.STARTED_TOO_OFTEN, said))
        if work.target.on_ambiguous is OnAmbiguous.FAIL:
            said = "it was started before a crash and may have been paid; the policy says not to call again"
            return self._caller.own(uncalled(work, FaultKind.AMBIGUOUS, said))
        return None

    async def _traced(self, job: _Job, execution: int, queue_ms: int) -> None:
        record = job.claims[0].record
        tracer = self._tracing.tracer
        span = tracer.start_span(names.SPAN_WORK, context_from_headers(record.headers), SpanKind.CONSUMER)
        try:
            spans.describe(span, job.work, KAFKA, self._caller.capture_prompts)
            spans.describe_record(span, record, f"trivium-{self._caller.tier.value}")
            job.trace = headers_from_context(span)
            await self._call(job, execution, queue_ms, span)
        finally:
            span.end()

    async def _call(self, job: _Job, execution: int, queue_ms: int, span: Span) -> None:
        work = job.work
        job.execution = execution
        self._memory.start(job.key, execution)
        await self._confirmed(self._writer.started(work, execution, job.partition, KAFKA, now_ms(), job.trace))
        if (late := now_ms() - work.deadline_ms) >= 0:
            said = f"the attempt's deadline passed {late} ms ago, while its start was written"
            outcome = self._caller.own(uncalled(work, FaultKind.LATE, said), queue_ms)
        else:
            outcome = await self._caller.call(work, Tap(), queue_ms, span)
        self._finish(job, outcome, called=True)

    async def _confirmed(self, record: Record) -> None:
        """Wait until the broker has it. Not bounded here: the outbox fails, and with it the process, when it cannot."""
        confirmed = asyncio.get_running_loop().create_future()
        self._outbox.put([[record]], partial(_resolve, confirmed))
        await confirmed

    def _finish(self, job: _Job, outcome: Outcome, called: bool) -> None:
        """Write the outcome, then `settled` when a start was written, then acknowledge."""
        stages = [[self._writer.outcome(job.message, outcome, job.trace)]]
        if job.aside is not None:
            stages[0].append(job.aside)
        if called and job.execution:
            settled = self._writer.settled(job.work, outcome, job.execution, job.partition, KAFKA, job.trace)
            stages.append([settled])
        if not called and isinstance(outcome.result, Fault):
            self._caller.metrics.attempt(outcome)
        self._outbox.put(stages, partial(self._done, job))

    def _done(self, job: _Job) -> None:
        self._memory.settle(job.key, now_ms())
        self._open.pop(job.key, None)
        for claim in job.claims:
            claim.ack()


def _resolve(confirmed: asyncio.Future[None]) -> None:
    if not confirmed.done():
        confirmed.set_result(None)
