"""Finding the record that kills: what each process leaves for the next, over any number of deaths."""

from hypothesis import given
from hypothesis import strategies as st

from trivium.kafka.suspects import DEAD_AFTER, SUSPECT_AFTER, Note, read, take_over


def test_a_partition_without_a_backlog_leaves_nothing() -> None:
    taken = take_over("", 7, 7)
    assert taken.note.text(7) == ""
    assert not taken.alone_until


def test_what_was_passed_is_forgotten() -> None:
    taken = take_over("", 5, 9)
    assert read(taken.note.text(8)) == Note(1, 9)
    assert taken.note.text(9) == ""


def test_a_note_of_somebody_else_is_none() -> None:
    for text in ("", "something else", "trivium starts=x", "trivium nonsense", "trivium out=1,b"):
        assert read(text) == Note()


@given(
    committed=st.integers(0, 50), before=st.integers(0, 30), after=st.integers(0, 30), done_in_time=st.integers(0, 30), killers=st.integers(1, 3)
)
def test_every_killer_is_found_after_a_few_deaths_and_nobody_else_is(
    committed: int, before: int, after: int, done_in_time: int, killers: int
) -> None:
    deadly = {committed + before + 3 * number for number in range(killers)}
    end, text, deaths = committed + before + 3 * killers + after, "", 0
    while committed < end:
        taken = take_over(text, committed, end)
        assert taken.killers <= deadly
        died = False
        for offset in range(committed, end):
            alone = offset < taken.alone_until
            if alone:
                text = Note(taken.note.starts, taken.note.until, offset, taken.note.out).text(committed)
            if offset in deadly and offset not in taken.killers:
                died = True
                break
            if alone or offset - committed >= done_in_time:
                # One by one the commit keeps up; else a few records are always done and not committed yet.
                committed = offset + 1 if alone else committed
        if not died:
            committed = end
        else:
            deaths += 1
            if not taken.alone_until:
                text = taken.note.text(committed)
        assert deaths <= killers * (DEAD_AFTER + SUSPECT_AFTER)
    assert take_over(text, committed, end).killers <= deadly


def test_three_deaths_and_not_fewer() -> None:
    text, deaths = "", 0
    while True:
        taken = take_over(text, 10, 20)
        if taken.killers:
            break
        deaths += 1
        note = taken.note if not taken.alone_until else Note(taken.note.starts, taken.note.until, 10, taken.note.out)
        text = note.text(10)
    assert deaths == DEAD_AFTER
    assert taken.killers == {10}


@given(lived=st.lists(st.integers(0, 4), min_size=DEAD_AFTER, max_size=DEAD_AFTER))
def test_who_lived_to_see_a_partition_go_neither_counts_nor_makes_others_forgotten(lived: list[int]) -> None:
    """A group in which members die rebalances all the time. `lived`: how often the partition went on alive before each death."""
    text = ""
    for times in lived:
        for _ in range(times):
            text = take_over(text, 10, 20).note.alive().text(10)
        taken = take_over(text, 10, 20)
        assert not taken.killers
        note = taken.note if not taken.alone_until else Note(taken.note.starts, taken.note.until, 10, taken.note.out)
        text = note.text(10)
    assert take_over(text, 10, 20).killers == {10}


def test_a_takeover_that_is_told_more_than_once_counts_once() -> None:
    text = ""
    for again in (False, True, True, True):
        taken = take_over(text, 10, 20, again)
        text = taken.note.text(10)
    assert (taken.note.starts, taken.alone_until) == (1, 0)
