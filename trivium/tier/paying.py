"""What a door tells the budgets, and what it tells the caller of them."""

import asyncio
from dataclasses import replace

from trivium.budget.keeper import Keeper
from trivium.budget.lease import Refusal, Reservation, Waiting
from trivium.core.outcome import Outcome
from trivium.core.policy import Tier
from trivium.core.price import split
from trivium.core.slip import Work
from trivium.tier.caller import Caller
from trivium.tier.meter import now_ms, uncalled


def own_cost(work: Work, outcome: Outcome) -> int:
    """Micro-dollars of the execution itself, as its record splits them: what a generator wrote down itself is the generator's."""
    spent = outcome.cost_micro_dollars
    return spent - split(work.target, outcome.usage, spent).parts if work.target.tier is Tier.RETRIEVAL else spent


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
