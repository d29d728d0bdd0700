"""How hard a vendor is called after it said "slower"."""

from hypothesis import given
from hypothesis import strategies as st

from trivium.core.pacing import FIRST_MS, FREE, LONGEST_MS, TURN_MS, answered, left_ms, slowed, turn

NOW = 1_000_000


def test_a_named_pause_is_kept_and_never_shortened() -> None:
    paced = slowed(FREE, 2_000, NOW)
    assert (left_ms(paced, NOW), left_ms(paced, NOW + 1_500), left_ms(paced, NOW + 2_000)) == (2_000, 500, 0)
    assert left_ms(slowed(paced, 100, NOW + 10), NOW) == 2_000
    assert left_ms(slowed(FREE, 3_600_000, NOW), NOW) == LONGEST_MS
    assert left_ms(answered(paced), NOW) == 2_000


def test_without_a_name_pauses_double_until_an_answer_comes() -> None:
    paced, at_ms, pauses = FREE, NOW, list[int]()
    for _ in range(8):
        paced = slowed(paced, 0, at_ms)
        pauses.append(left_ms(paced, at_ms))
        # The others that were out when it began.
        assert slowed(paced, 0, at_ms + 1) == paced
        at_ms = paced.until_ms
    assert pauses == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, LONGEST_MS, LONGEST_MS]
    assert left_ms(slowed(answered(paced), 0, at_ms), at_ms) == FIRST_MS


@given(st.lists(st.integers(0, 4_000), max_size=30))
def test_those_who_waited_go_one_by_one(after_ms: list[int]) -> None:
    paced, due = slowed(FREE, 5_000, NOW), list[int]()
    for at_ms in sorted(after_ms):
        pause, paced = turn(paced, NOW + at_ms)
        due.append(at_ms + pause)
    assert due == [5_000 + TURN_MS * (number + 1) for number in range(len(after_ms))]
    assert turn(paced, NOW + 5_000)[0] == 0
