"""A changed document ends the answers that stand on its last version within the stated bound."""

from benchmarks.staleness import figures_of, measure

CHANGES = 10


async def test_no_old_answer_serves_beyond_the_bound() -> None:
    changes = await measure(CHANGES)
    figures = figures_of(changes)
    assert figures["changes"] == CHANGES
    assert figures["over_bound"] == 0
    assert all(change.decisions > 1 for change in changes), "nothing was asked while a document changed"
