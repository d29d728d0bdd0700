"""Stage 9: the terminal, whichever way a journey ends. Money and tokens are sums over the attempts, tools included."""

from typing import Any, Final

from trivium.core import over, price
from trivium.core.decision import Decision, Source
from trivium.core.outcome import (
    NO_USAGE,
    Answer,
    Attempt,
    CacheNote,
    Fault,
    FaultKind,
    Outcome,
    Reason,
    ReasonCode,
    Terminal,
    TerminalKind,
    Usage,
    Verdict,
)
from trivium.core.policy import Policy
from trivium.core.prompt import estimate_tokens
from trivium.core.quick import replace
from trivium.core.request import Identity, Request
from trivium.core.scope import writable
from trivium.core.slip import Arrival, CacheHit, CacheScope, End, Journey
from trivium.core.trail import Trail, clip, extended

CODES: Final = {
    FaultKind.TOO_LARGE: ReasonCode.TOO_LARGE,
    FaultKind.CANCELLED: ReasonCode.CANCELLED,
    FaultKind.STARTED_TOO_OFTEN: ReasonCode.STARTED_TOO_OFTEN,
}
"""Last faults that have a reason of their own."""

FAULT_BYTES: Final = 300
"""Of a vendor's own words in a reason; the attempt has all of them."""

REFUSED: Final = 5
"""Refused candidates that a slip and a terminal carry."""


def answered(journey: Journey, outcome: Outcome, policy: Policy, trail: Trail, now_ms: int, good: bool = True) -> End:
    """The journey ends in this answer. `good`: it passed its bar; one that did not is given, and never cached."""
    answer = outcome.result
    assert isinstance(answer, Answer)
    leg = next((leg for leg in journey.route if leg.target.name == outcome.target), None)
    terminal = _terminal(
        journey,
        TerminalKind.ANSWERED,
        policy.revision,
        now_ms,
        answer=answer,
        tier=leg.target.tier.value if leg else "",
        target=outcome.target,
        all_cloud_micro_dollars=price.all_cloud(policy, outcome.usage),
        ttft_ms=_ttft(journey, outcome),
        tpot_us=outcome.tpot_us,
    )
    low = "" if good else ", below its bar, but nothing better came"
    trail.say("finish", f"answered by {outcome.target}{low}; {_bill(terminal)}")
    return _end(journey, terminal, trail, writable(journey, answer) if good else None)


def from_cache(journey: Journey, hit: CacheHit, policy: Policy, now_ms: int) -> End:
    """The journey ends before any attempt. All-cloud cost: the estimated prompt and the answer that is reused."""
    spared = Usage(input_tokens=journey.decision.prompt_tokens, output_tokens=estimate_tokens(hit.answer.text))
    terminal = _terminal(
        journey,
        TerminalKind.ANSWERED,
        policy.revision,
        now_ms,
        answer=hit.answer,
        tier="cache",
        all_cloud_micro_dollars=price.all_cloud(policy, spared),
        ttft_ms=max(0, now_ms - journey.arrived_ms),
        cache=hit.note,
    )
    return _end(journey, terminal, Trail())


def hit_words(note: CacheNote) -> str:
    """The line that a hit leaves."""
    return f"{note.kind} hit: similarity {note.similarity:.2f}, score {note.score:.2f}, made for {note.made_for}"


def expired(journey: Journey, policy: Policy, trail: Trail, now_ms: int) -> End:
    """The deadline passed and no answer had come."""
    took = max(0, journey.deadline_ms - journey.arrived_ms)
    reason = Reason(
        ReasonCode.DEADLINE,
        f"no answer within {took} ms" + (f": {_faults(journey)}" if journey.attempts else ""),
        "timeout_ms",
        "give it more time, or ask when the targets are less busy",
    )
    return _without_answer(journey, TerminalKind.EXPIRED, reason, policy, trail, now_ms)


def failed(journey: Journey, policy: Policy, trail: Trail, now_ms: int) -> End:
    """Every attempt ended in a fault, and nothing is left. The faults stand in the reason in order."""
    last = journey.attempts[-1].fault
    code = CODES.get(last.kind, ReasonCode.ATTEMPTS_FAILED) if last else ReasonCode.ATTEMPTS_FAILED
    barred = trail.reasons()
    reason = Reason(code, _faults(journey) + (f"; not tried: {barred}" if barred else ""))
    return _without_answer(journey, TerminalKind.FAILED, reason, policy, trail, now_ms)


def over_budget(journey: Journey, fault: Fault, policy: Policy, trail: Trail, now_ms: int) -> End:
    """A hard budget has too little left, and nothing that costs less may or can carry it."""
    reason = over.refusal(journey.attempts[-1], fault, policy, trail.reasons(), now_ms)
    return _without_answer(journey, TerminalKind.REFUSED, reason, policy, trail, now_ms)


def refused(journey: Journey, reason: Reason, policy: Policy, trail: Trail, now_ms: int) -> End:
    """Admitted, but nothing may or can carry it."""
    return _without_answer(journey, TerminalKind.REFUSED, reason, policy, trail, now_ms)


def cancelled(journey: Journey, policy_revision: int, now_ms: int) -> End:
    """The caller no longer wants it. An open attempt is closed as failed; what it still costs comes later, as a stray."""
    fault = Fault(FaultKind.CANCELLED, "the caller cancelled")
    attempts = tuple(
        replace(a, verdict=Verdict.FAILED, fault=fault, duration_ms=max(0, now_ms - a.started_ms))
        if a.verdict is Verdict.OPEN
        else a
        for a in journey.attempts
    )
    closed = replace(journey, attempts=attempts)
    reason = Reason(ReasonCode.CANCELLED, "cancelled by the caller")
    terminal = _terminal(closed, TerminalKind.FAILED, policy_revision, now_ms, reason=reason)
    trail = Trail()
    trail.say("finish", f"cancelled; {_bill(terminal)}")
    return _end(closed, terminal, trail)


def at_the_door(
    request: Request | Identity, reason: Reason, policy: Policy, arrival: Arrival, reply_topic: str, now_ms: int
) -> End:
    """A request that never began: refused with its reason."""
    asked = Request(request, ()) if isinstance(request, Identity) else request
    terminal = Terminal(
        asked.identity,
        TerminalKind.REFUSED,
        reason=reason,
        task_type=asked.task_type if asked.task_type in policy.tasks else "",
        arrived_ms=now_ms,
        ended_ms=now_ms,
        policy_revision=policy.revision,
        trace_id=trace_id(arrival.traceparent),
    )
    trail = Trail()
    where = f"{reason.field}: " if reason.field else ""
    trail.say("admit", f"refused: {where}{reason.message}" + (f" ({reason.hint})" if reason.hint else ""))
    bare = Decision(policy.revision, policy.fingerprint, Source.DEFAULT, terminal.task_type)
    return End(terminal, extended(bare, trail), asked, reply_topic, arrival.content_type)


def trace_id(traceparent: str) -> str:
    """The second of the four fields of a W3C traceparent; empty when it is none."""
    fields = traceparent.split("-")
    return fields[1] if len(fields) >= 4 and len(fields[1]) == 32 else ""


def _without_answer(
    journey: Journey, kind: TerminalKind, reason: Reason, policy: Policy, trail: Trail, now_ms: int
) -> End:
    terminal = _terminal(journey, kind, policy.revision, now_ms, reason=reason)
    trail.say("finish", f"{kind.value}: {reason.message}; {_bill(terminal)}")
    return _end(journey, terminal, trail)


def _terminal(journey: Journey, kind: TerminalKind, policy_revision: int, now_ms: int, **more: Any) -> Terminal:
    """What all terminals have; `more`: fields of Terminal that only this one has."""
    usage = journey.attempts[0].usage if journey.attempts else NO_USAGE
    for attempt in journey.attempts[1:]:
        usage += attempt.usage
    return Terminal(
        identity=journey.request.identity,
        kind=kind,
        task_type=journey.task.name,
        attempts=journey.attempts,
        usage=usage,
        cost_micro_dollars=sum(attempt.cost_micro_dollars for attempt in journey.attempts),
        arrived_ms=journey.arrived_ms,
        ended_ms=max(now_ms, journey.arrived_ms),
        refused_candidates=journey.refused_candidates,
        policy_revision=policy_revision,
        trace_id=trace_id(journey.traceparent),
        **more,
    )


def _end(journey: Journey, terminal: Terminal, trail: Trail, write: CacheScope | None = None) -> End:
    return End(
        terminal, extended(journey.decision, trail), journey.request, journey.reply_topic, journey.content_type, write
    )


def _ttft(journey: Journey, outcome: Outcome) -> int | None:
    """From arrival to the first token of the answer that was given, queue included."""
    if outcome.ttft_ms is None:
        return None
    began = outcome.started_ms or next((a.started_ms for a in journey.attempts if a.number == outcome.attempt), 0)
    return max(0, began - journey.arrived_ms) + outcome.ttft_ms


def _faults(journey: Journey) -> str:
    return "; ".join(_came_of(attempt) for attempt in journey.attempts)


def _came_of(attempt: Attempt) -> str:
    if attempt.fault is None:
        return f"{attempt.target}: {attempt.why or attempt.verdict.value}"
    said = clip(attempt.fault.message, FAULT_BYTES)
    return f"{attempt.target}: {attempt.fault.kind.value}" + (f" ({said})" if said else "")


def _bill(terminal: Terminal) -> str:
    count = len(terminal.attempts)
    calls = "no call" if not count else "1 attempt" if count == 1 else f"{count} attempts"
    return f"{calls}, {terminal.cost_micro_dollars} micro-dollars, {terminal.ended_ms - terminal.arrived_ms} ms"
