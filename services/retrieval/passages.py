"""Blocks to passages: about 150 tokens each, whole sentences, code and tables in one piece where possible."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from services.retrieval.blocks import Block, Document, Shape
from services.retrieval.terms import lookup_text
from trivium.core.prompt import estimate_tokens

AIM_TOKENS: Final = 180
"""A passage is closed before it would pass this."""
SHORT_TOKENS: Final = 40
"""A shorter rest joins the passage before it, when that keeps it below WHOLE_TOKENS."""
WHOLE_TOKENS: Final = 400
"""Code and tables up to here stay in one piece."""
REVISION: Final = "1"
"""Part of every version: when passages are cut in another way, every document is a changed one."""

CountTokens = Callable[[str], int]

_SENTENCE_END: Final = re.compile(
    r"[.!?…][\"'”’)\]]*(?=\s+(?:[\"'“‘(\[]?[^\W_a-zß-ÿ]|[-•*] ))|[。！？][」』”’]*"  # a capital, digit or ideogram follows
)
_ABBREVIATION: Final = re.compile(r"\b(?:e\.g|i\.e|etc|cf|vs|approx|no|nr|fig|dr|mr|mrs|ms|st|resp|z\.B|bzw)\.$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Draft:
    """A passage before it is stored."""

    section: str
    """Headings above it: "3.2 Limits > Retries"; the document's title when there is none."""
    text: str
    tokens: int
    lookup: str
    """What BM25 sees."""


def make_passages(document: Document, count: CountTokens = estimate_tokens) -> tuple[Draft, ...]:
    """Passages in reading order. No passage crosses a heading."""
    out: list[Draft] = []
    for path, blocks in groupby(document.blocks, key=lambda block: block.path):
        section = " > ".join(path) or document.title
        for text in _packed(list(blocks), count):
            out.append(Draft(section, text, count(text), lookup_text(document.title, path, text)))
    return tuple(out)


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is never cut, and how it is joined to what stands before it in its passage."""

    text: str
    tokens: int
    joint: str


def _packed(blocks: Sequence[Block], count: CountTokens) -> list[str]:
    units = [unit for block in blocks for unit in _units(block, count)]
    groups: list[list[_Unit]] = []
    size = 0
    for unit in units:
        if groups and size + unit.tokens <= AIM_TOKENS:
            groups[-1].append(unit)
            size += unit.tokens
        else:
            groups.append([unit])
            size = unit.tokens
    return [_joined(group) for group in _rest_joined(groups)]


def _rest_joined(groups: list[list[_Unit]]) -> list[list[_Unit]]:
    if len(groups) > 1:
        rest, before = (sum(unit.tokens for unit in group) for group in (groups[-1], groups[-2]))
        if rest < SHORT_TOKENS and rest + before <= WHOLE_TOKENS:
            return [*groups[:-2], groups[-2] + groups[-1]]
    return groups


def _joined(group: Sequence[_Unit]) -> str:
    return group[0].text + "".join(unit.joint + unit.text for unit in group[1:])


def _units(block: Block, count: CountTokens) -> Iterator[_Unit]:
    """Sentences of prose; a whole list item, code block or table unless it is too long."""
    tokens = count(block.text)
    if block.shape is Shape.PROSE and tokens > SHORT_TOKENS:
        pieces, joint = sentences(block.text), " "
    elif tokens <= (AIM_TOKENS if block.shape is Shape.ITEM else WHOLE_TOKENS):
        pieces, joint = [block.text], "\n"
    elif block.shape is Shape.ITEM:
        pieces, joint = sentences(block.text), " "
    else:
        pieces, joint = _by_lines(block, count), "\n"
    first = "\n"
    for piece in pieces:
        for part in _short_enough(piece, count):
            yield _Unit(part, count(part), first)
            first = joint


def sentences(text: str) -> list[str]:
    """Sentences of a paragraph, in order, nothing lost but the space between them."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    pieces = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    out: list[str] = []
    for piece in pieces:
        if out and _ABBREVIATION.search(out[-1]):
            out[-1] += piece.rstrip()
        elif piece.strip():
            out.append(piece.strip())
    return out


def _by_lines(block: Block, count: CountTokens) -> list[str]:
    """A long code block or table in pieces of whole lines; a table's pieces each begin with its head."""
    lines = block.text.split("\n")
    table = block.shape is Shape.TABLE and len(lines) > 2 and not lines[1].strip(" |:-")
    head, rows = (lines[:2], lines[2:]) if table else ([], lines)
    pieces: list[list[str]] = []
    size, start = 0, sum(count(line) for line in head)
    for row in rows:
        tokens = count(row)
        if not pieces or size + tokens > AIM_TOKENS:
            pieces.append(list(head))
            size = start
        pieces[-1].append(row)
        size += tokens
    return ["\n".join(piece) for piece in pieces]


def _short_enough(text: str, count: CountTokens) -> Iterator[str]:
    """Text without a place to cut (a data line, a language without spaces) is cut by length."""
    tokens = count(text)
    if tokens <= WHOLE_TOKENS:
        yield text
        return
    step = max(1, len(text) * AIM_TOKENS // tokens)
    at = 0
    while at < len(text):
        end = _space_before(text, at, at + step)
        if text[at:end].strip():
            yield text[at:end].strip()
        at = end


def _space_before(text: str, start: int, end: int) -> int:
    if end >= len(text):
        return len(text)
    space = text.rfind(" ", start + (end - start) // 2, end)
    return space if space > start else end
