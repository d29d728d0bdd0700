"""Closes accounts whose holder is gone, at what it has spent at most (docs/decisions/0019).

A holder that lives renews its account; one that has not for `valid_ms` calls nothing on it any more. Some time after that, by
this process's own clock and since it read the record itself, the ends of the logs are asked for and read up to: whatever the
holder called is then in the attempts. The closing names the last record that was seen of the account; when the holder has written
since, the closing means nothing. So several auditors, a slow one and one that was frozen can do no harm.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final, Self

from aiokafka.errors import KafkaError

from services.budget.book import Book, Name
from trivium.codec.budgets import account_key, account_to, budget_record_from
from trivium.core.budget import DAY_MS, AccountRecord, Key, Rules, rule_name
from trivium.core.budget_fold import Account, State
from trivium.core.errors import Unreachable
from trivium.core.policy import Tier
from trivium.kafka import topics
from trivium.kafka.producer import Producer
from trivium.kafka.reader import ReaderOptions, Tail, end_offsets
from trivium.kafka.record import Delivered, Record

_LOG = logging.getLogger(__name__)

ATTEMPTS: Final = tuple(topics.attempts(tier) for tier in Tier)
_MARGIN: Final = 4
"""Beyond `valid_ms` a quarter of it is waited."""
TICK_S: Final = 1.0
_HOUR_MS: Final = 3_600_000
_LONGEST_VALID_MS: Final = _HOUR_MS
_PUBLISH_MS: Final = 10_000
_HEADERS: Final = (
    (topics.HEADER_CONTENT_TYPE, b"application/protobuf"),
    (topics.HEADER_SCHEMA, b"trivium.v1.BudgetRecord"),
)

Look = Callable[[State, Key | None], None]
"""Called after each record of the log: the fold, and which budget has changed (None: the rules)."""


class Auditor:
    """Follows the log and the attempts. `async with` it, then `run`."""

    def __init__(
        self,
        bootstrap: str,
        instance: str,
        producer: Producer,
        look: Look = lambda _state, _key: None,
        reader: ReaderOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = State()
        self.book = Book()
        self.closed = 0
        """Accounts that this process has closed."""
        self._bootstrap, self._instance, self._producer = bootstrap, instance, producer
        self._look, self._clock = look, clock
        self._reader = reader or ReaderOptions(client_id=instance)
        self._budget = Tail(bootstrap, topics.BUDGET, self.read, options=self._reader)
        self._attempts: dict[str, Tail] = {}
        self._alive: dict[Name, tuple[Key, float]] = {}
        """Open accounts with something to spend, and when their last record was read here."""
        self._since_ms = 0
        """From when on the attempts were read."""
        self._late: set[Name] = set()
        """Accounts that settled since they were looked at last."""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Reads the log, then the attempts since the oldest holder that has not closed began. Raises Unreachable."""
        try:
            await self._open(self._budget)
            oldest_ms = min((_began_ms(name[0]) for name in self._alive), default=_now_ms())
            self._since_ms = max(0, min(oldest_ms, _now_ms()) - DAY_MS)
            for topic in ATTEMPTS:
                tail = Tail(self._bootstrap, topic, self.read_attempt, options=self._reader, since_ms=self._since_ms)
                self._attempts[topic] = tail
                await self._open(tail)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def run(self, stopping: asyncio.Event) -> None:
        """Until told to stop. A broker that is away is waited for."""
        while not stopping.is_set():
            try:
                await self.audit()
            except (Unreachable, KafkaError, OSError, TimeoutError) as error:
                _LOG.warning("accounts of holders that are gone stay open for the moment: %s", error)
            try:
                async with asyncio.timeout(TICK_S):
                    await stopping.wait()
            except TimeoutError:
                continue

    async def audit(self) -> None:
        """Close what is due, and lower what settled late."""
        due = [name for name, (key, seen_s) in self._alive.items() if self._is_over(name, key, seen_s)]
        if due and await self._has_read_all():
            for name in due:
                await self._close(name)
        late, self._late = self._late, set()
        for name in late:
            await self._lower(name)
        if due or late:
            self._forget()

    def read(self, record: Delivered) -> None:
        """One record of trivium.budget."""
        told = budget_record_from(record.value)
        if isinstance(told, Rules):
            if self.state.take_rules(told, record.timestamp_ms):
                self._look(self.state, None)
        elif isinstance(told, AccountRecord) and self.state.take_account(told, record.timestamp_ms):
            account, name = self.state.account(told.key, told.holder), (told.holder, "|".join(told.key))
            if account is None or account.closed or account.most <= told.spent:
                self._alive.pop(name, None)
            else:
                self._alive[name] = (told.key, self._clock())
            self._look(self.state, told.key)

    def read_attempt(self, record: Delivered) -> None:
        """One record of trivium.attempts.*"""
        self._late.update(self.book.take(record.value))

    async def _open(self, tail: Tail) -> None:
        await self._stack.enter_async_context(tail)
        if not await tail.wait_caught_up(_LONGEST_VALID_MS):
            raise Unreachable("the logs could not be read up to their end in an hour")

    def _is_over(self, name: Name, key: Key, seen_s: float) -> bool:
        account = self.state.account(key, name[0])
        if account is None:
            return True
        valid_ms = min(account.last.valid_ms or _LONGEST_VALID_MS, _LONGEST_VALID_MS)
        return (self._clock() - seen_s) * 1000 > valid_ms + valid_ms // _MARGIN

    async def _has_read_all(self) -> bool:
        """Whether everything that is in the logs now has been read; asked again with the next tick when not."""
        for topic, tail in {topics.BUDGET: self._budget, **self._attempts}.items():
            if not tail.has_read(await end_offsets(self._bootstrap, topic, self._reader)):
                return False
        return True

    async def _close(self, name: Name) -> None:
        key, seen_s = self._alive.get(name, (("", ""), 0.0))
        account = self.state.account(key, name[0])
        if account is None:
            self._alive.pop(name, None)
        elif name in self._alive and self._is_over(name, key, seen_s):
            amount = self._spent_at_most(name, account)
            _LOG.warning("%s is gone: its account of %s is closed at %d micro-dollars", name[0], name[1], amount)
            await self._write(account, amount)
            if self._alive.get(name) == (key, seen_s):
                # Else it has written meanwhile, and lives.
                del self._alive[name]
            self.closed += 1

    def _spent_at_most(self, name: Name, account: Account) -> int:
        """Under a hard budget nothing was called that the account did not have; a soft one counts whatever was."""
        if not self._knows_all_of(name[0]):
            return account.most
        amount, rule = max(self.book.amount(name), account.last.spent), self.state.rules.get(rule_name(name[1]))
        return amount if rule is not None and not rule.hard else min(account.most, amount)

    def _knows_all_of(self, holder: str) -> bool:
        """Whether every attempt of it was read: it did not begin before reading did, with an hour for clocks that differ."""
        return _began_ms(holder) >= self._since_ms + _HOUR_MS

    async def _lower(self, name: Name) -> None:
        """A call that was counted at its worst case has settled after all."""
        budget, _, period = name[1].rpartition("|")
        account = self.state.account((budget, period), name[0])
        if account is not None and account.closed and account.last.by != name[0] and self._knows_all_of(name[0]):
            amount = self.book.amount(name)
            if 0 <= amount < account.most:
                await self._write(account, amount)

    async def _write(self, account: Account, amount: int) -> None:
        last = account.last
        record = AccountRecord(
            last.holder,
            *last.key,
            have=account.most,
            upto=amount,
            spent=amount,
            number=last.number,
            closed=True,
            valid_ms=last.valid_ms,
            at_ms=_now_ms(),
            by=self._instance,
        )
        value = account_to(record).SerializeToString()
        await self._producer.publish(Record(topics.BUDGET, account_key(record), value, _HEADERS, 0), _PUBLISH_MS)

    def _forget(self) -> None:
        """Attempts of holders that have nothing left in the fold."""
        known = {account.last.holder for _, account in self.state.accounts()}
        for holder in self.book.holders - known:
            if _began_ms(holder) + 2 * DAY_MS < self.state.newest_ms:
                self.book.forget(holder)


def _began_ms(holder: str) -> int:
    """When a holder began, by its name; 0 when that does not say."""
    try:
        return int(holder.rpartition("/")[2].partition("-")[0], 16)
    except ValueError:
        return 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
