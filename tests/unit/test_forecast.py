"""When a budget runs out at its pace, and what is to be told of it."""

import calendar

import pytest

from trivium.core.forecast import FORECAST, Standing, begin_ms, day_of, due, is_current, percent_of, runs_out_ms

DOLLAR = 1_000_000
NOW = calendar.timegm((2026, 11, 11, 0, 0, 0)) * 1000
"""A third of November has passed."""
NOON = NOW + 12 * 3_600_000


def month(spent: int, limit: int = 30 * DOLLAR, alerts: tuple[int, ...] = (50, 80, 100)) -> Standing:
    return Standing("b", "2026-11", limit, spent, True, alerts)


def day(spent: int) -> Standing:
    return Standing("b", "2026-11-11", 30 * DOLLAR, spent, True, (50, 80, 100))


@pytest.mark.parametrize(
    ("standing", "now_ms", "runs_out"),
    [
        (month(15 * DOLLAR), NOW, "2026-11-21"),
        (month(10 * DOLLAR), NOW, ""),
        (month(10 * DOLLAR + 1), NOW, "2026-11-30"),
        (month(0), NOW, ""),
        (month(31 * DOLLAR), NOW, "2026-11-11"),
        (month(15 * DOLLAR), NOW - 366 * 86_400_000, ""),
        (month(15 * DOLLAR), NOW + 366 * 86_400_000, ""),
        (month(15 * DOLLAR), begin_ms("2026-11") + 7 * 3_600_000, ""),
        (month(15 * DOLLAR), begin_ms("2026-11") + 8 * 3_600_000, "2026-11-01"),
        (month(0, limit=0), NOW, ""),
        (month(1, limit=0), NOW, "2026-11-11"),
        (day(20 * DOLLAR), NOON, "2026-11-11"),
        (day(15 * DOLLAR), NOON, ""),
    ],
)
def test_the_pace_of_the_period_so_far_says_when_it_runs_out(standing: Standing, now_ms: int, runs_out: str) -> None:
    assert day_of(runs_out_ms(standing, now_ms)) == runs_out


@pytest.mark.parametrize(("limit", "spent", "percent"), [(100, 79, 79), (3, 2, 66), (0, 0, 0), (0, 5, 100), (10, 25, 250), (10, -5, 0)])
def test_percent_are_whole_and_rounded_down(limit: int, spent: int, percent: int) -> None:
    assert percent_of(limit, spent) == percent


@pytest.mark.parametrize(
    ("spent", "told", "said"),
    [
        (14, (), FORECAST),
        (14, (FORECAST,), None),
        (9, (), None),
        (15, (), 50),
        (15, (FORECAST,), 50),
        (15, (50,), None),
        (25, (50,), 80),
        (29, (), 80),
        (31, (), 100),
        (31, (50, 80), 100),
        (31, (50, 80, 100), None),
        (16, (100,), None),
    ],
)
def test_the_highest_share_is_told_once(spent: int, told: tuple[int, ...], said: int | None) -> None:
    assert due(month(spent * DOLLAR), frozenset(told), NOW) == said


def test_what_is_over_or_asks_for_no_alerts_is_not_told() -> None:
    assert due(month(31 * DOLLAR), frozenset(), NOW + 20 * 86_400_000) is None
    assert due(month(31 * DOLLAR), frozenset(), NOW - 11 * 86_400_000) is None
    assert due(month(31 * DOLLAR, alerts=()), frozenset(), NOW) is None
    assert due(month(3 * DOLLAR), frozenset(), begin_ms("2026-11") + 2 * 86_400_000) is None, "too early for a forecast alone"


def test_a_period_holds_from_midnight_to_midnight() -> None:
    first, last = begin_ms("2026-11"), begin_ms("2026-12") - 1
    assert is_current("2026-11", first)
    assert is_current("2026-11", last)
    assert not is_current("2026-11", first - 1)
    assert not is_current("2026-11", last + 1)
    assert begin_ms("2028-02-29") == calendar.timegm((2028, 2, 29, 0, 0, 0)) * 1000
