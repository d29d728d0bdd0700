"""What a door tells the budgets, and what it tells the caller of them."""

import asyncio
from dataclasses import replace
from typing import Final

from trivium.budget.keeper import Keeper
from trivium.budget.lease import Refusal, Reservation, Waiting
from trivium.core.outcome import NO_USAGE, Fault, FaultKind, Outcome
from trivium.core.policy import Tier
from trivium.core.price import split
from trivium.core.slip import Work
from trivium.tier.caller import Caller
from trivium.tier.meter import now_ms, uncalled

_UNBILLED: Final = frozenset((
    FaultKind.LATE, FaultKind.OVERLOADED, FaultKind.RATE_LIMITED, FaultKind.REJECTED, FaultKind.TOO_LARGE, FaultKind.FORBIDDEN,
    FaultKind.OVER_BUDGET, FaultKind.AMBIGUOUS, FaultKind.STARTED_TOO_OFTEN,
))  # fmt: skip
"""No call was made, or the backend turned it away before it began."""


def own_cost(work: Work, outcome: Outcome) -> int:
    """Micro-dollars of the execution itself, as its record splits them: what a generator wrote down itself is the generator's."""
    spent = outcome.cost_micro_dollars
    return spent - split(work.target, outcome.usage, spent).parts if work.target.tier is Tier.RETRIEVAL else spent


def charged(work: Work, outcome: Outcome, reserved: int) -> int:
    """What the budgets are charged, micro-dollars: the execution's own cost; or all that was reserved, when the backend may have
    billed more than it told (a call that was given up, cut off, or not answered in time)."""
    own, result = own_cost(work, outcome), outcome.result
    if not isinstance(result, Fault) or result.unbilled or result.kind is FaultKind.INVALID:
        return own
    return own if result.kind in _UNBILLED and outcome.usage == NO_USAGE else max(own, reserved)


def refused(work: Work, refusal: Refusal, caller: Caller) -> Outcome:
    """The outcome of work that a budget cannot pay."""
    fault = refusal.fault()
    return caller.own(replace(uncalled(work, fault.kind, fault.message), result=fault))


async def reserve(budgets: Keeper, work: Work) -> Reservation | Refusal:
    """Waits for the log when it must be asked. Cancelled: nothing stays reserved."""
    answered: asyncio.Future[Reservation | Refusal] = asyncio.get_running_loop().create_future()
    got = budgets.take(work, now_ms(), answered.set_result)
    if not isinstance(got, Waiting):
        return got
    try:
        return await answered
    except asyncio.CancelledError:
        got.cancel()
        if answered.done() and not answered.cancelled() and isinstance(came := answered.result(), Reservation):
            budgets.release(came)
        raise
