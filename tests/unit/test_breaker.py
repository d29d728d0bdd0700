"""When a target is left alone, and when it is tried again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.core.breaker import (
    IN_A_ROW,
    LONGEST_OPEN_MS,
    OPEN_MS,
    PROBE_MS,
    WARY_MS,
    WINDOW_CALLS,
    YIELD_MS,
    Breaker,
    State,
    allows,
    heard,
    record,
    state_at,
)


def fed(results: str, step_ms: int = 10) -> Breaker:
    """`x` a fault, `.` an answer."""
    breaker = Breaker("cloud/small@one")
    for number, result in enumerate(results):
        breaker = record(breaker, result == ".", number * step_ms)
    return breaker


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ("xxxx", State.CLOSED),
        ("xxxxx", State.OPEN),
        ("xxxx.xxxx", State.CLOSED),
        ("xx." * 6 + "x", State.CLOSED),
        ("xx." * 6 + "xx", State.OPEN),
        (".x" * 10, State.CLOSED),
        ("." * 19 + "xxxx", State.CLOSED),
    ],
)
def test_five_in_a_row_or_more_than_half_of_twenty(results: str, state: State) -> None:
    assert fed(results).state is state


def test_what_is_older_than_the_window_does_not_count() -> None:
    assert fed("xx." * 6 + "xx", step_ms=1000).state is State.CLOSED
    assert WINDOW_CALLS == 20


def test_one_probe_after_the_pause_decides() -> None:
    opened = fed("x" * IN_A_ROW)
    assert allows(opened, opened.until_ms - 1) == (False, opened)
    assert state_at(opened, opened.until_ms) is State.HALF_OPEN
    may, probing = allows(opened, opened.until_ms)
    assert (may, probing.state) == (True, State.HALF_OPEN)
    assert allows(probing, opened.until_ms + 1) == (False, probing)
    assert record(probing, True, opened.until_ms + 5) == Breaker(opened.name)
    again = record(probing, False, opened.until_ms + 5)
    assert again.state is State.OPEN
    assert again.until_ms - opened.until_ms > 2 * OPEN_MS


def test_a_probe_that_never_reports_does_not_keep_a_target_out() -> None:
    opened = fed("x" * IN_A_ROW)
    _, probing = allows(opened, opened.until_ms)
    assert allows(probing, opened.until_ms + PROBE_MS)[0]


def test_pauses_double_up_to_five_minutes_and_are_spread() -> None:
    pauses = []
    breaker, now = fed("x" * IN_A_ROW), 40
    for _ in range(8):
        pauses.append(breaker.until_ms - now)
        now = breaker.until_ms
        breaker = record(allows(breaker, now)[1], False, now)
    for number, pause in enumerate(pauses):
        plain = min(OPEN_MS << number, LONGEST_OPEN_MS)
        assert plain <= pause <= plain * 1.1
    one, two = (record(Breaker(name, in_a_row=4), False, 0).until_ms for name in ("a", "b"))
    assert one != two


def test_calls_that_end_while_it_is_open_change_nothing() -> None:
    opened = fed("x" * IN_A_ROW)
    assert record(opened, True, 60) is opened
    assert record(opened, False, 60) is opened


@settings(max_examples=100, deadline=None, database=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50_000)), max_size=60))
def test_it_always_comes_back(calls: list[tuple[bool, int]]) -> None:
    breaker, now = Breaker("t"), 0
    for ok, wait in calls:
        now += wait
        may, breaker = allows(breaker, now)
        if may:
            breaker = record(breaker, ok, now)
    assert len(breaker.recent) <= WINDOW_CALLS
    may, breaker = allows(breaker, now + LONGEST_OPEN_MS * 2)
    assert may
    assert record(breaker, True, now + LONGEST_OPEN_MS * 2).state is State.CLOSED


def test_another_instances_open_breaker_makes_this_one_wary() -> None:
    wary = heard(fed(""), None, State.OPEN, 0)
    assert wary.state is State.CLOSED
    assert record(record(wary, False, 10), False, 20).state is State.OPEN
    assert record(record(wary, False, 10), False, 10 + WARY_MS).state is State.CLOSED
    assert record(record(heard(fed(""), None, State.CLOSED, 0), False, 10), False, 20).state is State.CLOSED


def test_another_instances_probe_counts_here_too() -> None:
    opened = fed("x" * IN_A_ROW)
    due = opened.until_ms
    assert heard(opened, State.HALF_OPEN, State.CLOSED, due - 5).state is State.CLOSED
    again = heard(opened, State.HALF_OPEN, State.OPEN, due)
    assert (again.state, again.openings) == (State.OPEN, 2)
    assert heard(opened, State.HALF_OPEN, State.OPEN, due - 5) == opened
    assert heard(opened, State.OPEN, State.CLOSED, due) == opened


def test_while_an_instance_that_goes_first_is_half_open_its_probe_is_waited_for_a_little() -> None:
    opened = fed("x" * IN_A_ROW)
    due = opened.until_ms
    assert allows(opened, due, other_probes=True) == (False, opened)
    assert allows(opened, due + YIELD_MS, other_probes=True)[0]
