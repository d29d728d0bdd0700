"""Markdown to blocks, by markdown-it's tokens (CommonMark and tables)."""

import re
from collections.abc import Sequence
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from services.retrieval.blocks import Block, Document, Outline, Shape, with_title

_FRONT_MATTER: Final = re.compile(r"\A(?:---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)|\+\+\+[ \t]*\n.*?\n\+\+\+[ \t]*(?:\n|\Z))", re.DOTALL)
_TAG: Final = re.compile(r"<[^<>\n]+>")


def read_markdown(text: str) -> Document:
    """Headings become sections, front matter and comments go, tables and code stay as they were written."""
    body = _FRONT_MATTER.sub("", text.replace("\r\n", "\n"), count=1)
    reader = _Reader(body.split("\n"))
    reader.read(MarkdownIt("commonmark").enable("table").parse(body))
    return with_title(reader.blocks, reader.firsts)


class _Reader:
    """Walks the flat list of tokens once."""

    def __init__(self, lines: list[str]) -> None:
        self.blocks: list[Block] = []
        self.firsts: list[str] = []
        self._lines = lines
        self._outline = Outline()

    def read(self, tokens: Sequence[Token]) -> None:
        at = 0
        while at < len(tokens):
            token = tokens[at]
            end = _closing(tokens, at)
            self._take(token, tokens[at + 1 : end])
            at = end + 1

    def _take(self, token: Token, inside: Sequence[Token]) -> None:
        match token.type:
            case "heading_open":
                self._heading(int(token.tag[1:]), _plain(inside))
            case "fence" | "code_block":
                self._add(token.content.rstrip("\n"), Shape.CODE)
            case "table_open":
                self._add(self._raw(token), Shape.TABLE)
            case "bullet_list_open" | "ordered_list_open":
                self._list(inside, ordered=token.type.startswith("ordered"))
            case "blockquote_open":
                self.read(inside)
            case "html_block":
                self._add(_TAG.sub("", _without_comments(token.content)), Shape.PROSE)
            case _:
                self._add(_plain(inside), Shape.PROSE)

    def _heading(self, level: int, text: str) -> None:
        self._outline.enter(level, text)
        if level == 1:
            self.firsts.append(text)

    def _list(self, inside: Sequence[Token], ordered: bool) -> None:
        at, number = 0, 1
        while at < len(inside):
            end = _closing(inside, at)
            mark = f"{number}. " if ordered else "- "
            self._add(mark + _item(inside[at + 1 : end]), Shape.ITEM)
            at, number = end + 1, number + 1

    def _raw(self, token: Token) -> str:
        first, last = token.map or (0, 0)
        return "\n".join(line.strip() for line in self._lines[first:last]).strip()

    def _add(self, text: str, shape: Shape) -> None:
        kept = text if shape is Shape.CODE else text.strip()
        if kept.strip(" -\n\t"):
            self.blocks.append(Block(self._outline.path, kept, shape))


def _closing(tokens: Sequence[Token], at: int) -> int:
    """Index of the token that closes the one at `at` (itself when it opens nothing)."""
    depth = 0
    for index in range(at, len(tokens)):
        depth += tokens[index].nesting
        if depth == 0:
            return index
    return len(tokens) - 1


def _item(tokens: Sequence[Token]) -> str:
    """Text of a list item, nested lists indented below it."""
    out: list[str] = []
    depth = 0
    for token in tokens:
        if token.type in ("bullet_list_open", "ordered_list_open"):
            depth += 1
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            depth -= 1
        elif token.type == "inline":
            out.append(("  " * depth + "- " if depth else "") + _inline(token))
        elif token.type in ("fence", "code_block"):
            out.append(token.content.rstrip("\n"))
    return "\n".join(out)


def _without_comments(html: str) -> str:
    """HTML without its comments; one that is not closed reaches to the end. Linear, whatever somebody sends."""
    out: list[str] = []
    at = 0
    while (start := html.find("<!--", at)) >= 0:
        out.append(html[at:start])
        end = html.find("-->", start)
        if end < 0:
            return "".join(out)
        at = end + 3
    return "".join([*out, html[at:]])


def _plain(tokens: Sequence[Token]) -> str:
    return "\n".join(_inline(token) for token in tokens if token.type == "inline")


def _inline(token: Token) -> str:
    out: list[str] = []
    for child in token.children or []:
        match child.type:
            case "text":
                out.append(child.content)
            case "code_inline":
                out.append(f"`{child.content}`")
            case "softbreak" | "hardbreak":
                out.append(" ")
            case "image":
                out.append(child.content)
            case _:
                continue
    return "".join(out)
