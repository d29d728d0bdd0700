"""Stage 8: along the route, one call at a time, inside one absolute deadline.

An attempt may take 60 % of what is left when something follows it, all of it when nothing does, and never more than the
policy's attempt cap. Attempt deadlines of one journey only grow, and none passes the journey's own.
"""

from trivium.core import over, patience
from trivium.core.forbid import Case, allowed_for_now, case_of, still_allowed
from trivium.core.outcome import Attempt, Fault, FaultKind, Outcome
from trivium.core.policy import Policy, Route, Target, TaskSpec
from trivium.core.quick import replace
from trivium.core.request import Request
from trivium.core.slip import Call, Facts, Journey, Work
from trivium.core.trail import Trail, extended

DEPOSIT = 0.2
"""Of a retry token, by the first attempt."""
RETRY = 1.0
"""Tokens that a second attempt at the same target takes: one in five journeys may, out of a budget that is shared."""
TRANSIENT = frozenset({FaultKind.OVERLOADED, FaultKind.RATE_LIMITED, FaultKind.UNAVAILABLE, FaultKind.CUT})
IN_VAIN = TRANSIENT | {FaultKind.OVERDUE, FaultKind.LATE, FaultKind.INTERNAL, FaultKind.AMBIGUOUS}
"""Faults of batch work that say nothing against a normal call of the same target."""


def call(journey: Journey, trail: Trail, policy: Policy, now_ms: int) -> Call:
    """Opens an attempt at the leg that the journey stands at."""
    target = journey.route[journey.position].target
    number = len(journey.attempts) + 1
    work = None
    if journey.patient:
        work = waiting(journey.request, target, journey.task, number, now_ms, journey.deadline_ms, trail, policy)
    if work is None:
        follows = journey.position + 1 < len(journey.route)
        last = journey.attempts[-1]
        earliest = 0 if last.batch else last.deadline_ms
        until = attempt_deadline(now_ms, journey.deadline_ms, earliest, follows, policy)
        work = Work(journey.request, number, target, journey.task, until)
    return _opened(journey, work, trail, now_ms)


def as_batch(journey: Journey, trail: Trail, policy: Policy, now_ms: int) -> Call | None:
    """The same target once more, as batch work at its batch price; None when the caller waits, when it was batch work already, or
    when it cannot be (the trail says why)."""
    if not journey.patient or journey.attempts[-1].batch:
        return None
    target, number = journey.route[journey.position].target, len(journey.attempts) + 1
    work = waiting(journey.request, target, journey.task, number, now_ms, journey.deadline_ms, trail, policy, asks=True)
    return None if work is None else _opened(journey, work, trail, now_ms)


def _opened(journey: Journey, work: Work, trail: Trail, now_ms: int) -> Call:
    trail.say("walk", words(work.attempt, work.target.name, now_ms, work.deadline_ms, journey.deadline_ms))
    opened = replace(
        journey,
        attempts=(*journey.attempts, opening(work, now_ms)),
        decision=extended(journey.decision, trail),
    )
    return Call(opened, work)


def waiting(
    request: Request, target: Target, task: TaskSpec, number: int, now_ms: int, deadline_ms: int, trail: Trail, policy: Policy,
    asks: bool = False,
) -> Work | None:  # fmt: skip
    """The attempt as batch work, or None when it is to be called now. `asks`: whatever the request's priority is."""
    found = patience.waits(request, target, policy, now_ms, deadline_ms, asks)
    if found is None or isinstance(found, str):
        if found:
            trail.say("patience", f"not batch work: {found}")
        return None
    priced, wait = found
    trail.say("patience", patience.words(target.name, wait, now_ms))
    return Work(request, number, priced, task, patience.attempt_deadline(deadline_ms, policy), wait=wait)


def opening(work: Work, now_ms: int) -> Attempt:
    """The attempt that this work is."""
    return Attempt(work.attempt, work.target.name, now_ms, work.deadline_ms, batch=work.wait is not None)


def at_once(journey: Journey, fault: Fault, trail: Trail, policy: Policy, facts: Facts) -> Journey | None:
    """The journey ready for a normal call of the target whose batch was in vain; None when the fault speaks against that, or
    nothing may or can carry it now. Nothing of it waits any more, and no others are let pass."""
    if not journey.attempts[-1].batch or fault.kind not in IN_VAIN:
        return None
    here = _narrowed(journey, journey.route[journey.position :], trail, policy, facts, last_hope=journey.earlier is None)
    if not here:
        return None
    trail.say("walk", "no longer batch work: a normal call of the same target")
    done = journey.route[: journey.position]
    return replace(journey, route=done + here, patient=False, spare=False)


def attempt_deadline(now_ms: int, deadline_ms: int, earliest_ms: int, follows: bool, policy: Policy) -> int:
    """Epoch ms. `follows`: another leg can still be tried; `earliest_ms`: the deadline of the attempt before."""
    left = deadline_ms - now_ms
    share = max(1, left * 6 // 10) if follows else left
    return min(max(now_ms + min(share, policy.attempt_cap_ms), earliest_ms), deadline_ms)


def words(number: int, target: str, now_ms: int, until_ms: int, deadline_ms: int) -> str:
    """The line that an attempt leaves."""
    return f"attempt {number}: {target}, {until_ms - now_ms} of {deadline_ms - now_ms} ms"


def onward(journey: Journey, trail: Trail, policy: Policy, facts: Facts) -> Journey | None:
    """The journey at the next leg that may and can carry it, or None. Legs that are forbidden are gone for good: what is left
    of a plan only narrows."""
    done, rest = journey.route[: journey.position + 1], journey.route[journey.position + 1 :]
    left = _narrowed(journey, rest, trail, policy, facts, last_hope=journey.earlier is None)
    if not left:
        return None
    return replace(journey, route=done + left, position=journey.position + 1)


def cheaper(journey: Journey, trail: Trail, policy: Policy, facts: Facts) -> Journey | None:
    """As `onward`, after a budget had too little left: only to legs that may cost less than the one that it refused."""
    legs = over.cheaper(journey, case_now(journey, policy), trail)
    return onward(replace(journey, route=journey.route[: journey.position + 1] + legs), trail, policy, facts) if legs else None


def again(journey: Journey, fault: Fault, trail: Trail, policy: Policy, facts: Facts) -> Journey | None:
    """The journey ready to ask the same target once more: after a transient fault that asks for no pause, at the last leg, when
    the budget has a whole token and there is time."""
    available = journey.retry_tokens + facts.retry_tokens
    if fault.kind not in TRANSIENT or fault.retry_after_ms or available < RETRY:
        return None
    if journey.position + 1 < len(journey.route) or journey.earlier is not None:
        return None
    if any(a.target == journey.attempts[-1].target for a in journey.attempts[:-1]):
        return None
    here = journey.route[journey.position :]
    if not _narrowed(journey, here, trail, policy, facts, last_hope=False):
        return None
    trail.say("walk", "a retry of the same target; the budget has a token for it")
    return replace(journey, retry_tokens=max(0.0, journey.retry_tokens - RETRY))


def case_now(journey: Journey, policy: Policy) -> Case:
    """What the forbids look at, from the slip and the policy in force now."""
    tenant = policy.tenants.get(journey.request.identity.tenant)
    task = policy.tasks.get(journey.task.name)
    return case_of(
        journey.request,
        journey.task,
        journey.decision.prompt_tokens,
        tenant.corpora if tenant else frozenset(),
        task.ceiling_micro_dollars if task else 0,
    )


def better(one: Outcome | None, other: Outcome) -> Outcome:
    """Of two answers the more confident; of equals the later one, which the route holds for stronger."""
    return other if one is None or _confidence(other) >= _confidence(one) else one


def _confidence(outcome: Outcome) -> float:
    known = None if isinstance(outcome.result, Fault) else outcome.result.confidence
    return -1.0 if known is None else known


def _narrowed(journey: Journey, legs: Route, trail: Trail, policy: Policy, facts: Facts, last_hope: bool) -> Route:
    if not legs:
        return ()
    case = case_now(journey, policy)
    kept = still_allowed(legs, case, policy, trail)
    return allowed_for_now(kept, case, journey.deadline_ms - facts.now_ms, facts, trail, last_hope)
