"""The fold of trivium.budget: who has how much of which budget. Every reader computes the same.

An account's record says what its holder has (`have`) and wants to have (`upto`). What it asks for is granted as far as
the limit has it free, in the order of the log:

    free = limit - what the others have - have        granted = min(upto - have, free)

Compaction takes records away, and a fold of what is left could grant less to an account than its holder was granted when all of
them were there: too little counted is money spent twice. What was taken shows itself: the number of the account's next
record leaves a gap, or asks before any rules were read. Then every ask of that budget that nothing has confirmed yet counts
for all that it wanted (`most`), also those that come after it, until their holder's next record says what it has. Each amount
is then at least what a reader of the whole log has, and a holder takes at most that (`sure`) for itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from trivium.core.budget import DAY_MS, AccountRecord, Key, Rules, period_end_ms, rule_name
from trivium.core.policy import Budget

KEPT_MS: Final = 2 * DAY_MS
"""How long a period is remembered after its end, by the broker's time."""


@dataclass(slots=True)
class Account:
    """What a holder has, the spent money included."""

    most: int
    """What it has at most: what others must leave to it."""
    sure: int
    """What it has at least: what its holder may spend."""
    last: AccountRecord
    doubtful: bool
    """`most` and `sure` may differ."""
    closed: bool = False

    @property
    def spent(self) -> int:
        """As far as it was told."""
        return self.most if self.closed else self.last.spent


class Pot:
    """One budget in one period."""

    __slots__ = ("accounts", "doubtful", "most", "spent")

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        """By holder."""
        self.most = 0
        """What all of them have at most."""
        self.spent = 0
        """As far as they told."""
        self.doubtful = 0

    def put(self, account: Account) -> None:
        """In the place of the holder's account as it was."""
        before = self.accounts.get(account.last.holder)
        if before is not None:
            self.most -= before.most
            self.spent -= before.spent
            self.doubtful -= before.doubtful
        self.most += account.most
        self.spent += account.spent
        self.doubtful += account.doubtful
        self.accounts[account.last.holder] = account

    def doubt(self) -> None:
        """Something is missing before this point: what was asked and not confirmed may have been granted in full."""
        for account in list(self.accounts.values()):
            last = account.last
            if not account.closed and last.upto > last.have:
                self.put(Account(max(last.upto, account.most), max(last.have, last.spent), last, True))


@dataclass(frozen=True, slots=True)
class Share:
    """How a budget stands."""

    limit: int
    """0 when no rule in force names it."""
    spent: int
    """By what the holders told."""
    reserved: int
    """What they have and have not spent."""

    @property
    def free(self) -> int:
        """Below 0 when the limit was lowered."""
        return self.limit - self.spent - self.reserved


class State:
    """Takes the records in the order of the log."""

    def __init__(self) -> None:
        self.revision = 0
        self.rules: Mapping[str, Budget] = MappingProxyType({})
        self.pots: dict[Key, Pot] = {}
        self.newest_ms = 0
        """The broker's time of the newest record."""
        self._forgotten_ms = 0

    def take_rules(self, rules: Rules, broker_ms: int) -> bool:
        """True when they are in force now."""
        self._pass(broker_ms)
        if rules.revision <= self.revision:
            return False
        self.revision = rules.revision
        self.rules = MappingProxyType({rule.name: rule for rule in rules.budgets})
        return True

    def take_account(self, record: AccountRecord, broker_ms: int) -> bool:
        """False when the record changes nothing: it is a double, or says what cannot be."""
        self._pass(broker_ms)
        pot = self.pots.get(record.key)
        if not _sound(record) or (pot is None and not _is_period(record.period)):
            return False
        if pot is None:
            pot = self.pots[record.key] = Pot()
        known = pot.accounts.get(record.holder)
        if record.closed:
            return _close(pot, known, record)
        if known is not None and (known.closed or record.number <= known.last.number):
            return False
        if record.number != (1 if known is None else known.last.number + 1):
            pot.doubt()
            known = pot.accounts.get(record.holder)
        self._grant(pot, 0 if known is None else known.most, known is not None and known.doubtful, record)
        return True

    def share(self, key: Key) -> Share:
        """How a budget stands, by what was read so far."""
        rule, pot = self.rules.get(rule_name(key[0])), self.pots.get(key)
        limit = 0 if rule is None else rule.limit_micro_dollars
        return Share(limit, 0, 0) if pot is None else Share(limit, pot.spent, pot.most - pot.spent)

    def free(self, key: Key) -> int:
        """What could be granted to a new ask; below 0 when the limit was lowered. Soft budgets have no end."""
        rule, pot = self.rules.get(rule_name(key[0])), self.pots.get(key)
        if rule is None:
            return 0
        return rule.limit_micro_dollars - (0 if pot is None else pot.most)

    def account(self, key: Key, holder: str) -> Account | None:
        """Of one holder."""
        pot = self.pots.get(key)
        return None if pot is None else pot.accounts.get(holder)

    def accounts(self) -> Iterator[tuple[Key, Account]]:
        """All of them."""
        return ((key, account) for key, pot in self.pots.items() for account in pot.accounts.values())

    def _grant(self, pot: Pot, had: int, doubted: bool, record: AccountRecord) -> None:
        extra = record.upto - record.have
        if extra <= 0:
            amount = max(record.upto, record.spent)
            pot.put(Account(amount, amount, record, False))
            return
        rule = self.rules.get(rule_name(record.budget))
        room = 0 if rule is None else extra
        if rule is not None and rule.hard:
            room = max(0, rule.limit_micro_dollars - (pot.most - had) - record.have)
        sure = max(record.have + min(extra, room), record.spent)
        # Others that are in doubt may have less than they are counted for: then this one has more than it can be sure of.
        doubtful = rule is None or pot.doubtful > doubted
        pot.put(Account(max(record.upto, record.spent) if doubtful else sure, sure, record, doubtful))

    def _pass(self, broker_ms: int) -> None:
        """Time goes by; what nobody can pay from any more is forgotten, once a day."""
        self.newest_ms = max(self.newest_ms, broker_ms)
        if self.newest_ms - self._forgotten_ms < DAY_MS:
            return
        self._forgotten_ms = self.newest_ms
        for key in [key for key in self.pots if period_end_ms(key[1]) + KEPT_MS < self.newest_ms]:
            del self.pots[key]


def _close(pot: Pot, known: Account | None, record: AccountRecord) -> bool:
    """Closed for good. Once closed, only what it has spent at most may become less. Whoever closes another's account names the last
    record that it saw of it: when the holder has written since, it lives."""
    if known is not None and known.closed:
        if record.upto >= known.most:
            return False
    elif known is not None and record.number < known.last.number:
        return False
    elif known is None or record.number > known.last.number + 1:
        pot.doubt()
    pot.put(Account(record.upto, record.upto, record, False, closed=True))
    return True


def _sound(record: AccountRecord) -> bool:
    return bool(record.holder and record.budget) and min(record.have, record.upto, record.spent, record.number) >= 0


def _is_period(text: str) -> bool:
    try:
        period_end_ms(text)
    except (ValueError, OverflowError):
        return False
    return True
