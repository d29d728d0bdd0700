"""What holders have spent, by the attempts: the sum of what settled, and of the worst case of what started and did not settle."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from google.protobuf.message import DecodeError

from trivium.tier.records import SETTLED, STARTED
from trivium.v1 import records_pb2

Name = tuple[str, str]
"""A holder and one of its accounts (budget "|" period)."""

_NOTHING: Final = ()


class Book:
    """A fold of trivium.attempts.*, in any order of the topics. Doubles count once."""

    def __init__(self) -> None:
        self._open: dict[str, dict[int, tuple[int, tuple[str, ...]]]] = defaultdict(dict)
        # 64-bit hashes instead of keys: a tenth of the memory.
        self._settled: dict[str, set[int]] = defaultdict(set)
        self._begun: dict[int, str] = {}
        """Who holds what is open."""
        self._amounts: dict[Name, int] = defaultdict(int)

    def take(self, value: bytes | None) -> Iterator[Name]:
        """One record; gives the accounts whose amount has become less or more. What no budget paid, and what cannot be read, gives
        none."""
        try:
            told = records_pb2.AttemptRecord.FromString(value or b"")
        except DecodeError:
            return iter(_NOTHING)
        who = told.identity
        mark = hash((who.tenant, who.id, who.replay, told.attempt, told.execution, told.instance, told.begun_ms))
        holder = told.holder or (self._begun.get(mark, "") if told.state == SETTLED else "")
        if not holder or (told.holder and not told.budgets):
            return iter(_NOTHING)
        return self._started(holder, mark, told) if told.state == STARTED else self._settle(holder, mark, told)

    def _started(self, holder: str, mark: int, told: records_pb2.AttemptRecord) -> Iterator[Name]:
        opened = self._open[holder]
        if mark in self._settled[holder] or mark in opened:
            return iter(_NOTHING)
        names = tuple(told.budgets)
        opened[mark], self._begun[mark] = (told.reserved_micro_dollars, names), holder
        return self._add(holder, names, told.reserved_micro_dollars)

    def _settle(self, holder: str, mark: int, told: records_pb2.AttemptRecord) -> Iterator[Name]:
        """Batch work may be settled by a process that has reserved nothing, after the one that began it: at its cost, when that is sure."""
        if told.state != SETTLED or mark in self._settled[holder] or (not told.holder and told.fault):
            return iter(_NOTHING)
        self._settled[holder].add(mark)
        self._begun.pop(mark, None)
        worst, names = self._open[holder].pop(mark, (0, tuple(told.budgets)))
        own = told.cost_micro_dollars - told.costs.parts
        charged = told.charged_micro_dollars if told.HasField("charged_micro_dollars") else own
        return self._add(holder, names, charged - worst)

    def amount(self, name: Name) -> int:
        """Micro-dollars that the holder has spent at most on this account."""
        return self._amounts.get(name, 0)

    def forget(self, holder: str) -> None:
        """Nothing more will be asked about it."""
        for mark in self._open.pop(holder, ()):
            self._begun.pop(mark, None)
        self._settled.pop(holder, None)
        for name in [name for name in self._amounts if name[0] == holder]:
            del self._amounts[name]

    @property
    def holders(self) -> frozenset[str]:
        """Of whom something was read."""
        return frozenset(self._settled)

    def _add(self, holder: str, names: tuple[str, ...], change: int) -> Iterator[Name]:
        for name in names:
            self._amounts[holder, name] += change
        return iter([(holder, name) for name in names])
