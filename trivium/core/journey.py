"""The journey of a request as a pure state machine. Both doors run it: the router one event at a time, the gateway in a loop.

Pure means: the same request, policy, facts and outcomes give the same steps. The clock is `facts.now_ms` (the broker's
timestamp of the record at hand), the draws are hashes. Every journey ends in exactly one `End`, whatever comes back,
as long as something comes back for every `Call` (the owner of the request writes `overdue` when nothing does).
"""

from typing import assert_never

from trivium.core import finish, over, walk
from trivium.core.admit import reply_topic_of
from trivium.core.errors import BadRequest
from trivium.core.outcome import Answer, Attempt, Fault, FaultKind, Finish, Outcome, Reason, Verdict
from trivium.core.plan import Plan
from trivium.core.policy import Over, Policy
from trivium.core.quick import replace
from trivium.core.request import Identity, Request
from trivium.core.slip import Arrival, End, Facts, Journey, Step
from trivium.core.trail import Trail


def begin(request: Request, policy: Policy, facts: Facts, arrival: Arrival) -> Step:
    """The first step of a new request: a call, an answer from the cache, or a refusal. `facts.now_ms` is its arrival."""
    try:
        return Plan(request, policy, facts, arrival).step()
    except BadRequest as error:
        return refuse(request, error.reason, policy, facts.now_ms, arrival)


def advance(journey: Journey, outcome: Outcome, policy: Policy, facts: Facts) -> Step | None:
    """The step after an outcome. None when the outcome is not of the attempt that is open (a repetition, a stray, another's):
    the journey stands where it stood, and the caller decides what a stray is worth.

    The first outcome of an attempt counts, even when it comes past a deadline: the log has ordered it before the `overdue` that
    would have ended the attempt."""
    if not awaits(journey, outcome):
        return None
    match outcome.result:
        case Answer() as answer:
            return _after_answer(journey, outcome, answer, policy, facts)
        case Fault() as fault:
            return _after_fault(journey, outcome, fault, policy, facts)
        case unreachable:
            assert_never(unreachable)


def awaits(journey: Journey, outcome: Outcome) -> bool:
    """Whether the outcome is of the attempt that is open."""
    if not journey.attempts or outcome.identity != journey.request.identity:
        return False
    last = journey.attempts[-1]
    return last.verdict is Verdict.OPEN and last.number == outcome.attempt and last.target == outcome.target


def cancel(journey: Journey, facts: Facts) -> End:
    """The caller no longer wants the answer: the journey is over now, as failed with the reason `cancelled`."""
    return finish.cancelled(journey, journey.decision.policy_revision, facts.now_ms)


def refuse(
    request: Request | Identity, reason: Reason, policy: Policy, now_ms: int, arrival: Arrival | None = None
) -> End:
    """For what is wrong before a journey begins (also at a door: `id_reused`, `wrong_shape`). The reply topic is the tenant's,
    and empty when nobody knows the tenant."""
    asked = Request(request, ()) if isinstance(request, Identity) else request
    return finish.at_the_door(asked, reason, policy, arrival or Arrival(), reply_topic_of(asked, policy), now_ms)


# --- stages 8 and 9 --------------------------------------------------------------------------------------------------


def _after_answer(journey: Journey, outcome: Outcome, answer: Answer, policy: Policy, facts: Facts) -> Step:
    trail = Trail()
    bar = journey.route[journey.position].bar
    if passes(answer, bar):
        accepted = _closed(journey, outcome, Verdict.ACCEPTED, facts.now_ms, _passing(answer, bar))
        return finish.answered(accepted, outcome, policy, trail, facts.now_ms)
    why = "no confidence" if answer.confidence is None else f"confidence {answer.confidence:.2f}"
    below = f"{why}, the bar is {bar:.2f}" if answer.finish is not Finish.REFUSAL else "the model refused"
    trail.say("walk", f"{outcome.target} answered, but {below}: up")
    escalated = _closed(journey, outcome, Verdict.ESCALATED, facts.now_ms, below)
    kept_answer = replace(escalated, earlier=walk.better(journey.earlier, outcome))
    further = walk.onward(kept_answer, trail, policy, facts)
    if further is not None:
        return walk.call(further, trail, policy, facts.now_ms)
    return _with_earlier(kept_answer, policy, trail, facts)


def _after_fault(journey: Journey, outcome: Outcome, fault: Fault, policy: Policy, facts: Facts) -> Step:
    if fault.kind is FaultKind.OVER_BUDGET:
        return _after_no_money(journey, outcome, fault, policy, facts)
    trail = Trail()
    trail.say(
        "walk", f"{outcome.target} gave no answer: {fault.kind.value}" + (f", {fault.message}" if fault.message else "")
    )
    over = _closed(journey, outcome, Verdict.FAILED, facts.now_ms, "")
    if fault.kind in (FaultKind.CANCELLED, FaultKind.STARTED_TOO_OFTEN):
        return finish.failed(over, policy, trail, facts.now_ms)
    moved = _closed(journey, outcome, Verdict.FELL_BACK, facts.now_ms, "")
    further = walk.at_once(moved, fault, trail, policy, facts) or walk.onward(moved, trail, policy, facts)
    further = further or walk.again(moved, fault, trail, policy, facts)
    if further is not None:
        return walk.call(further, trail, policy, facts.now_ms)
    if over.earlier is not None:
        return _with_earlier(over, policy, trail, facts)
    if facts.now_ms >= over.deadline_ms:
        return finish.expired(over, policy, trail, facts.now_ms)
    return finish.failed(over, policy, trail, facts.now_ms)


def _after_no_money(journey: Journey, outcome: Outcome, fault: Fault, policy: Policy, facts: Facts) -> Step:
    """A hard budget has too little left for the call: what costs less, or the same as batch work, when the policy says so."""
    trail, word = Trail(), over.word_of(policy, fault)
    trail.say("money", f"{outcome.target} was not called, over the budget {fault.budget}, which says {word.value}")
    if word is not Over.REFUSE:
        moved = _closed(journey, outcome, Verdict.FELL_BACK, facts.now_ms, "")
        patient = walk.as_batch(moved, trail, policy, facts.now_ms) if word is Over.BATCH else None
        if patient is not None:
            return patient
        further = walk.cheaper(moved, trail, policy, facts)
        if further is not None:
            return walk.call(further, trail, policy, facts.now_ms)
    ended = _closed(journey, outcome, Verdict.FAILED, facts.now_ms, "")
    if ended.earlier is not None:
        return _with_earlier(ended, policy, trail, facts)
    return finish.over_budget(ended, fault, policy, trail, facts.now_ms)


def _with_earlier(journey: Journey, policy: Policy, trail: Trail, facts: Facts) -> End:
    """Nothing better came: the best answer below its bar is given, with its low confidence, rather than none."""
    outcome = journey.earlier
    assert outcome is not None
    attempts = tuple(
        replace(a, verdict=Verdict.ACCEPTED, why=f"{a.why}; given all the same, nothing better came")
        if a.number == outcome.attempt
        else a
        for a in journey.attempts
    )
    return finish.answered(replace(journey, attempts=attempts), outcome, policy, trail, facts.now_ms, good=False)


def passes(answer: Answer, bar: float | None) -> bool:
    """Without a bar every answer passes. With one, an answer of unknown confidence does not, nor a model's refusal."""
    if bar is None:
        return True
    return answer.confidence is not None and answer.confidence >= bar and answer.finish is not Finish.REFUSAL


def _passing(answer: Answer, bar: float | None) -> str:
    if bar is None:
        return "no bar"
    return f"confidence {answer.confidence:.2f}, the bar is {bar:.2f}"


def _closed(journey: Journey, outcome: Outcome, verdict: Verdict, now_ms: int, why: str) -> Journey:
    """The journey with its open attempt closed by the outcome."""
    opened = journey.attempts[-1]
    result = outcome.result
    took = outcome.ended_ms - outcome.started_ms if outcome.ended_ms else now_ms - opened.started_ms
    closed = Attempt(
        number=opened.number,
        target=opened.target,
        started_ms=opened.started_ms,
        deadline_ms=opened.deadline_ms,
        verdict=verdict,
        fault=result if isinstance(result, Fault) else None,
        confidence=result.confidence if isinstance(result, Answer) else None,
        usage=outcome.usage,
        cost_micro_dollars=outcome.cost_micro_dollars,
        ttft_ms=outcome.ttft_ms,
        tpot_us=outcome.tpot_us,
        duration_ms=max(0, took),
        tool_uses=outcome.tool_uses,
        why=why,
        batch=opened.batch,
    )
    return replace(journey, attempts=(*journey.attempts[:-1], closed))
