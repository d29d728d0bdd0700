"""Which of the hits are worth a reader's tokens.

Reciprocal rank fusion says what is better, not what is good: the best of a hopeless lot scores like the best of all. So
the cut looks at two things that have a meaning of their own:

    relevance = (cosine of question and passage + coverage) / 2

Coverage is the share of the question's content words that the passage (its section's title included) contains; words
that few of the hits contain weigh more, those that none contains weigh most. A passage of a section that the question
names by number ("section 3.2") is relevant whatever it says. A hit stays when its relevance is at least the cut, and at least
`NEAR_BEST` of the best hit's.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.retrieval.store import Hit
from services.retrieval.terms import named_sections, section_numbers, without_sections, words_of

DEFAULT_CUT: Final = 0.25
"""When the request and the task type name none. Of the demo's 50 questions about the documents all have a passage above it,
11 of its 175 other requests have one (0.20: 50 and 42, 0.30: 48 and 5)."""
NEAR_BEST: Final = 0.55
NAMED_SECTION: Final = 0.8
"""Least relevance of a passage whose section the question names; coverage adds the rest."""
DEFAULT_PASSAGES: Final = 3
DEFAULT_BUDGET_TOKENS: Final = 600
MOST_PASSAGES: Final = 20


@dataclass(frozen=True, slots=True)
class Judged:
    """A hit and its relevance, 0..1."""

    hit: Hit
    relevance: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What is given out, best first, and how many hits are not."""

    taken: tuple[Judged, ...]
    left_out: int


def judge(question: str, hits: Sequence[Hit]) -> tuple[Judged, ...]:
    """Relevance of each hit, in the hits' order."""
    asked = frozenset(words_of(without_sections(question)))
    sections = frozenset(number.casefold() for number in named_sections(question))
    words = [frozenset(hit.lookup.split()) for hit in hits]
    weights = _weights(asked, words)
    return tuple(Judged(hit, _relevance(hit, here, weights, sections)) for hit, here in zip(hits, words, strict=True))


def choose(question: str, hits: Sequence[Hit], limit: int, budget_tokens: int, cut: float) -> Choice:
    """At most `limit` passages above the cut within the budget, the most relevant first. Zeros mean the defaults."""
    judged = sorted(judge(question, newest(hits)), key=_reading_order if named_sections(question) else _rank)
    bar = max(cut or DEFAULT_CUT, NEAR_BEST * judged[0].relevance if judged else 0.0)
    most, budget = min(limit or DEFAULT_PASSAGES, MOST_PASSAGES), budget_tokens or DEFAULT_BUDGET_TOKENS
    taken: list[Judged] = []
    for one in judged:
        if one.relevance >= bar and len(taken) < most and one.hit.tokens <= budget:
            taken.append(one)
            budget -= one.hit.tokens
    return Choice(tuple(taken), len(hits) - len(taken))


def newest(hits: Sequence[Hit]) -> list[Hit]:
    """While a document is being replaced both versions are there for a moment: only the later one counts."""
    latest: dict[str, tuple[int, str]] = {}
    for hit in hits:
        latest[hit.document] = max(latest.get(hit.document, (0, "")), (hit.epoch, hit.version))
    return [hit for hit in hits if (hit.epoch, hit.version) == latest[hit.document]]


def _rank(one: Judged) -> tuple[float, float]:
    return (-one.relevance, -one.hit.score)


def _reading_order(one: Judged) -> tuple[float, str, int]:
    """Passages of a named section are equally relevant: they are read from the first on."""
    return (-round(one.relevance, 2), one.hit.document, one.hit.ordinal)


def _weights(asked: frozenset[str], words: Sequence[frozenset[str]]) -> dict[str, float]:
    seen = Counter(word for here in words for word in here & asked)
    return {word: math.log(2.0 + len(words) / (1.0 + seen[word])) for word in asked}


def _relevance(hit: Hit, here: frozenset[str], weights: dict[str, float], sections: frozenset[str]) -> float:
    total = sum(weights.values())
    coverage = sum(weight for word, weight in weights.items() if word in here) / total if total else 0.0
    if sections and not sections.isdisjoint(section_numbers(hit.section)):
        return NAMED_SECTION + (1.0 - NAMED_SECTION) * coverage
    return (max(0.0, hit.cosine) + coverage) / 2
