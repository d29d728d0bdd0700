"""The mark in a prompt by which a request is known again wherever its text turns up: in records, at vendors, in answers."""

import re
from typing import Final

_MARK: Final = re.compile(r"\[mark ([A-Za-z0-9._/-]+)\]")
UNSURE: Final = "(unsure)"
"""A prompt with this word gets an answer of low confidence, so that a cascade goes up."""


def marked(mark: str) -> str:
    """How a mark stands in a text."""
    return f"[mark {mark}]"


def mark_of(text: str) -> str:
    """The first mark of a text; empty when there is none."""
    found = _MARK.search(text)
    return found.group(1) if found else ""
