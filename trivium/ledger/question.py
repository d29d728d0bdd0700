"""What a report is asked: by which dimensions, of what, from when to when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from trivium.core.errors import TriviumError
from trivium.core.near import hint
from trivium.ledger.facts import DAY_MS
from trivium.ledger.schema import WORDS

DAY: Final = "day"
END_USER: Final = "end_user"
OF_CALLS: Final = ("paid", "model")
OF_FACTS: Final = (END_USER, *OF_CALLS)
"""Dimensions that the sums do not have. `paid` is the target that was called: not `target`, where a generator writes for
another target; it and `model` are of attempts, so requests have none."""
DIMENSIONS: Final = (*WORDS, DAY, *OF_FACTS)
EPOCH: Final = date(1970, 1, 1)
FOREVER: Final = 2**62


class BadQuestion(TriviumError):
    """The report that was asked for cannot be made; the message says what would be right. `field`: of the question."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Question:
    """What to report. Times are epoch ms; `to_ms` is not in it any more."""

    by: tuple[str, ...] = ("tier",)
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Dimension -> the values that count."""
    from_ms: int = 0
    to_ms: int = FOREVER
    limit: int = 0
    """Lines at most, the dearest; 0: all. The total is that of all."""

    def checked(self) -> "Question":
        """Itself. Raises BadQuestion."""
        for where, names in (("by", self.by), ("filters", self.only)):
            for name in names:
                if name not in DIMENSIONS:
                    raise BadQuestion(f"{name!r} is none of {', '.join(DIMENSIONS)}; {hint(name, DIMENSIONS)}", where)
        if len(set(self.by)) != len(self.by):
            raise BadQuestion("the same dimension is named twice", "by")
        if not 0 <= self.from_ms < self.to_ms:
            raise BadQuestion("the span ends before it begins", "to_ms")
        return self

    @property
    def names(self) -> frozenset[str]:
        """Every dimension that it speaks of."""
        return frozenset((*self.by, *self.only))

    @property
    def whole_days(self) -> bool:
        """Whether it begins and ends with a day."""
        return all(at in (0, FOREVER) or at % DAY_MS == 0 for at in (self.from_ms, self.to_ms))

    @property
    def by_days(self) -> bool:
        """Whether the sums can answer it."""
        return self.whole_days and not self.names & set(OF_FACTS)


def iso_day(day: int) -> str:
    """2026-11-21"""
    return (EPOCH + timedelta(days=day)).isoformat()


def day_of(value: str) -> int:
    """The same the other way round. Raises BadQuestion."""
    try:
        return (date.fromisoformat(value) - EPOCH).days
    except ValueError:
        raise BadQuestion(f"{value!r} is not a day like 2026-11-21", "filters") from None
