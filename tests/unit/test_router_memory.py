"""The router's memory: what is new, what is known, what is overdue, and for how long it is remembered."""

import pytest

from streams.memory import Arrived, CameBack, Memory
from trivium.core.request import Identity

ONE, OTHER = Identity("acme", "1"), Identity("globex", "1")
WINDOW, LATE = 1_000, 100


@pytest.fixture
def memory() -> Memory:
    return Memory(WINDOW, LATE)


def called(memory: Memory, identity: Identity = ONE, attempt: int = 1, deadline_ms: int = 500) -> None:
    """A request that waits for its attempt."""
    memory.request(identity, "a", 10)
    memory.opened(identity, attempt, deadline_ms, "finetuned/small", b"work")


def test_a_request_is_new_once_and_its_identity_is_taken(memory: Memory) -> None:
    assert memory.request(ONE, "a", 10) is Arrived.NEW
    assert memory.request(ONE, "a", 20) is Arrived.DUPLICATE
    assert memory.request(ONE, "b", 30) is Arrived.REUSED
    assert memory.request(OTHER, "b", 40) is Arrived.NEW
    assert memory.request(Identity("acme", "1", replay=1), "b", 50) is Arrived.NEW


def test_the_first_outcome_of_an_attempt_wins(memory: Memory) -> None:
    called(memory)
    assert memory.outcome(ONE, 1, "a", 500, 20) is CameBack.FIRST
    memory.opened(ONE, 2, 900, "cloud/small", b"work 2")
    assert memory.outcome(ONE, 1, "a", 500, 30) is CameBack.STRAY
    assert memory.outcome(ONE, 2, "a", 900, 40) is CameBack.FIRST
    memory.ended(ONE, 40)
    assert memory.outcome(ONE, 2, "a", 900, 50) is CameBack.STRAY
    assert memory.request(ONE, "a", 60) is Arrived.DUPLICATE
    assert memory.pending == 0


def test_an_outcome_before_its_request_counts_and_the_request_is_then_known(memory: Memory) -> None:
    assert memory.outcome(ONE, 1, "a", 500, 20) is CameBack.FIRST
    memory.ended(ONE, 20)
    assert memory.request(ONE, "a", 30) is Arrived.DUPLICATE
    assert memory.request(ONE, "b", 30) is Arrived.REUSED


def test_an_outcome_of_nobody_that_is_long_overdue_has_had_its_end(memory: Memory) -> None:
    assert memory.outcome(ONE, 1, "a", 500, 500 + LATE) is CameBack.FIRST
    assert memory.outcome(OTHER, 1, "a", 500, 500 + LATE + 1) is CameBack.STRAY


def test_an_end_is_remembered_for_the_window_and_what_is_pending_for_ever(memory: Memory) -> None:
    called(memory)
    memory.request(OTHER, "a", 10)
    memory.ended(OTHER, 10)
    assert memory.request(OTHER, "a", 10 + WINDOW) is Arrived.DUPLICATE
    assert memory.request(OTHER, "a", 10 + WINDOW + 1) is Arrived.NEW
    assert memory.remembered == 0
    assert memory.request(ONE, "a", 10 + 9 * WINDOW) is Arrived.DUPLICATE


def test_what_nothing_came_back_for_is_due_once(memory: Memory) -> None:
    called(memory)
    called(memory, OTHER, deadline_ms=600)
    assert memory.due(499) == []
    [due] = memory.due(500)
    assert (due.identity, due.attempt, due.carry, due.silent) == (ONE, 1, b"work", False)
    assert memory.due(599) == []
    assert memory.outcome(OTHER, 1, "a", 600, 590) is CameBack.FIRST
    assert memory.due(10_000) == []


def test_a_silent_target_is_due_before_its_deadline(memory: Memory) -> None:
    called(memory)
    assert memory.due(50, lambda target: target == "cloud/small") == []
    [due] = memory.due(50, lambda target: target == "finetuned/small")
    assert due.silent
    assert memory.due(500, lambda _target: True) == []


def test_the_next_attempt_has_a_timer_of_its_own(memory: Memory) -> None:
    called(memory)
    memory.outcome(ONE, 1, "a", 500, 20)
    memory.opened(ONE, 2, 400, "cloud/small", b"work 2")
    assert [(d.attempt, d.deadline_ms) for d in memory.due(10_000)] == [(2, 400)]


def test_a_cancel_finds_what_is_pending_and_waits_for_what_is_to_come(memory: Memory) -> None:
    called(memory)
    entry = memory.cancel(ONE, 20)
    assert entry is not None
    assert entry.carry == b"work"
    memory.ended(ONE, 20)
    assert memory.cancel(ONE, 30) is None
    assert memory.cancel(OTHER, 30) is None
    assert memory.was_cancelled(OTHER)
    assert not memory.was_cancelled(OTHER)
    memory.cancel(OTHER, 40)
    memory.request(ONE, "a", 41 + WINDOW)
    assert not memory.was_cancelled(OTHER)
