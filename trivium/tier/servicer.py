"""The gRPC door of a tier: the same guards, slots and call as the Kafka door, for work that runs in somebody's call.

`started` and `settled` go to the attempts topic too (partition: murmur2 of the identity, there is no work record to
go by). Nobody waits for their confirmation: a call is never begun again by itself, so they are the bill, not a guard.
Except under a hard budget, where `started` says what the call may cost: it is in the log before the call.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import grpc
from opentelemetry.trace import Span

from trivium import codec
from trivium.budget.keeper import Keeper
from trivium.budget.lease import UNBUDGETED, Refusal, Reservation
from trivium.core.outcome import FaultKind, Outcome
from trivium.core.request import Priority
from trivium.core.slip import Work
from trivium.kafka.outbox import Outbox
from trivium.ports import Emit, emit_nothing
from trivium.rpc.spans import metadata_of, serving
from trivium.telemetry import names
from trivium.telemetry.tracing import Tracing, headers_from_context
from trivium.tier import spans
from trivium.tier.caller import Caller
from trivium.tier.meter import Tap, now_ms, uncalled
from trivium.tier.paying import charged, refused, reserve
from trivium.tier.records import GRPC, Headers, Writer
from trivium.tier.slots import Ticket
from trivium.v1 import journey_pb2, outcome_pb2, services_pb2, services_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_MARGIN_MS: Final = 20
"""What is kept of a call's time to send the outcome back in it."""


class TierServicer(services_pb2_grpc.TierServicer):
    """Tier.Generate and Tier.GenerateStream. Without an outbox no attempts are written (a tier without a broker)."""

    def __init__(
        self, caller: Caller, writer: Writer, outbox: Outbox | None, tracing: Tracing, budgets: Keeper | None = None
    ) -> None:
        self._caller = caller
        self._budgets = budgets
        self._writer = writer
        self._outbox = outbox
        self._tracing = tracing

    async def Generate(self, request: journey_pb2.Work, context: Context) -> outcome_pb2.Outcome:
        """The whole answer. BadRequest (INVALID_ARGUMENT) when the work cannot be read."""
        work = _work(request, context)
        return codec.outcome_to(await self._answer(work, context, emit_nothing, request.slip.spare))

    async def GenerateStream(
        self, request: journey_pb2.Work, context: Context
    ) -> AsyncIterator[services_pb2.TierEvent]:
        """Deltas as they come, joined when the caller reads slower; then exactly one outcome."""
        work = _work(request, context)
        pieces, more = list[str](), asyncio.Event()

        def take(delta: str) -> None:
            pieces.append(delta)
            more.set()

        answering = asyncio.create_task(self._answer(work, context, take, request.slip.spare), name=f"stream-{work.request.identity}")
        answering.add_done_callback(lambda _: more.set())
        try:
            while not answering.done() or pieces:
                if pieces:
                    delta = "".join(pieces)
                    pieces.clear()
                    yield services_pb2.TierEvent(delta=delta)
                else:
                    more.clear()
                    await more.wait()
            yield services_pb2.TierEvent(outcome=codec.outcome_to(answering.result()))
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)

    async def _answer(self, work: Work, context: Context, emit: Emit, spare: bool) -> Outcome:
        """`spare`: over quota or batch, served with idle slots."""
        if (refused := self._caller.refused(work)) is not None:
            return refused
        name, slots, urgent = work.task.name, self._caller.slots, work.request.priority is Priority.INTERACTIVE
        tenant = work.request.identity.tenant
        if (shed := self._caller.shed(work, spare, slots.ahead(name, spare, urgent, tenant))) is not None:
            self._caller.metrics.attempt(shed)
            return shed
        asked_ms = now_ms()
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ticket = Ticket(name, work.task.slots, spare, partial(_resolve, granted), urgent, tenant)
        if not spare:
            self._caller.board.queued(work.target.name, asked_ms)
        slots.ask(ticket)
        try:
            in_time = await self._waited(granted, work, asked_ms, spare)
            waited_ms = now_ms() - asked_ms
            if not in_time:
                return self._caller.own(uncalled(work, FaultKind.LATE, "no slot was free in time"), waited_ms)
            return await self._in_slot(work, context, emit, waited_ms)
        finally:
            slots.withdraw(ticket)

    async def _waited(self, granted: asyncio.Future[None], work: Work, asked_ms: int, spare: bool) -> bool:
        """Wait for the slot until the work is due; however that ends, it waits no longer."""
        try:
            return await _granted(granted, work.deadline_ms - asked_ms)
        finally:
            name, at_ms = work.target.name, now_ms()
            if not spare:
                self._caller.board.unqueued(name, at_ms - asked_ms, at_ms)
            self._caller.metrics.queue_wait(name, at_ms - asked_ms)

    async def _in_slot(self, work: Work, context: Context, emit: Emit, queue_ms: int) -> Outcome:
        await self._caller.paced(work)
        money = UNBUDGETED
        if self._budgets is not None and self._budgets.active:
            answer = await reserve(self._budgets, work)
            if isinstance(answer, Refusal):
                return self._uncalled(refused(work, answer, self._caller))
            money = answer
        if (blocked := self._caller.blocked(work, queue_ms)) is not None:
            if self._budgets is not None:
                self._budgets.release(money)
            return self._uncalled(blocked)
        with serving(self._tracing.tracer, names.SPAN_GENERATE, metadata_of(context)) as span:
            if span.is_recording():
                spans.describe(span, work, GRPC, self._caller.capture_prompts)
            return await self._call(work, Tap(emit), queue_ms, span, money)

    def _uncalled(self, outcome: Outcome) -> Outcome:
        self._caller.metrics.attempt(outcome)
        return outcome

    async def _call(self, work: Work, tap: Tap, queue_ms: int, span: Span, money: Reservation) -> Outcome:
        about = _About(self._writer.own_partition(work.request.identity), now_ms(), headers_from_context(span), money)
        outcome = None
        try:
            outcome = await self._started(work, queue_ms, about)
            if outcome is None:
                outcome = await self._caller.call(work, tap, queue_ms, span)
        finally:
            self._settle(work, outcome or self._caller.cancelled(work, tap, queue_ms), about)
        return outcome

    async def _started(self, work: Work, queue_ms: int, about: "_About") -> Outcome | None:
        """Write the start. Under a hard budget it is in the log when this returns, and what was reserved may still be spent;
        the outcome when it may not."""
        if self._outbox is None:
            return None
        record = self._writer.started(work, 1, about.partition, GRPC, about.begun_ms, about.trace, about.money)
        if not about.money.hard or self._budgets is None:
            self._outbox.put([[record]], _nothing)
            return None
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outbox.put([[record]], partial(_resolve, confirmed))
        if not await _granted(confirmed, work.deadline_ms - about.begun_ms):
            late = uncalled(work, FaultKind.LATE, "the log did not confirm the start in time, which a hard budget asks for")
            return self._uncalled(self._caller.own(late, queue_ms))
        lapsed = self._budgets.lapsed(about.money)
        return None if lapsed is None else self._uncalled(refused(work, lapsed, self._caller))

    def _settle(self, work: Work, outcome: Outcome, about: "_About") -> None:
        if self._outbox is not None:
            record = self._writer.settled(
                work, outcome, 1, about.partition, GRPC, about.begun_ms, about.trace, about.money
            )
            self._outbox.put([[record]], partial(self._settled, work, outcome, about.money))

    def _settled(self, work: Work, outcome: Outcome, money: Reservation) -> None:
        if self._budgets is not None and money is not UNBUDGETED:
            self._budgets.settle(money, charged(work, outcome, money.worst))


@dataclass(frozen=True, slots=True)
class _About:
    """One execution: where its records go, when it began, its trace, and what it may cost."""

    partition: int
    begun_ms: int
    trace: Headers
    money: Reservation


def _work(request: journey_pb2.Work, context: Context) -> Work:
    """The work, due when the call or the attempt is due, whichever comes first."""
    work = codec.work_from(request)
    left_s = context.time_remaining()
    due_ms = now_ms() + int(left_s * 1000) - _MARGIN_MS if left_s is not None else work.deadline_ms
    return replace(work, deadline_ms=min(work.deadline_ms or due_ms, due_ms))


async def _granted(granted: asyncio.Future[None], wait_ms: int) -> bool:
    if granted.done():
        return True
    try:
        async with asyncio.timeout(max(0, wait_ms) / 1000):
            await granted
    except TimeoutError:
        return False
    return True


def _resolve(granted: asyncio.Future[None]) -> None:
    if not granted.done():
        granted.set_result(None)


def _nothing() -> None:
    return
