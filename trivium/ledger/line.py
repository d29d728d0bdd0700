"""The lines of a report."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from trivium.ledger.histogram import Counts, percentile
from trivium.ledger.question import DAY, iso_day
from trivium.ledger.schema import SUMS, TIMES

Group = tuple[str, ...]
"""The values of a question's dimensions."""
Lines = dict[Group, "Line"]


@dataclass(slots=True)
class Line:
    """One group of a report. Costs are micro-dollars."""

    group: tuple[str, ...]
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMS, 0))
    times: dict[str, Counts] = field(default_factory=lambda: {name: {} for name in TIMES})

    @property
    def cost_of_success(self) -> int | None:
        """What one resolved request cost, of those that feedback came for: all their attempts, and the human corrections.
        None without a resolved one."""
        spent = self.sums["judged_cost"] + self.sums["correction"]
        return (spent + self.sums["resolved"] // 2) // self.sums["resolved"] if self.sums["resolved"] else None

    def percentile(self, time: str, share: float) -> float | None:
        """Of `duration_ms`, `ttft_ms` or `tpot_us`, at most 1 % off."""
        return percentile(self.times[time], share)

    def add(self, other: "Line") -> None:
        """Both together."""
        for name, value in other.sums.items():
            self.sums[name] += value
        for name, counts in other.times.items():
            mine = self.times[name]
            for bucket, count in counts.items():
                mine[bucket] = mine.get(bucket, 0) + count


@dataclass(frozen=True, slots=True)
class Report:
    """The lines, dearest first, and what they come to."""

    lines: tuple[Line, ...]
    total: Line
    fixed: int
    """Fixed prices of these days, micro-dollars: beside the total, never in a request's cost. 0 where no tier is asked for
    that has any."""
    waiting: int
    """Feedback whose request has not appeared."""


def line_in(lines: Lines, group: Iterable[Any], by: Sequence[str]) -> Line:
    """The line of a group, made when there is none."""
    key = shown(by, group)
    if key not in lines:
        lines[key] = Line(key)
    return lines[key]


def shown(by: Sequence[str], group: Iterable[Any]) -> Group:
    """The values of a row as they stand in a line; what the row has beyond them is left out."""
    return tuple(iso_day(value) if name == DAY else str(value) for name, value in zip(by, group, strict=False))
