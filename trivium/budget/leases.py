"""The accounts of one process: opened, written to the log, renewed, given back and closed."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from trivium.budget.lease import KeeperOptions, Lease
from trivium.codec.budgets import account_key, account_to
from trivium.core.budget import DAY_MS, AccountRecord, Key, Labels, keys_of, rule_name
from trivium.core.budget_fold import State
from trivium.kafka import topics
from trivium.kafka.outbox import Outbox
from trivium.kafka.record import Record

_LOG = logging.getLogger(__name__)
HEADERS: Final = (
    (topics.HEADER_CONTENT_TYPE, b"application/protobuf"),
    (topics.HEADER_SCHEMA, b"trivium.v1.BudgetRecord"),
)
_LOOK_S: Final = 0.01
_REMEMBERED: Final = 10_000
_LEAST_SHARE: Final = 200
"""A slice beyond what is needed at once is at least the limit's two hundredth,"""
_MOST_SHARE: Final = 20
"""at most its twentieth,"""
_OF_FREE: Final = 4
"""and never more than a quarter of what nobody has."""

Who = tuple[str, str, str, str, str, int]
"""Tenant, team, application, use case, end user, day."""


class Leases:
    """`state` is the fold of the log that the owner reads."""

    def __init__(
        self, state: State, instance: str, outbox: Outbox, options: KeeperOptions, clock: Callable[[], float]
    ) -> None:
        self._state = state
        self._instance = instance
        self._outbox = outbox
        self._options = options
        self._clock = clock
        self._holder = _new_holder(instance)
        self._day = 0
        self.known: dict[Who, tuple[Lease, ...]] = {}
        """What was found for whom; `of` finds the rest."""
        self._current: dict[Key, Lease] = {}
        """Of the holder that reserves now."""
        self._own: dict[tuple[str, Key], Lease] = {}
        """Of all that this process was and has not closed."""
        self._unconfirmed = 0
        self._confirmed = asyncio.Event()

    def of(self, who: Who) -> tuple[Lease, ...]:
        """One for each budget that holds for them."""
        # A clock that was set back by days does not open what everybody has forgotten.
        at_ms = max(who[5] * DAY_MS, self._state.newest_ms - DAY_MS)
        keys = keys_of(self._state.rules.values(), Labels(*who[:5]), at_ms)
        leases = tuple(self._opened(key) for key, _ in keys)
        if len(self.known) >= _REMEMBERED:
            self.known.clear()
        self.known[who] = leases
        return leases

    def follow_rules(self) -> None:
        """Other rules are in force."""
        self.known.clear()
        rules = {key: self._state.rules.get(rule_name(key[0])) for key in self._current}
        if None in rules.values():
            # What is closed is never opened again: a rule that comes back is paid under another name.
            return self._begin_anew()
        for key, lease in self._current.items():
            lease.rule = rules[key] or lease.rule
            lease.hard = lease.rule.hard

    def read(self, told: AccountRecord) -> bool:
        """A record that the state has taken; True when it is about one of ours."""
        lease = self._own.get((told.holder, told.key))
        account = None if lease is None else self._state.account(told.key, told.holder)
        if lease is None or account is None or lease.closed:
            return False
        if account.closed:
            self._closed(lease)
        elif lease.sent is not None and told.number == lease.sent.number:
            lease.sent = None
            lease.held = account.sure
            lease.granted_s = lease.sent_s
            lease.valid_until_s = lease.sent_s + self._options.valid_ms / 1000
        return True

    def ask(self, lease: Lease, needed: int) -> None:
        """Write that it wants at least `needed` beside what is in use, and a slice that grows with use."""
        limit = lease.rule.limit_micro_dollars
        wished = min(max(2 * lease.used, limit // _LEAST_SHARE), limit // _MOST_SHARE)
        wished = max(0, min(wished, self._state.free(lease.key) // _OF_FREE))
        lease.used = 0
        self._write(lease, max(lease.held, lease.spent + lease.reserved + needed + wished))

    def tick(self, at_ms: int) -> None:
        """Give back, report, renew, forget: whatever is due. `at_ms`: epoch ms."""
        if at_ms // DAY_MS != self._day:
            # A holder lives for a day, so that an auditor that starts has no more than that to read of it.
            self._day, first = at_ms // DAY_MS, not self._day
            if not first:
                self._begin_anew()
        now_s = self._clock()
        for lease in list(self._own.values()):
            if lease.closed:
                if not lease.reserved:
                    self._forget(lease)
            elif lease.sent is None:
                self._look_after(lease, now_s)

    async def leave(self) -> None:
        """Close what is settled, or will be in a moment; what is not, an auditor closes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.ask_ms / 1000):
                while any(lease.reserved for lease in self._own.values()):  # noqa: ASYNC110 (a call that ended settles when the log has it)
                    await asyncio.sleep(_LOOK_S)
        for lease in list(self._own.values()):
            if not lease.closed and (lease.number or lease.spent):
                lease.retired = True
                self._write(lease, lease.spent + lease.reserved, closed=not lease.reserved)
        if self._unconfirmed:
            try:
                async with asyncio.timeout(self._options.ask_ms / 1000):
                    await self._confirmed.wait()
            except TimeoutError:
                _LOG.warning("%d records of budgets were not confirmed before the end", self._unconfirmed)

    def _opened(self, key: Key) -> Lease:
        lease = self._current.get(key)
        if lease is None:
            lease = Lease(self._holder, key, self._state.rules[rule_name(key[0])])
            known = self._state.account(key, self._holder)
            if known is not None:
                lease.number, lease.held, lease.spent = known.last.number, known.sure, known.last.spent
                lease.told = lease.spent
            self._current[key] = self._own[self._holder, key] = lease
        return lease

    def _look_after(self, lease: Lease, now_s: float) -> None:
        options, used = self._options, lease.spent + lease.reserved
        idle_ms, age_ms = (now_s - lease.used_s) * 1000, (now_s - lease.sent_s) * 1000
        if lease.retired and not lease.reserved:
            return self._write(lease, lease.spent, closed=True) if lease.number or lease.spent else self._forget(lease)
        if lease.quiet:
            return self._forget(lease) if idle_ms >= options.forget_ms and not lease.wanted else None
        reports = lease.spent != lease.told and age_ms >= options.report_ms
        renews = age_ms >= options.valid_ms / 4
        free = self._state.free(lease.key)
        busy = lease.hard and not lease.retired and idle_ms < options.idle_ms and free >= 0
        if busy and free and lease.free < lease.used // 2:
            self.ask(lease, lease.wanted)
        elif reports or renews or (lease.hard and not busy and used < lease.held):
            self._write(lease, max(used, lease.held) if busy else used)

    def _closed(self, lease: Lease) -> None:
        ours = lease.sent is not None and lease.sent.closed
        lease.closed = True
        lease.valid_until_s = 0.0
        if ours:
            return
        _LOG.warning("%s was taken for dead: its account of %s is closed", lease.holder, lease.name)
        if lease.holder == self._holder:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Under another name; what the old one has is given back as it settles."""
        self.known.clear()
        for lease in list(self._current.values()):
            self._retire(lease)
        self._holder = _new_holder(self._instance)

    def _retire(self, lease: Lease) -> None:
        lease.retired = True
        if self._current.get(lease.key) is lease:
            del self._current[lease.key]

    def _forget(self, lease: Lease) -> None:
        self._own.pop((lease.holder, lease.key), None)
        if self._current.get(lease.key) is lease:
            del self._current[lease.key]
            self.known.clear()

    def _write(self, lease: Lease, upto: int, closed: bool = False) -> None:
        lease.number += 1
        record = AccountRecord(
            lease.holder,
            *lease.key,
            have=lease.held,
            upto=upto,
            spent=lease.spent,
            number=lease.number,
            closed=closed,
            valid_ms=self._options.valid_ms,
            at_ms=time.time_ns() // 1_000_000,
            by=lease.holder,
        )
        lease.sent, lease.sent_s, lease.told = record, self._clock(), lease.spent
        # What is given back is another's as soon as the record is in the log.
        lease.held = min(lease.held, upto)
        value = account_to(record).SerializeToString()
        self._unconfirmed += 1
        self._confirmed.clear()
        self._outbox.put([[Record(topics.BUDGET, account_key(record), value, HEADERS, 0)]], self._on_confirmed)

    def _on_confirmed(self) -> None:
        self._unconfirmed -= 1
        if not self._unconfirmed:
            self._confirmed.set()


def _new_holder(instance: str) -> str:
    """The start in ms stands in it: nothing that it pays was begun before."""
    return f"{instance}/{time.time_ns() // 1_000_000:x}-{secrets.token_hex(4)}"
