"""A bound on looking: a text may be made of nothing but numbers, and the event loop waits meanwhile."""

import re
from collections.abc import Callable, Iterable
from typing import Final

MOST: Final = 1_000
"""Candidates that are looked at; in a text with more, one is taken to be there: closed, not open."""


def any_of(candidates: Iterable[re.Match[str]], is_one: Callable[[re.Match[str]], bool]) -> bool:
    """Whether one of the candidates is one, or there are too many to tell."""
    return any(number >= MOST or is_one(candidate) for number, candidate in enumerate(candidates))
