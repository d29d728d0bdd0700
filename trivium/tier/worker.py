"""The Kafka door of a tier: work records in, outcomes out, and nothing paid redone blindly.

    claim -> decode -> (settled before: ack) -> right to start -> `started` confirmed -> slot -> guards -> call
          -> outcome confirmed -> `settled` confirmed -> ack

A start is confirmed before its call, but not in the call's slot: a few starts (`ahead`) run ahead of the calls, so that
slots never wait for the broker. A fixed number of runners, one a slot, does the calls; all else happens in callbacks of
consumer and outbox."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Final, Self

from trivium.budget.keeper import Keeper
from trivium.budget.lease import Refusal, Reservation, Waiting
from trivium.core.outcome import FaultKind, Outcome, Reason
from trivium.core.policy import OnAmbiguous
from trivium.core.slip import Work
from trivium.kafka import topics
from trivium.kafka.claim import Claim, Partition
from trivium.kafka.group import GroupConsumer
from trivium.kafka.outbox import Outbox
from trivium.kafka.reader import end_offsets, read_tail
from trivium.telemetry.tracing import Tracing
from trivium.tier import spans
from trivium.tier.caller import Caller
from trivium.tier.job import Job, open_span
from trivium.tier.memory import AttemptKey, AttemptMemory
from trivium.tier.meter import Tap, now_ms, uncalled
from trivium.tier.options import WorkerOptions
from trivium.tier.paying import charged, refused
from trivium.tier.reading import read, whose
from trivium.tier.records import KAFKA, Writer
from trivium.tier.redelivered import given_up
from trivium.tier.slots import Slots, Ticket
from trivium.tier.suspected import Suspected
from trivium.v1 import journey_pb2

__all__ = ["Worker", "WorkerOptions"]

_LOG = logging.getLogger(__name__)
_AHEAD: Final = 4
_MOST_AHEAD: Final = 256
"""Starts that may be written for each slot, and in all, before their calls: what a crash makes ambiguous at most."""


class Worker:
    """Consumes the lanes of the caller's tier. `async with` it; then watch `failed`."""

    def __init__(
        self,
        caller: Caller,
        writer: Writer,
        outbox: Outbox,
        tracing: Tracing,
        options: WorkerOptions,
        budgets: Keeper | None = None,
    ) -> None:
        self._caller = caller
        self._writer = writer
        self._outbox = outbox
        self._tracing = tracing
        self._options = options
        self._budgets = budgets
        self._memory = AttemptMemory(options.horizon_ms)
        self._open: dict[AttemptKey, Job] = {}
        self._starts = Slots(min(_MOST_AHEAD, _AHEAD * caller.slots.total))
        self._granted: deque[Job] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._runners: list[asyncio.Task[None]] = []
        self._empty: asyncio.Future[None] | None = None
        self._finished: asyncio.Future[None] | None = None
        self._suspected = Suspected(self._open, self._on_claim, self._hand_back, self._grant, self._emptied)
        self._parked: list[Job] | None = None  # What begins once it is known whose it is; None: it is known.
        self._consumer = GroupConsumer(
            options.bootstrap,
            f"trivium-{caller.tier.value}",
            topics.lanes(caller.tier),
            self._on_claim,
            options.group,
            on_assigned=self._recollect,
            on_revoke=self._finish_begun,
            on_settled=self._go_on,
            careful=self._suspected,
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        # Whoever leaves by an error has lost the broker: nothing that is in hand could be finished.
        await self.stop(self._options.drain_ms if kind is None else 0)

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

    async def stop(self, drain_ms: int) -> None:
        """Take nothing more, finish what was started within `drain_ms`, leave the group. What only waits is left to whoever
        gets its partition: a start that could not be called in time would look like a call."""
        await self._consumer.drain(0)
        self._suspected.let_go()
        for job in [job for job in self._open.values() if not job.begun]:
            self._hand_back(job)
        if not await self._emptied(drain_ms):
            _LOG.warning("%d attempts are given up; they come again", len(self._open))
        await self._stop_runners()
        await self._consumer.stop()

    async def _emptied(self, timeout_ms: int) -> bool:
        """Wait until nothing is in hand; False after the timeout."""
        self._empty = asyncio.get_running_loop().create_future()
        if not self._open:
            return True
        done, _ = await asyncio.wait((self._empty,), timeout=timeout_ms / 1000)
        return bool(done)

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

    async def _finish_begun(self) -> None:
        """Partitions may go: begin nothing, and finish what was begun. Whoever gets them would have to call it again."""
        self._parked = self._parked or []
        self._suspected.let_go()
        if any(job.begun for job in self._open.values()):
            self._finished = asyncio.get_running_loop().create_future()
            await self._finished

    def _go_on(self) -> None:
        """It is known which partitions are ours: begin what waited for that."""
        parked, self._parked = self._parked, None
        for job in parked or ():
            if self._open.get(job.key) is job:
                self._begin(job)

    def _on_claim(self, claim: Claim) -> None:
        found = read(claim.record)
        if isinstance(found, Reason):
            self._put_aside(claim, found)
            return
        message, work = found
        identity = work.request.identity
        self._take(claim, (identity.key, identity.replay, work.attempt), message, work)

    def _take(self, claim: Claim, key: AttemptKey, message: journey_pb2.Work, work: Work) -> None:
        if self._memory.is_settled(key):
            claim.ack()
            return
        if (known := self._open.get(key)) is not None:
            known.claims.append(claim)
            return
        job = self._open[key] = Job(claim, key, message, work)
        if (refused := self._caller.refused(work)) is not None:
            self._finish(job, refused)
            return
        if (shed := self._caller.shed(work, job.spare, self._ahead(job))) is not None:
            self._finish(job, shed)
            return
        if not job.spare:
            # Spare work waits for its turn: its wait says nothing about what others would wait.
            job.queued = True
            self._caller.board.queued(work.target.name, job.asked_ms)
        if work.target.on_ambiguous is OnAmbiguous.FAIL:
            # A start without a call would fail it after a crash, so its start does not run ahead.
            job.call = job.ticket(partial(self._begin, job))
            self._caller.slots.ask(job.call)
        else:
            job.start = job.ticket(partial(self._begin, job))
            self._starts.ask(job.start)

    def _ahead(self, job: Job) -> int:
        """How many wait that would be called before it."""
        task, starts, calls = job.work.task.name, self._starts, self._caller.slots
        who = (task, job.spare, job.urgent, job.tenant)
        return starts.ahead(*who) + calls.ahead(*who)

    def _put_aside(self, claim: Claim, reason: Reason) -> None:
        record = claim.record
        _LOG.warning("%s/%d@%d is put aside: %s", record.topic, record.partition, record.offset, reason.message)
        self._caller.metrics.deadletter(reason.code.value)
        self._outbox.put([[self._writer.dead_letter(record, reason, now_ms(), whose(record))]], claim.ack)

    # --- starts ------------------------------------------------------------------------------------------------------

    def _begin(self, job: Job) -> None:
        """Write `started`, unless there will be no call."""
        self._options.look()
        if self._parked is not None:
            return self._parked.append(job)
        try:
            starts = self._memory.starts(job.key)
            if job.lost:
                self._drop(job)
            elif starts and (outcome := given_up(job, starts, self._caller, self._writer)) is not None:
                self._finish(job, outcome)
            elif (late := self._caller.late(job.work)) is not None:
                self._finish(job, late)
            elif (refused := self._pay(job)) is not None:
                self._finish(job, refused)
            elif not isinstance(job.money, Waiting):
                job.begun = True
                open_span(job, self._tracing, self._caller)
                job.execution = starts + 1
                self._memory.start(job.key, job.execution)
                job.begun_ms = now_ms()
                started = self._writer.started(
                    job.work, job.execution, job.partition, KAFKA, job.begun_ms, job.trace, job.reserved
                )
                self._outbox.put([[started]], partial(self._started, job))
        except Exception as error:
            self._broken(job, error)

    def _pay(self, job: Job) -> Outcome | None:
        """Reserve what it may cost, where budgets hold. It may have to wait for the log; the outcome when it is refused."""
        if job.money is None and self._budgets is not None and self._budgets.active:
            job.money = self._budgets.take(job.work, now_ms(), partial(self._paid, job))
        return refused(job.work, job.money, self._caller) if isinstance(job.money, Refusal) else None

    def _paid(self, job: Job, answer: Reservation | Refusal) -> None:
        """The log has answered."""
        job.money = answer
        self._begin(job)

    def _started(self, job: Job) -> None:
        """The start is in the log: the call may have a slot, unless it has one already."""
        if job.call is not None:
            self._grant(job)
            return
        job.call = job.ticket(partial(self._grant, job))
        self._caller.slots.ask(job.call)

    def _grant(self, job: Job) -> None:
        if self._suspected.keeps(job):
            return
        self._granted.append(job)
        while self._idle:
            waiting = self._idle.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return

    # --- calls -------------------------------------------------------------------------------------------------------

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
                self._broken(job, error)

    async def _serve(self, job: Job) -> None:
        self._release(job.start)
        job.start = None
        await self._caller.paced(job.work)
        self._options.look()
        waited_ms = now_ms() - job.asked_ms
        if job.lost:
            self._drop(job)
        elif (lapsed := self._lapsed(job)) is not None:
            self._finish(job, lapsed)
        elif (blocked := self._caller.blocked(job.work, waited_ms)) is not None:
            self._finish(job, blocked)
        else:
            self._unqueue(job)
            self._finish(job, await self._caller.call(job.work, Tap(), waited_ms, job.span), counted=True)

    def _lapsed(self, job: Job) -> Outcome | None:
        """Why what it reserved may not be spent any more."""
        why = self._budgets.lapsed(job.reserved) if self._budgets is not None and job.reserved.hard else None
        return None if why is None else refused(job.work, why, self._caller)

    def _finish(self, job: Job, outcome: Outcome, counted: bool = False) -> None:
        """Write the outcome, then `settled` when a start was written, then acknowledge."""
        job.begun = True
        self._leave(job)
        if not counted:
            self._caller.metrics.attempt(outcome)
            spans.note_outcome(job.span, job.work, outcome, self._caller.capture_prompts)
        stages = [[self._writer.outcome(job.message, outcome, job.trace)]]
        if job.aside is not None:
            stages[0].append(job.aside)
        if job.execution:
            about = (job.execution, job.partition, KAFKA, job.begun_ms, job.trace, job.reserved)
            stages.append([self._writer.settled(job.work, outcome, *about)])
        # Before the outcome can be seen: who is killed between the two leaves no trace with a hole.
        job.span.end()
        self._outbox.put(stages, partial(self._done, job, outcome))

    def _done(self, job: Job, outcome: Outcome) -> None:
        self._memory.settle(job.key, now_ms())
        if self._budgets is not None and job.money is not None:
            self._budgets.settle(job.reserved, charged(job.work, outcome, job.reserved.worst))
        self._forget(job)
        for claim in job.claims:
            claim.ack()

    def _drop(self, job: Job) -> None:
        """Another worker has its partition now."""
        self._leave(job)
        job.span.end()
        self._forget(job)

    def _hand_back(self, job: Job) -> None:
        """Not begun, and not acknowledged: it comes again."""
        self._unqueue(job)
        if job.start is not None:
            self._starts.withdraw(job.start)
        if job.call is not None:
            self._caller.slots.withdraw(job.call)
        job.start = job.call = None
        self._forget(job)

    def _forget(self, job: Job) -> None:
        self._open.pop(job.key, None)
        if isinstance(job.money, Waiting):
            job.money.cancel()
        elif self._budgets is not None and job.money is not None:
            self._budgets.release(job.reserved)
        if not self._open and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)
        if self._finished is not None and not self._finished.done() and not any(one.begun for one in self._open.values()):
            self._finished.set_result(None)

    def _broken(self, job: Job, error: Exception) -> None:
        _LOG.error("%s: the worker failed", job.work.request.identity, exc_info=error)
        said = f"the worker failed: {type(error).__name__}"
        self._finish(job, self._caller.own(uncalled(job.work, FaultKind.INTERNAL, said)))

    def _leave(self, job: Job) -> None:
        """Out of every queue and slot."""
        if isinstance(job.money, Waiting):
            job.money.cancel()
        self._unqueue(job)
        self._release(job.start)
        if job.call is not None:
            self._caller.slots.release(job.call)
        job.start = job.call = None

    def _release(self, start: Ticket | None) -> None:
        if start is not None:
            self._starts.release(start)

    def _unqueue(self, job: Job) -> None:
        if job.queued:
            job.queued = False
            name, at_ms = job.work.target.name, now_ms()
            self._caller.board.unqueued(name, at_ms - job.asked_ms, at_ms)
            self._caller.metrics.queue_wait(name, at_ms - job.asked_ms)
