"""Passages cut down to the sentences that a question is about."""

import pytest

from services.retrieval.trimming import pieces_of, trimmed
from trivium.ports import Passage

TEXT = """\
The breaker watches every target. It opens after five faults
in a row. Operators may read about colours. Green is nice.

* Kafka keeps requests for seven days.
* The ledger is kept for thirty days,
  as money is.

| topic | kept |
|---|---|
| work | 2 d |
| ledger | 30 d |

```
trivium ledger --by team

trivium why ID
```"""


def passage(text: str = TEXT, tokens: int = 120) -> Passage:
    return Passage("docs/a.md", "1", "v", text, 1.0, tokens)


def test_pieces_are_sentences_items_rows_and_code() -> None:
    assert [piece.text.split("\n")[0] for piece in pieces_of(TEXT)] == [
        "The breaker watches every target.", "It opens after five faults", "Operators may read about colours.", "Green is nice.",
        "* Kafka keeps requests for seven days.", "* The ledger is kept for thirty days,", "| topic | kept |", "|---|---|",
        "| work | 2 d |", "| ledger | 30 d |", "```",
    ]  # fmt: skip


def test_the_relevant_sentence_stays_with_the_one_before_it() -> None:
    (cut,) = trimmed("After how many faults does the breaker open?", [passage()], 0.9)
    assert cut.text == "The breaker watches every target. It opens after five faults\nin a row."
    assert 0 < cut.tokens < 120 * len(cut.text) / len(TEXT) + 1
    assert (cut.document, cut.section, cut.version) == ("docs/a.md", "1", "v")


def test_a_row_keeps_the_head_of_its_table() -> None:
    (cut,) = trimmed("work topic", [passage(TEXT.replace("| topic |", "| name |").replace("work", "work topic"))], 1.0)
    assert cut.text == "| name | kept |\n|---|---|\n| work topic | 2 d |"


def test_gaps_are_seen() -> None:
    (cut,) = trimmed("five faults, nice green", [passage()], 0.5)
    assert "in a row. Operators" in cut.text
    (cut,) = trimmed("breaker watches, ledger kept thirty days", [passage()], 0.4)
    assert "… * The ledger" in cut.text or "…" in cut.text
    assert "colours" not in cut.text


def test_every_passage_keeps_its_best_sentence() -> None:
    weak = passage("The mesh is small. The breaker is a switch. Green is nice.")
    strong, other = trimmed("When does the breaker open after faults?", [passage(), weak], 1.0)
    assert "five faults" in strong.text
    assert other.text == "The mesh is small. The breaker is a switch."


@pytest.mark.parametrize("question", ["", "zebra crossing", "the and of"])
def test_without_a_word_in_common_nothing_is_cut(question: str) -> None:
    assert trimmed(question, [passage()], 0.5) == (passage(),)


@pytest.mark.parametrize("text", ["", "x", "|", "```", "\n\n", "1."])
def test_odd_passages_survive(text: str) -> None:
    (cut,) = trimmed("breaker x 1", [passage(text, 1)], 0.5)
    assert len(cut.text) <= max(1, len(text))
    assert not trimmed("breaker", [], 0.5)


def test_a_cut_of_almost_nothing_takes_little_away() -> None:
    (cut,) = trimmed("After how many faults in a row does the breaker open?", [passage()], 0.01)
    assert "five faults" in cut.text
