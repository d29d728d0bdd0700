"""Blocks become passages that know their section and are whole."""

import pytest

from services.retrieval.blocks import Block, Document, Shape
from services.retrieval.passages import AIM_TOKENS, WHOLE_TOKENS, make_passages, sentences
from services.retrieval.reading import Kind, read_document
from trivium.core.prompt import estimate_tokens

MANUAL = b"""---
title: never shown
secret: front matter
---
# The manual

An introduction.

## 3 Limits

### 3.2 Retries

A call is tried *again* after `250 ms`, see [the list](http://x). Never more than twice.

```sh
retry --times 2

# not a heading
```

| code | meaning |
|------|---------|
| 429  | too many |

<!-- a remark of the author -->

- first
- second
  - inner

## Billing

Paid monthly.
"""


def manual() -> dict[str, str]:
    passages = make_passages(read_document(Kind.MARKDOWN, MANUAL))
    out: dict[str, str] = {}
    for one in passages:
        out[one.section] = out.get(one.section, "") + one.text
    return out


def test_a_passage_knows_the_headings_above_it() -> None:
    assert list(manual()) == ["The manual", "3 Limits > 3.2 Retries", "Billing"]


def test_front_matter_and_comments_are_dropped() -> None:
    everything = " ".join(manual().values())
    assert "front matter" not in everything
    assert "remark" not in everything


def test_code_tables_and_lists_keep_their_form() -> None:
    text = manual()["3 Limits > 3.2 Retries"]
    assert "retry --times 2\n\n# not a heading" in text
    assert "| 429  | too many |" in text
    assert "- second\n  - inner" in text
    assert "tried again after `250 ms`, see the list." in text


def test_long_prose_is_cut_at_sentences_and_nothing_is_lost() -> None:
    said = [f"Sentence number {n} says that the limit of e.g. item {n} is {n}.5 units." for n in range(60)]
    passages = make_passages(Document("", (Block(("Long",), " ".join(said)),)))
    assert len(passages) > 4
    assert all(80 <= one.tokens <= AIM_TOKENS + 60 for one in passages)
    assert all(one.text.endswith(".") and one.text.startswith("Sentence") for one in passages)
    assert " ".join(one.text for one in passages) == " ".join(said)


def test_code_stays_whole_until_it_is_far_too_long() -> None:
    line = "value = compute(first, second)  # explain"
    whole = "\n".join([line] * 30)
    assert AIM_TOKENS < estimate_tokens(whole) <= WHOLE_TOKENS
    one = make_passages(Document("", (Block((), whole, Shape.CODE),)))
    many = make_passages(Document("", (Block((), "\n".join([line] * 300), Shape.CODE),)))
    assert [p.text for p in one] == [whole]
    assert len(many) > 5
    assert all(set(p.text.split("\n")) == {line} for p in many)


def test_pieces_of_a_long_table_repeat_its_head() -> None:
    rows = "\n".join(f"| code {n} | meaning of the code {n} |" for n in range(200))
    table = f"| code | meaning |\n|---|---|\n{rows}"
    passages = make_passages(Document("", (Block((), table, Shape.TABLE),)))
    assert len(passages) > 3
    assert all(one.text.startswith("| code | meaning |\n|---|---|\n| code ") for one in passages)


@pytest.mark.parametrize("text", ["x" * 50_000, "数据" * 8_000, "a,b;" * 10_000])
def test_text_without_a_place_to_cut_is_cut_by_length(text: str) -> None:
    passages = make_passages(Document("", (Block((), text),)))
    assert "".join(one.text for one in passages) == text
    assert all(one.tokens <= WHOLE_TOKENS for one in passages)


def test_no_passage_crosses_a_heading() -> None:
    blocks = tuple(Block((f"Part {n}",), f"Short text {n}.") for n in range(5))
    assert [one.text for one in make_passages(Document("", blocks))] == [f"Short text {n}." for n in range(5)]


def test_the_section_number_and_title_are_in_what_is_looked_up() -> None:
    found = make_passages(read_document(Kind.MARKDOWN, MANUAL))
    retries = next(one for one in found if "3.2" in one.section)
    assert {"section3", "section3x2", "limit", "manual"} <= set(retries.lookup.split())


def test_sentences_are_not_cut_at_abbreviations_and_numbers() -> None:
    assert sentences("It costs 3.50 dollars, e.g. Monday only. Dr. Who agreed! \"Really?\" Yes.") == [
        "It costs 3.50 dollars, e.g. Monday only.", "Dr. Who agreed!", '"Really?"', "Yes."
    ]  # fmt: skip
