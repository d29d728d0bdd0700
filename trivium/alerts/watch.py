"""Watches the fold of the budgets, and tells when a share was passed or a budget will run out: once a period, limit and share.

    async with Alerts(state, producer, kafka, webhook) as alerts:      reads back what was told before
        alerts.begin()                                                the fold has caught up
        alerts.took(key)                                              after each record of the fold

What is due is written to trivium.alerts, which is the memory of what was told. It is told (log, webhook) by who wrote the first
record of it, when that one reads it back: so several processes that watch tell it once.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Final, Protocol, Self

from aiokafka.errors import KafkaError
from google.protobuf.message import DecodeError

from trivium.alerts.webhook import Webhook
from trivium.alerts.words import as_json, sentence
from trivium.core.budget import Key, rule_name
from trivium.core.errors import Unreachable
from trivium.core.forecast import FORECAST, day_of, due, is_current, runs_out_ms, standing_of
from trivium.core.policy import Budget
from trivium.kafka import topics
from trivium.kafka.producer import Producer
from trivium.kafka.reader import ReaderOptions, Tail
from trivium.kafka.record import Delivered, Record
from trivium.v1 import records_pb2

_LOG = logging.getLogger(__name__)

LOOK_S: Final = 60.0
"""How often the clock alone is a reason to look: a forecast changes without a record."""
START_MS: Final = 15_000
_AT_ONCE: Final = 500
"""Budgets that are looked at before others get their turn in the event loop."""
_PATIENCE_MS: Final = 10_000
_RETRY_S: Final = 2.0
_HEADERS: Final = (
    (topics.HEADER_CONTENT_TYPE, b"application/protobuf"),
    (topics.HEADER_SCHEMA, b"trivium.v1.BudgetAlert"),
)
_BY: Final = "by"
"""Header: which process wrote it."""

Told = dict[Key, dict[int, set[int]]]
"""Budget and period -> limit -> percentages. A limit that was changed counts anew."""


class Spent(Protocol):
    """What a fold says of one budget."""

    @property
    def spent(self) -> int: ...


class Fold(Protocol):
    """What is asked of the fold (trivium.core.budget_fold.State)."""

    @property
    def rules(self) -> Mapping[str, Budget]: ...

    @property
    def pots(self) -> Mapping[Key, object]: ...

    def share(self, key: Key, /) -> Spent: ...


class Alerts:
    """Owned by the process that folds the budgets."""

    def __init__(
        self,
        fold: Fold,
        producer: Producer,
        bootstrap: str,
        webhook: Webhook,
        reader: ReaderOptions | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._fold, self._producer, self._webhook, self._now_ms = fold, producer, webhook, now_ms
        self._tail = Tail(bootstrap, topics.ALERTS, self.read, options=reader)
        self._by = uuid.uuid4().hex.encode()
        self._told: Told = {}
        self._asked: Told = {}
        """Written by this process, and perhaps not read back yet."""
        self._pending: dict[Key, records_pb2.BudgetAlert] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._begun = False
        self.count = 0
        """Alerts that this process has told."""

    async def __aenter__(self) -> Self:
        """Reads what was told. Raises Unreachable when that does not come to an end: everything would be told again."""
        self._tail.start()
        if not await self._tail.wait_caught_up(START_MS):
            await self._tail.stop()
            raise Unreachable(f"{topics.ALERTS} could not be read up to its end in {START_MS} ms")
        await self._webhook.__aenter__()
        self._tasks = [
            asyncio.create_task(self._telling(), name="alerts-tell"),
            asyncio.create_task(self._looking(), name="alerts-look"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._webhook.__aexit__(None, None, None)
        await self._tail.stop()

    def begin(self) -> None:
        """The fold has caught up: before that it may stand at limits that are history."""
        self._begun = True
        self._look_at_all()

    def took(self, key: Key | None = None) -> None:
        """The fold has changed at this budget; None: in its rules. Cheap, and never raises."""
        if not self._begun:
            return
        if key is None:
            self._look_at_all()
        else:
            self._look_at(key, self._now_ms())

    def read(self, record: Delivered) -> None:
        """One record of trivium.alerts."""
        try:
            alert = records_pb2.BudgetAlert.FromString(record.value or b"")
        except DecodeError:
            return
        if alert.budget and _remember(self._told, alert) and self._begun and record.header(_BY) == self._by:
            self._tell(alert)

    def _look_at_all(self) -> None:
        now_ms = self._now_ms()
        for key in list(self._fold.pots):
            self._look_at(key, now_ms)

    def _look_at(self, key: Key, now_ms: int) -> None:
        rule = self._fold.rules.get(rule_name(key[0]))
        if rule is None or not rule.alerts:
            return
        standing = standing_of(key, rule, self._fold.share(key).spent)
        percent = due(standing, _of(self._told, key, standing.limit) | _of(self._asked, key, standing.limit), now_ms)
        if percent is None:
            return
        alert = records_pb2.BudgetAlert(
            budget=key[0],
            period=key[1],
            percent=percent,
            limit_micro_dollars=standing.limit,
            spent_micro_dollars=standing.spent,
            runs_out=day_of(runs_out_ms(standing, now_ms)),
            at_ms=now_ms,
            hard=standing.hard,
        )
        _remember(self._asked, alert)
        self._pending[key] = alert
        self._wake.set()

    async def _looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._begun:
                continue
            now_ms = self._now_ms()
            for memory in (self._told, self._asked):
                for key in [key for key in memory if not is_current(key[1], now_ms)]:
                    del memory[key]
            for number, key in enumerate(list(self._fold.pots), 1):
                self._look_at(key, now_ms)
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _telling(self) -> None:
        """Of several alerts of a budget that wait while the broker is away, the newest is told."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                key, alert = next(iter(self._pending.items()))
                try:
                    await self._producer.publish(_record(alert, self._by), _PATIENCE_MS)
                except (KafkaError, OSError) as error:
                    _LOG.warning("an alert cannot be written yet, again in %g s: %r", _RETRY_S, error)
                    await asyncio.sleep(_RETRY_S)
                    continue
                if self._pending.get(key) is alert:
                    del self._pending[key]

    def _tell(self, alert: records_pb2.BudgetAlert) -> None:
        self.count += 1
        level = logging.ERROR if alert.hard and alert.percent >= 100 else logging.INFO if alert.percent == FORECAST else logging.WARNING
        _LOG.log(level, "%s", sentence(alert))
        self._webhook.post(as_json(alert))


def _remember(memory: Told, alert: records_pb2.BudgetAlert) -> bool:
    """False when it is known."""
    known = memory.setdefault((alert.budget, alert.period), {}).setdefault(alert.limit_micro_dollars, set())
    if alert.percent in known:
        return False
    known.add(alert.percent)
    return True


def _of(memory: Told, key: Key, limit: int) -> frozenset[int]:
    return frozenset(memory.get(key, {}).get(limit, ()))


def _record(alert: records_pb2.BudgetAlert, by: bytes) -> Record:
    key = f"{alert.budget}|{alert.period}".encode()
    return Record(topics.ALERTS, key, alert.SerializeToString(), (*_HEADERS, (_BY, by)))
