"""How far a budget is used up, and when it runs out at the pace of its period.

    runs out = begin + (now - begin) * limit / spent        when that is before the period's end

The pace is that of the period so far, all hours alike. In the first hundredth of a period (15 minutes of a day, 7 hours of a
month) nothing is foretold: one call says nothing of a pace.
"""

from dataclasses import dataclass
from typing import Final

from trivium.core.budget import DAY_MS, period_end_ms, period_of
from trivium.core.policy import Budget, Period

EARLIEST: Final = 100
"""A forecast needs one of so many parts of its period to have passed."""
SURE: Final = 10
"""One that somebody is told without a share having been passed needs one of so many."""
FORECAST: Final = 0
"""In the place of a percentage: told because of the day on which it runs out."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One budget in one period. Micro-dollars, epoch ms."""

    budget: str
    period: str
    limit: int
    spent: int
    hard: bool
    alerts: tuple[int, ...]


def percent_of(limit: int, spent: int) -> int:
    """Whole percent, rounded down. Of a budget of nothing all is spent by the first micro-dollar."""
    if limit <= 0:
        return 100 if spent > 0 else 0
    return max(0, spent) * 100 // limit


def begin_ms(period: str) -> int:
    """When a day or month begins, epoch ms. ValueError when it is neither."""
    return period_end_ms(period if len(period) > 7 else f"{period}-01") - DAY_MS


def is_current(period: str, now_ms: int) -> bool:
    """Whether it is the day or month of this instant."""
    return begin_ms(period) <= now_ms < period_end_ms(period)


def runs_out_ms(standing: Standing, now_ms: int) -> int | None:
    """The instant at which the limit is reached; `now_ms` when it has been; None: not within the period, or not to be foretold."""
    begin, end = begin_ms(standing.period), period_end_ms(standing.period)
    if not begin <= now_ms < end:
        return None
    if standing.spent >= standing.limit:
        return now_ms if standing.spent else None
    if standing.spent <= 0 or (now_ms - begin) * EARLIEST < end - begin:
        return None
    at_ms = begin + (now_ms - begin) * standing.limit // standing.spent
    return at_ms if at_ms < end else None


def day_of(at_ms: int | None) -> str:
    """2026-11-27; empty for None."""
    return "" if at_ms is None else period_of(Period.DAY, at_ms)


def due(standing: Standing, told: frozenset[int], now_ms: int) -> int | None:
    """What is to be told: the highest share that was passed, unless it or a higher one was told of this limit in this period; else
    FORECAST, when it runs out within the period and nothing was told. None: nothing, or the period is not the present one."""
    if not is_current(standing.period, now_ms):
        return None
    share = percent_of(standing.limit, standing.spent)
    passed = max((percent for percent in standing.alerts if percent <= share), default=0)
    if passed:
        return passed if passed > max(told, default=0) else None
    if told or not standing.alerts or runs_out_ms(standing, now_ms) is None:
        return None
    begin, end = begin_ms(standing.period), period_end_ms(standing.period)
    return FORECAST if (now_ms - begin) * SURE >= end - begin else None


def standing_of(key: tuple[str, str], rule: Budget, spent: int) -> Standing:
    """Of a rule and what the fold says."""
    return Standing(key[0], key[1], rule.limit_micro_dollars, spent, rule.hard, rule.alerts)
