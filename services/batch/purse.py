"""What batch work reserves in the budgets that hold for it, before its start is written: its worst case, at its batch prices."""

from typing import Protocol

from trivium.budget.keeper import Keeper
from trivium.budget.lease import UNBUDGETED, Refusal, Reservation
from trivium.core.outcome import Fault, Outcome
from trivium.core.slip import Work
from trivium.tier.paying import charged, reserve


class Purse(Protocol):
    """Pays for executions."""

    async def pay(self, work: Work) -> Reservation | Fault:
        """Reserve its worst case, or say which budget has too little left."""

    def may_go(self, reservation: Reservation) -> bool:
        """Asked right before a batch is submitted."""

    def settle(self, reservation: Reservation, work: Work, outcome: Outcome) -> None:
        """What it has cost is in the log."""


class NoPurse:
    """Where no budget holds."""

    async def pay(self, work: Work) -> Reservation | Fault:
        """See Purse."""
        return UNBUDGETED

    def may_go(self, reservation: Reservation) -> bool:
        """See Purse."""
        return True

    def settle(self, reservation: Reservation, work: Work, outcome: Outcome) -> None:
        """See Purse."""


class LeasedPurse:
    """Pays out of the leases of this process (docs/decisions/0019)."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def pay(self, work: Work) -> Reservation | Fault:
        """See Purse. Waits for the log for as long as the keeper does."""
        if not self._keeper.active:
            return UNBUDGETED
        answer = await reserve(self._keeper, work)
        return answer.fault() if isinstance(answer, Refusal) else answer

    def may_go(self, reservation: Reservation) -> bool:
        """See Purse."""
        return reservation is UNBUDGETED or self._keeper.lapsed(reservation) is None

    def settle(self, reservation: Reservation, work: Work, outcome: Outcome) -> None:
        """See Purse."""
        self._keeper.settle(reservation, charged(work, outcome, reservation.worst))
