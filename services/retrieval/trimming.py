"""Of passages, the sentences that a question is about.

A sentence's relevance is its share of the question's content words, rare ones weighing more, as with passages
(relevance.py); the best sentence of all passages is the measure. Kept is what reaches the cut, and the sentence before it,
which often names what "it" is. Rows of a table keep their head; a block of code is one piece. What is left out leaves an
ellipsis, so that nobody takes two sentences for neighbours that were none.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.retrieval.terms import words_of
from trivium.ports import Passage

GAP: Final = "…"

_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[\w`\"'(\[*])")
_BLANK: Final = re.compile(r"\n\s*\n")
_ITEM: Final = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s")


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence, list item, table row or block of code."""

    text: str
    block: int
    """Pieces of one paragraph, list or table have the same number."""
    row: bool
    end: str
    """What stands after it in the passage when its neighbour stays too."""


def trimmed(question: str, passages: Sequence[Passage], cut: float) -> tuple[Passage, ...]:
    """The passages with what reaches `cut` (0..1) of the best sentence's relevance; each keeps at least its own best. No word of
    the question anywhere: as they were."""
    asked = set(words_of(question))
    pieces = [list(pieces_of(one.text)) for one in passages]
    words = [[set(words_of(piece.text)) & asked for piece in own] for own in pieces]
    weights = _weights(asked, [here for own in words for here in own])
    scores = [[sum(weights[word] for word in here) for here in own] for own in words]
    best = max((score for own in scores for score in own), default=0.0)
    if not best:
        return tuple(passages)
    return tuple(_cut(one, own, found, cut * best) for one, own, found in zip(passages, pieces, scores, strict=True))


def pieces_of(text: str) -> Iterator[Piece]:
    """What a passage is made of, in reading order."""
    for number, block in enumerate(_blocks(text)):
        lines = block.split("\n")
        if block.startswith("```"):
            yield Piece(block, number, False, "\n\n")
        elif lines[0].lstrip().startswith("|"):
            yield from (Piece(line, number, True, "\n") for line in lines)
        elif any(_ITEM.match(line) for line in lines):
            yield from (Piece(item, number, False, "\n") for item in _items(lines))
        else:
            yield from (Piece(sentence, number, False, " ") for sentence in _SENTENCE.split(block) if sentence)


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs, lists and tables; a block of code is whole whatever blank lines are in it."""
    for number, part in enumerate(re.split(r"(```.*?(?:```|\Z))", text, flags=re.DOTALL)):
        if number % 2:
            yield part
        else:
            yield from (block.strip("\n") for block in _BLANK.split(part) if block.strip())


def _items(lines: Sequence[str]) -> list[str]:
    """List items with the lines that go on them; what stands before the first is one too."""
    items: list[str] = []
    for line in lines:
        if items and not _ITEM.match(line):
            items[-1] = f"{items[-1]}\n{line}"
        else:
            items.append(line)
    return items


def _weights(asked: set[str], words: Sequence[set[str]]) -> dict[str, float]:
    seen = Counter(word for here in words for word in here)
    return {word: math.log(2.0 + len(words) / (1.0 + seen[word])) for word in asked}


def _cut(passage: Passage, pieces: Sequence[Piece], scores: Sequence[float], bar: float) -> Passage:
    best = max(scores, default=0.0)
    kept = {at for at, score in enumerate(scores) if score >= min(bar, best)}
    kept |= {at - 1 for at in kept if at and pieces[at - 1].block == pieces[at].block and not pieces[at].row}
    rows = {pieces[at].block for at in kept if pieces[at].row}
    for block in rows:
        first = next(at for at, piece in enumerate(pieces) if piece.block == block)
        kept |= {first, first + 1}
    text = _joined(pieces, kept)
    if len(text) >= len(passage.text):
        return passage
    return replace(passage, text=text, tokens=-(-passage.tokens * len(text) // len(passage.text)))


def _joined(pieces: Sequence[Piece], kept: set[int]) -> str:
    parts: list[str] = []
    gap = False
    for at, piece in enumerate(pieces):
        if at not in kept:
            gap = True
            continue
        if gap and parts:
            parts.append(f"{GAP}\n" if piece.row else f"{GAP} ")
        last = at + 1 >= len(pieces) or pieces[at + 1].block != piece.block
        parts.append(piece.text + ("\n\n" if last else piece.end))
        gap = False
    return "".join(parts).strip()
