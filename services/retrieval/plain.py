"""Plain text to blocks: headings by their look."""

import re
from typing import Final

from services.retrieval.blocks import Block, Document, Outline, Shape
from services.retrieval.terms import title_number

_NUMBERED: Final = re.compile(r"^(?:(?:[Ss]ection|[Cc]hapter|[Aa]ppendix|[Aa]rticle|SECTION|CHAPTER)\s+)?\d{1,3}(?:\.\d{1,3}){0,5}[.):]?\s+[^\Wa-z_]")
_ITEM: Final = re.compile(r"^\s*(?:[-*•‣]|\d{1,3}[.)])\s+")
_RULE: Final = re.compile(r"^\s*(=|-|~|\*)\1{2,}\s*$")
_LONGEST_HEADING: Final = 80


def read_plain(text: str, section: str = "") -> Document:
    """Underlined, numbered ("3.2 Limits") and ALL-CAPS lines that stand alone are headings.

    `section` names what stands above the first heading (a page of a PDF)."""
    outline = Outline()
    if section:
        outline.enter(1, section)
    blocks: list[Block] = []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n").split("\n")
    paragraph: list[str] = []
    for at, line in enumerate(lines):
        after = lines[at + 1] if at + 1 < len(lines) else ""
        level = heading_level(line, lines[at - 1] if at else "", after)
        if level:
            _close(blocks, outline, paragraph)
            outline.enter(level, line.strip())
        elif _RULE.match(line) or not line.strip():
            _close(blocks, outline, paragraph)
        else:
            if _ITEM.match(line) and paragraph:
                _close(blocks, outline, paragraph)
            paragraph.append(line)
    _close(blocks, outline, paragraph)
    return Document("", tuple(blocks))


def heading_level(line: str, before: str, after: str) -> int:
    """Rank of a heading from 1, or 0. "3.2 Limits" ranks by its number, other looks by 1 and 2."""
    text = line.strip()
    if not text or len(text) > _LONGEST_HEADING or _RULE.match(text):
        return 0
    underline = _RULE.match(after)
    if underline and not before.strip():
        return 1 if underline.group(1) == "=" else 2
    if text[-1] in ".,;!?" and not text.rstrip(".").replace(".", "").isdigit():
        return 0
    number = title_number(text)
    if number and _NUMBERED.match(text) and (("." in number) or not before.strip()) and not after.lstrip().startswith(("2.", "2)")):
        return number.count(".") + 1
    if text.isupper() and len(text) > 3 and sum(c.isalpha() for c in text) > len(text) // 2 and not before.strip():
        return 1
    return 0


def _close(blocks: list[Block], outline: Outline, paragraph: list[str]) -> None:
    if not paragraph:
        return
    shape = Shape.ITEM if _ITEM.match(paragraph[0]) else Shape.PROSE
    if all(line.startswith(("    ", "\t")) for line in paragraph):
        blocks.append(Block(outline.path, "\n".join(paragraph), Shape.CODE))
    else:
        blocks.append(Block(outline.path, " ".join(line.strip() for line in paragraph), shape))
    paragraph.clear()
