"""HTML to blocks, by beautifulsoup4 over the standard library's parser."""

from typing import Final

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from services.retrieval.blocks import Block, Document, Outline, Shape, with_title

_SILENT: Final = frozenset({"script", "style", "noscript", "template", "nav", "aside", "form", "footer", "svg", "iframe", "button", "head"})
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_LEAVES: Final = {"p": Shape.PROSE, "li": Shape.ITEM, "dt": Shape.PROSE, "dd": Shape.PROSE, "figcaption": Shape.PROSE, "summary": Shape.PROSE}
_DEEPEST: Final = 200
"""Nested deeper, a page is read as the plain text from there on: recursion must end before Python's does."""


def read_html(content: bytes) -> Document:
    """Headings become sections; scripts, navigation, forms and footers go; the encoding is the page's own."""
    soup = BeautifulSoup(content, "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    reader = _Reader()
    reader.walk(soup.find("main") or soup.find("article") or soup.body or soup, 0)
    reader.flush()
    return with_title(reader.blocks, reader.firsts, title)


class _Reader:
    """Walks the tree once; text outside of any paragraph is collected until a block begins."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.firsts: list[str] = []
        self._outline = Outline()
        self._loose: list[str] = []

    def walk(self, node: PageElement, depth: int) -> None:
        if isinstance(node, NavigableString):
            if not isinstance(node, PreformattedString):
                self._loose.append(str(node))
        elif isinstance(node, Tag) and node.name not in _SILENT:
            self._tag(node, depth)

    def flush(self) -> None:
        """Ends the loose text."""
        text, self._loose = " ".join("".join(self._loose).split()), []
        self._add(text, Shape.PROSE)

    def _tag(self, node: Tag, depth: int) -> None:
        name = node.name
        if name in _HEADINGS:
            self._heading(_HEADINGS[name], _text(node))
        elif name == "pre":
            self._leaf(node.get_text().strip("\n"), Shape.CODE)
        elif name == "table":
            self._leaf(_table(node), Shape.TABLE)
        elif name in _LEAVES and not node.find(["p", "ul", "ol", "table", "pre", *_HEADINGS]):
            mark = "- " if name == "li" else ""
            self._leaf(mark + _text(node), _LEAVES[name])
        elif depth >= _DEEPEST:
            self._leaf(_text(node), Shape.PROSE)
        else:
            self._branch(node, depth)

    def _branch(self, node: Tag, depth: int) -> None:
        apart = node.name not in ("span", "a", "b", "i", "em", "strong", "code", "small", "sub", "sup", "u", "mark", "abbr")
        if apart:
            self.flush()
        for child in node.children:
            self.walk(child, depth + 1)
        if apart:
            self.flush()

    def _heading(self, level: int, text: str) -> None:
        self.flush()
        self._outline.enter(level, text)
        if level == 1 and text:
            self.firsts.append(text)

    def _leaf(self, text: str, shape: Shape) -> None:
        self.flush()
        self._add(text, shape)

    def _add(self, text: str, shape: Shape) -> None:
        if text.strip(" -\n\t"):
            self.blocks.append(Block(self._outline.path, text, shape))


def _text(node: Tag) -> str:
    return " ".join(node.get_text(" ").split())


def _table(node: Tag) -> str:
    """Rows as `| a | b |`, a line under the head."""
    rows: list[str] = []
    for row in node.find_all("tr"):
        cells = row.find_all(["th", "td"])
        rows.append("| " + " | ".join(_text(cell) for cell in cells) + " |")
        if len(rows) == 1:
            rows.append("|" + " --- |" * len(cells))
    return "\n".join(rows)
