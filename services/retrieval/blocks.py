"""What a document is read into: blocks that know the headings above them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum


class Shape(Enum):
    """How a block may be cut."""

    PROSE = "prose"
    """At the end of a sentence."""
    ITEM = "item"
    """A list item: at the end of a sentence, and better not parted from its neighbours."""
    CODE = "code"
    """At the end of a line, and only when it is far too long."""
    TABLE = "table"
    """At the end of a row, the head repeated, and only when it is far too long."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list item, code block or table, with the headings above it, outermost first."""

    path: tuple[str, ...]
    text: str
    shape: Shape = Shape.PROSE


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read. `title` may be empty; it is not part of the blocks' paths."""

    title: str
    blocks: tuple[Block, ...]


class Unreadable(Exception):
    """The document cannot be read; the message says what is wrong with it and what would be right."""


@dataclass(slots=True)
class Outline:
    """The headings above the place that is being read."""

    levels: list[tuple[int, str]] = field(default_factory=list)

    def enter(self, level: int, heading: str) -> None:
        """A heading of `level` (1 is the highest) closes those of its own and lower ranks."""
        while self.levels and self.levels[-1][0] >= level:
            self.levels.pop()
        self.levels.append((level, " ".join(heading.split())))

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(heading for _, heading in self.levels if heading)


def with_title(blocks: Sequence[Block], firsts: Sequence[str], title: str = "") -> Document:
    """The document whose level-one headings are `firsts`: a single one is its title and leaves the paths."""
    if len(firsts) != 1:
        return Document(title, tuple(blocks))
    only = " ".join(firsts[0].split())
    bare = [Block(b.path[1:] if b.path[:1] == (only,) else b.path, b.text, b.shape) for b in blocks]
    return Document(only, tuple(bare))
