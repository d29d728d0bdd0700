"""What one holder has of one budget, and what is reserved from it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from trivium.core.budget import AccountRecord, Key
from trivium.core.outcome import Fault, FaultKind
from trivium.core.policy import Budget


class Lease:
    """One account of this process. Amounts are micro-dollars, instants seconds of the monotonic clock."""

    __slots__ = (
        "closed",
        "granted_s",
        "hard",
        "held",
        "holder",
        "key",
        "name",
        "number",
        "reserved",
        "retired",
        "rule",
        "sent",
        "sent_s",
        "spent",
        "told",
        "used",
        "used_s",
        "valid_until_s",
        "wanted",
    )

    def __init__(self, holder: str, key: Key, rule: Budget) -> None:
        self.holder = holder
        self.key = key
        self.rule = rule
        self.hard = rule.hard
        self.name = f"{key[0]}|{key[1]}"
        self.held = 0
        """What it may spend, the spent money included: as read in the log."""
        self.reserved = 0
        """For calls that are not settled."""
        self.spent = 0
        self.wanted = 0
        """What those that wait for the log need of it."""
        self.number = 0
        """Of the last record that was written."""
        self.sent: AccountRecord | None = None
        """Written, and not read back yet."""
        self.sent_s = 0.0
        self.granted_s = 0.0
        self.told = 0
        """What the last record said was spent."""
        self.used = 0
        """Reserved since more was asked for last: what a busy lease asks for at once."""
        self.used_s = 0.0
        self.valid_until_s = 0.0
        """Nothing is called on it after that, until a newer record was read back."""
        self.retired = False
        """Gives back what is free; closed once nothing is reserved."""
        self.closed = False

    @property
    def free(self) -> int:
        return self.held - self.spent - self.reserved

    @property
    def quiet(self) -> bool:
        """Its last record says all there is to say: it needs no renewal."""
        return not self.reserved and self.held <= self.spent == self.told and self.sent is None


class Reservation:
    """The most that one execution can cost, taken out of every budget that it comes under."""

    __slots__ = ("hard", "holder", "leases", "open", "worst")

    def __init__(self, holder: str, worst: int, leases: tuple[Lease, ...], hard: bool) -> None:
        self.holder = holder
        self.worst = worst
        self.leases = leases
        self.hard = hard
        """At least one of the budgets is hard: `started` must be in the log before the call, and the call before the lease ends."""
        self.open = True

    @property
    def budgets(self) -> tuple[str, ...]:
        """Names of the accounts, as `started` tells them."""
        return tuple(lease.name for lease in self.leases)

    def lapsed(self, now_s: float) -> bool:
        """No call may go on it any more: for too long nothing that this process wrote came back from the log."""
        return any(lease.hard and lease.valid_until_s <= now_s for lease in self.leases)


UNBUDGETED: Final = Reservation("", 0, (), False)
"""No budget holds for it, or it can cost nothing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing could be reserved. Micro-dollars."""

    budget: str
    limit: int
    spent: int
    reserved: int
    needed: int
    silent_ms: int = 0
    """The log did not answer for so long; 0: it did."""

    def fault(self) -> Fault:
        """As the outcome says it."""
        state = f"limit {dollars(self.limit)}, spent {dollars(self.spent)}, reserved {dollars(self.reserved)}"
        said = f"the budget {self.budget} has too little left: {state}, this call may need {dollars(self.needed)}"
        if self.silent_ms:
            said = (
                f"the log did not answer in {self.silent_ms} ms whether the budget {self.budget} can pay: as last known {state}, "
                f"this call may need {dollars(self.needed)}"
            )
        return Fault(FaultKind.OVER_BUDGET, said, budget=self.budget)


@dataclass(frozen=True, slots=True)
class KeeperOptions:
    """Times are ms."""

    valid_ms: int = 60_000
    """Nothing is called on an account for longer than that after its last record; the auditor waits as long."""
    ask_ms: int = 2_000
    """How long a request waits for the log."""
    idle_ms: int = 5_000
    """What was not used for so long is given back."""
    report_ms: int = 5_000
    """How often a busy account says what was spent."""
    forget_ms: int = 600_000
    """An account with nothing in it that was not used for so long is not kept in memory."""
    tick_ms: int = 500
    start_ms: int = 60_000
    """How long reading the log up to its end may take at the start."""


class Waiting:
    """A request that waits for the log. `then` is called once with what came of it, unless it was cancelled."""

    __slots__ = ("leases", "then", "timer", "who", "worst")

    def __init__(
        self,
        who: tuple[str, str, str, str, str, int],
        worst: int,
        leases: tuple[Lease, ...],
        then: Callable[[Reservation | Refusal], None],
    ) -> None:
        self.who = who
        self.worst = worst
        self.leases: tuple[Lease, ...] = ()
        self.move(leases)
        self.then: Callable[[Reservation | Refusal], None] | None = then
        self.timer: asyncio.TimerHandle | None = None

    def move(self, leases: tuple[Lease, ...]) -> None:
        """It waits for these now."""
        for lease in self.leases:
            lease.wanted -= self.worst
        for lease in leases:
            lease.wanted += self.worst
        self.leases = leases

    def cancel(self) -> None:
        """It waits no longer, and `then` is not called."""
        if self.then is None:
            return
        self.then = None
        for lease in self.leases:
            lease.wanted -= self.worst
        if self.timer is not None:
            self.timer.cancel()

    def end(self, result: Reservation | Refusal) -> None:
        """Tell it."""
        then = self.then
        self.cancel()
        if then is not None:
            then(result)


def dollars(micro: int) -> str:
    """$1.00, $0.000350"""
    exact = f"{abs(micro) // 1_000_000}.{abs(micro) % 1_000_000:06d}"
    kept = exact[:-4] if exact.endswith("0000") else exact
    return f"{'-' if micro < 0 else ''}${kept}"
