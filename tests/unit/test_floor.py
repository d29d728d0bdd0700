"""The commit floor never passes an offset that is delivered and not acknowledged."""

from hypothesis import given
from hypothesis import strategies as st

from trivium.kafka.floor import Floor


def test_nothing_delivered_nothing_to_commit() -> None:
    assert Floor().committable() is None


def test_acks_out_of_order_wait_for_the_lowest() -> None:
    floor = Floor()
    for offset in (5, 6, 7):
        floor.delivered(offset)
    floor.acked(7)
    floor.acked(6)
    assert floor.committable() == 5
    floor.acked(5)
    assert floor.committable() == 8


def test_a_gap_is_passed_when_what_came_before_it_is_done() -> None:
    floor = Floor()
    floor.delivered(5)
    floor.delivered(9)
    assert floor.committable() == 5
    floor.acked(5)
    assert floor.committable() == 9
    floor.acked(9)
    assert floor.committable() == 10


def test_an_ack_of_what_was_never_delivered_changes_nothing() -> None:
    floor = Floor()
    floor.delivered(5)
    assert not floor.acked(6)
    assert floor.committable() == 5
    assert floor.acked(5)
    assert not floor.acked(5)


def test_a_second_delivery_is_open_again() -> None:
    floor = Floor()
    for offset in (1, 2):
        assert floor.delivered(offset)
        floor.acked(offset)
    assert floor.committable() == 3
    assert floor.delivered(1)
    assert floor.committable() == 1
    assert not floor.delivered(1)
    floor.acked(1)
    assert floor.committable() == 3


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=200))
def test_equals_the_plain_definition(steps: list[tuple[bool, int]]) -> None:
    floor, still_open, highest = Floor(), set[int](), -1
    for delivers, offset in steps:
        if delivers:
            assert floor.delivered(offset) == (offset not in still_open)
            still_open.add(offset)
            highest = max(highest, offset)
        else:
            assert floor.acked(offset) == (offset in still_open)
            still_open.discard(offset)
        expected = min(still_open) if still_open else (highest + 1 if highest >= 0 else None)
        assert floor.committable() == expected
        assert floor.open_count == len(still_open)


def test_what_went_to_nobody_is_next_and_holds_nothing() -> None:
    floor = Floor()
    for offset in (3, 4, 5):
        floor.delivered(offset)
    floor.withdrawn(5)
    assert (floor.open_count, floor.next_offset) == (2, 5)
    floor.acked(3)
    floor.acked(4)
    assert floor.committable() == 5
    floor.delivered(5)
    assert floor.committable() == 5
    floor.acked(5)
    assert (floor.committable(), floor.next_offset) == (6, 6)
