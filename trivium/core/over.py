"""What becomes of a request whose attempt a hard budget could not pay: the policy's word for it, and what the caller is told.

The tier that was asked reserves and says no (docs/decisions/0019); nothing was called, so nothing is wrong with the target,
and the same target is not asked again.
"""

from typing import Final

from trivium.core.budget import period_end_ms, period_of
from trivium.core.explain import plain_dollars
from trivium.core.forbid import Case
from trivium.core.outcome import Attempt, Fault, FaultKind, Reason, ReasonCode
from trivium.core.policy import Budget, Leg, Over, Period, Policy
from trivium.core.price import worst_case
from trivium.core.slip import Journey
from trivium.core.trail import Trail, clip

SAID_BYTES: Final = 300


def budget_of(policy: Policy, key: str) -> Budget | None:
    """The budget that a fault names: its name, and behind a `/` the values of its "*" labels."""
    return policy.budgets.get(key.partition("/")[0])


def word_of(policy: Policy, fault: Fault) -> Over:
    """What the policy in force says is to become of it; a budget that it does not know refuses."""
    budget = budget_of(policy, fault.budget)
    return Over.REFUSE if budget is None else budget.over


def cheaper(journey: Journey, case: Case, trail: Trail) -> tuple[Leg, ...]:
    """Of the legs after the one that the journey stands at, those whose worst case is lower. The others are told as passed over."""
    here, rest = journey.route[journey.position].target, journey.route[journey.position + 1 :]
    limit = worst_case(here, case.spec, case.prompt_tokens)
    costs = [(leg, worst_case(leg.target, case.spec, case.prompt_tokens)) for leg in rest]
    kept = tuple(leg for leg, worst in costs if worst < limit)
    dear = ", ".join(f"{leg.target.name} ({worst})" for leg, worst in costs if worst >= limit)
    if dear:
        trail.say("money", f"passed over, may cost no less than the {limit} micro-dollars of {here.name}: {dear}")
    return kept


def refusal(attempt: Attempt, fault: Fault, policy: Policy, barred: str, now_ms: int) -> Reason:
    """Names the budget, its limit and when it begins anew. `barred`: why what is cheaper was not asked either."""
    budget = budget_of(policy, fault.budget)
    name = fault.budget or "of the mesh"
    said = clip(fault.message, SAID_BYTES) or f"the budget {name} has too little left"
    hint = f"who keeps the budget {name} may raise it"
    if budget is not None:
        limit = f"{plain_dollars(budget.limit_micro_dollars)} a {budget.period.value}"
        hint = f"the budget {name} is {limit} and begins anew at {anew(budget.period, now_ms)}; a shorter answer needs less of it"
    message = f"{attempt.target} was not called: {said}" + (f"; not tried: {barred}" if barred else "")
    return Reason(ReasonCode.OVER_BUDGET, message, hint=hint)


def anew(period: Period, now_ms: int) -> str:
    """When the next period begins: 2026-12-01T00:00Z."""
    ends_ms = period_end_ms(period_of(period, now_ms))
    return f"{period_of(Period.DAY, ends_ms)}T00:00Z"


def refused_by(attempt: Attempt) -> Fault | None:
    """The fault of an attempt that no budget paid for."""
    fault = attempt.fault
    return fault if fault is not None and fault.kind is FaultKind.OVER_BUDGET else None
