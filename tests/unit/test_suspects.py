"""Finding the record that kills: what each process leaves for the next, over any number of deaths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.kafka.suspects import DEAD_AFTER, Manner, Note, read, take_over


def test_a_partition_without_a_backlog_leaves_nothing() -> None:
    taken = take_over("", 7, 7)
    assert taken.note.text(7) == ""
    assert not taken.careful_until


def test_what_was_passed_is_forgotten() -> None:
    taken = take_over("", 5, 9)
    assert read(taken.note.text(8)) == Note(1, 9)
    assert taken.note.text(9) == ""


def test_a_note_of_somebody_else_is_none() -> None:
    for text in ("", "something else", "trivium starts=x", "trivium nonsense", "trivium out=1,b"):
        assert read(text) == Note()


def lives(text: str, committed: int, end: int, deadly: set[int], manner: Manner, in_flight: int) -> tuple[str, int, bool]:
    """One process reads from `committed` to `end` and dies of the first deadly record: what stands beside the commit, which that is,
    and whether it died. As long as nobody has to be named, `in_flight` records are handed out and not committed."""
    taken = take_over(text, committed, end, manner=manner)
    assert taken.killers <= deadly
    note, offset = taken.note, committed
    while offset < end:
        named = taken.portion(offset) > offset and taken.careful_until > offset
        until = taken.portion(offset) if named else min(offset + 1, end)
        note = taken.note.naming(offset, until) if named else taken.note
        committed = offset if named else max(committed, offset - in_flight)
        text = note.text(committed)
        if deadly.difference(taken.killers).intersection(range(offset, until)):
            return text, committed, True
        offset = until
    return taken.note.text(end), end, False


@given(
    committed=st.integers(0, 50), before=st.integers(0, 200), after=st.integers(0, 200), in_flight=st.integers(0, 30),
    killers=st.integers(1, 3), apart=st.integers(1, 100), manner=st.sampled_from(Manner),
)  # fmt: skip
def test_every_killer_is_found_after_a_few_deaths_and_nobody_else_is(
    committed: int, before: int, after: int, in_flight: int, killers: int, apart: int, manner: Manner
) -> None:
    deadly = {committed + before + apart * number for number in range(killers)}
    end, text, deaths, died = max(deadly) + 1 + after, "", 0, True
    while died:
        text, committed, died = lives(text, committed, end, deadly, manner, in_flight)
        deaths += died
    assert deaths <= killers * (DEAD_AFTER + manner.value)


@pytest.mark.parametrize("manner", Manner)
def test_three_deaths_and_not_fewer(manner: Manner) -> None:
    text, committed, deaths = "", 10, 0
    while not (taken := take_over(text, committed, 500, manner=manner)).killers:
        text, committed, died = lives(text, committed, 500, {200}, manner, in_flight=300)
        assert died
        deaths += 1
    assert deaths == DEAD_AFTER
    assert taken.killers == {200}


def test_only_the_portion_that_was_in_hand_is_handed_out_one_by_one() -> None:
    taken = take_over("trivium starts=2 until=1000 from=128 to=192", 100, 900)
    assert [taken.portion(offset) for offset in (100, 128, 191, 192, 990, 1000)] == [128, 129, 192, 256, 1000, 1000]
    assert taken.note.text(100) == "trivium starts=3 until=1000 from=128 to=192"


def test_a_portion_is_narrowed_by_what_was_committed_and_forgotten_when_it_is_done() -> None:
    note = Note(2, 1000).naming(128, 192)
    assert read(note.text(130)) == note
    assert read(note.text(192)) == Note(2, 1000)


def test_a_portion_of_one_record_is_that_record() -> None:
    assert Note(2, 1000).naming(5, 6).text(0) == "trivium starts=2 until=1000 at=5"


def test_many_deaths_with_portions_in_hand_blame_nobody() -> None:
    text = ""
    for _ in range(10):
        taken = take_over(text, 0, 10_000)
        assert not taken.killers
        text = taken.note.naming(640, 704).text(0)


@given(lived=st.lists(st.integers(0, 4), min_size=DEAD_AFTER, max_size=DEAD_AFTER), manner=st.sampled_from(Manner))
def test_who_lived_to_see_a_partition_go_neither_counts_nor_makes_others_forgotten(lived: list[int], manner: Manner) -> None:
    """A group in which members die rebalances all the time. `lived`: how often the partition went on alive before each death."""
    text = ""
    for times in lived:
        for _ in range(times):
            text = take_over(text, 10, 200, manner=manner).note.alive().text(10)
        taken = take_over(text, 10, 200, manner=manner)
        assert not taken.killers
        text = lives(text, 10, 200, {10}, manner, 0)[0]
    assert take_over(text, 10, 200, manner=manner).killers == {10}


def test_a_takeover_that_is_told_more_than_once_counts_once() -> None:
    text = ""
    for again in (False, True, True, True):
        taken = take_over(text, 10, 20, again)
        text = taken.note.text(10)
    assert (taken.note.starts, taken.careful_until) == (1, 0)


def test_a_takeover_after_a_portion_was_named_counts_once_too() -> None:
    text = "trivium starts=2 until=1000 from=128 to=192"
    for again in (False, True, True):
        taken = take_over(text, 100, 900, again)
        text = taken.note.text(100)
    assert text == "trivium starts=3 until=1000 from=128 to=192"
