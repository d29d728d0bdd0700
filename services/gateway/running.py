"""A journey run in process: begin, call, advance, until it ends."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from opentelemetry.trace import Span, SpanKind, Tracer

from services.gateway.flights import Flight
from services.gateway.tiers import CallerCancelled, Tiers
from trivium.core.journey import advance, begin, cancel
from trivium.core.outcome import Answer, Fault, Outcome
from trivium.core.policy import Tier
from trivium.core.request import OutputKind, Request
from trivium.core.slip import Arrival, Call, End, Facts, Journey, Step
from trivium.facts import FactSource, Policies, RetryBudget
from trivium.rpc.spans import Ending
from trivium.telemetry.names import (
    ATTEMPT,
    CONFIDENCE,
    COST,
    FAULT,
    REQUEST_ID,
    SPAN_ATTEMPT,
    TARGET,
    TENANT,
    TIER,
    VERDICT,
)
from trivium.telemetry.tracing import context_of, failed, link_to, metadata_from_context

_NO_MORE: Final = float("-inf")
_A_RETRY: Final = 1.0


class Running:
    """Runs journeys; one for the process."""

    def __init__(
        self, policies: Policies, facts: FactSource, tiers: Tiers, tracer: Tracer, now_ms: Callable[[], int]
    ) -> None:
        self._policies = policies
        self._facts = facts
        self._tiers = tiers
        self._tracer = tracer
        self._now_ms = now_ms
        self._budget = RetryBudget()

    async def run(self, request: Request, flight: Flight, arrival: Arrival, parent: Span) -> End:
        """The end of the request. The flight holds the journey meanwhile, for the case that the caller leaves."""
        step = self._begin(request, flight, arrival)
        previous: Span | None = None
        while isinstance(step, Call):
            step, previous = await self._attempt(step, flight, parent, previous)
        return step

    async def stream(
        self, request: Request, flight: Flight, arrival: Arrival, parent: Span
    ) -> AsyncGenerator[str | End]:
        """Pieces of the answer, then the end.

        A piece is shown as it comes where nothing can take the answer back (`shows_early`); otherwise the whole answer
        is one piece, after it was accepted. After the first piece nothing is tried again and nothing follows: a fault
        then is the end, so that two answers never mix.
        """
        step = self._begin(request, flight, arrival)
        previous: Span | None = None
        shown = False
        while isinstance(step, Call):
            if not shows_early(step.journey):
                step, previous = await self._attempt(step, flight, parent, previous)
                continue
            flight.journey = step.journey
            call, outcome = step, None
            with self._attempting(call, parent, previous) as span:
                try:
                    async with aclosing(self._tiers.stream(call.work, flight, metadata_from_context(span))) as events:
                        async for event in events:
                            if isinstance(event, Outcome):
                                outcome = event
                            else:
                                shown = True
                                yield event
                except CallerCancelled:
                    yield self.cancelled(call.journey)
                    return
                assert outcome is not None
                step = self._advance(call, outcome, _at_its_end(call.journey) if shown else call.journey, span)
            previous = span
        if not shown and step.terminal.answer is not None and step.terminal.answer.text:
            yield step.terminal.answer.text
        yield step

    def cancelled(self, journey: Journey) -> End:
        """The end of a journey that nobody waits for any more."""
        return cancel(journey, self._facts.later(self._now_ms()))

    async def _attempt(self, call: Call, flight: Flight, parent: Span, previous: Span | None) -> tuple[Step, Span]:
        flight.journey = call.journey
        with self._attempting(call, parent, previous) as span:
            try:
                outcome = await self._tiers.generate(call.work, flight, metadata_from_context(span))
            except CallerCancelled:
                failed(span, "cancelled")
                return self.cancelled(call.journey), span
            return self._advance(call, outcome, call.journey, span), span

    def _begin(self, request: Request, flight: Flight, arrival: Arrival) -> Step:
        request, found = self._facts.examined(request)
        if found:
            flight.sent = None
            arrival = replace(arrival, detected=found)
        facts = self._facts.at(self._now_ms(), request.identity.tenant)
        return begin(request, self._policies.current, facts, arrival)

    def _advance(self, call: Call, outcome: Outcome, journey: Journey, span: Span) -> Step:
        step = advance(journey, outcome, self._policies.current, self._facts_after(outcome))
        if step is None:
            raise AssertionError(f"attempt {call.work.attempt} of {outcome.identity} was not open")
        if isinstance(step, End):
            self._budget.add(max(0.0, journey.retry_tokens))
        elif step.journey.retry_tokens < journey.retry_tokens:
            self._budget.add(journey.retry_tokens - _A_RETRY)
        if span.is_recording():
            _describe(span, outcome, step)
        return step

    def _facts_after(self, outcome: Outcome) -> Facts:
        facts = self._facts.later(self._now_ms())
        if isinstance(outcome.result, Fault):
            return replace(facts, retry_tokens=self._budget.tokens)
        return facts

    def _attempting(self, call: Call, parent: Span, previous: Span | None) -> Ending:
        """The CLIENT span of an attempt; one that follows another links to it."""
        links = link_to(previous) if previous is not None else None
        span = self._tracer.start_span(SPAN_ATTEMPT, context_of(parent), SpanKind.CLIENT, links=links)
        if span.is_recording():
            identity, work = call.work.request.identity, call.work
            span.set_attribute(TENANT, identity.tenant)
            span.set_attribute(REQUEST_ID, identity.id)
            span.set_attribute(ATTEMPT, work.attempt)
            span.set_attribute(TARGET, work.target.name)
            span.set_attribute(TIER, work.target.tier.value)
        return Ending(span)


def shows_early(journey: Journey) -> bool:
    """Whether the answer of the leg that the journey stands at may be shown before it is whole.

    It may when nothing can take it back: the target streams; the leg has no bar (or it is the last, and there is no
    earlier answer that could be given instead); and nothing checks the whole (citations of the retrieval tier, the
    form of JSON).
    """
    leg = journey.route[journey.position]
    final = journey.position + 1 == len(journey.route) and journey.earlier is None
    return (
        leg.target.streams
        and leg.target.tier is not Tier.RETRIEVAL
        and journey.task.output.kind is OutputKind.TEXT
        and (leg.bar is None or final)
    )


def _at_its_end(journey: Journey) -> Journey:
    """Text of this attempt was shown: no leg after it, no retry, no earlier answer."""
    return replace(journey, route=journey.route[: journey.position + 1], earlier=None, retry_tokens=_NO_MORE)


def _describe(span: Span, outcome: Outcome, step: Step) -> None:
    result = outcome.result
    attempts = step.terminal.attempts if isinstance(step, End) else step.journey.attempts[:-1]
    span.set_attribute(COST, outcome.cost_micro_dollars)
    if attempts:
        span.set_attribute(VERDICT, attempts[-1].verdict.value)
    if isinstance(result, Answer):
        if result.confidence is not None:
            span.set_attribute(CONFIDENCE, result.confidence)
    else:
        span.set_attribute(FAULT, result.kind.value)
        failed(span, result.kind.value, result.message)
