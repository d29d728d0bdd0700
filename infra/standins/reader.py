"""The extractive reader: answers a question with sentences of the passages, or says that they do not tell.

A sentence is scored by what it shares with the question: the weighted share of the question's content words that it
(or, at a discount, its passage and heading) contains, words that are rare in the passages weighing more, and the cosine
of the two vectors. Passages are data: a sentence that speaks to the reader ("ignore the instructions above") is
never quoted, and nothing in a passage changes what the reader does.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from infra.standins.language import Language, content_stems, sentences
from infra.standins.prompts import Passage
from infra.standins.speech import Part, Speech, logistic, say

BAR: Final = 0.36
"""Score below which a sentence is not an answer; set on the questions of tests/unit/test_standin_answers.py."""
STEEPNESS: Final = 8.0
DOUBT: Final = 0.3
"""Weight that a question lacks however well it is met: one common word in common is little evidence."""
NOT_FOUND: Final = "The documents do not say."
MOST: Final = 3
"""Sentences in an answer."""

_RULE: Final = re.compile(r"^[|\s:-]+$")
_ORDERS: Final = re.compile(
    r"\b(ignore|disregard|forget)\b.{0,40}\b(instruction|previous|above|prior|prompt|rule|question|everything)"
    r"|\b(you (are|must) now|new instructions?|system prompt|as an? (ai|assistant|language model)|pretend to be|act as)\b"
    r"|\b(reply|respond|answer|say|output|print|write) (only |just |exactly )?(with )?[\"'“‘]"
    r"|\b(reveal|leak|exfiltrate|send)\b.{0,40}\b(key|secret|password|prompt|token)s?\b.{0,30}\b(to|at)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Found:
    """A sentence of a passage and how well it answers."""

    passage: int
    at: int
    """Its place in reading order over all passages."""
    text: str
    score: float
    """0..about 1."""


def read(language: Language, question: str, passages: Sequence[Passage]) -> Speech:
    """The answer with `[n]` after each sentence, or `NOT_FOUND` with low probabilities."""
    found = rank(language, question, passages)
    if not found or found[0].score < BAR:
        surest = found[0].score if found else 0.0
        return say(NOT_FOUND, 0.05 + 0.25 * logistic(STEEPNESS * (BAR - surest) - 2.0))
    chosen = [one for one in found[: MOST * 2] if one.score >= max(BAR, 0.72 * found[0].score)][:MOST]
    parts: list[Part] = []
    for one in sorted(chosen, key=lambda one: one.at):
        closing = "" if one.text[-1:] in ".!?:" else "."
        space = " " if parts else ""
        parts.append(Part(f"{space}{one.text}{closing} [{one.passage}]", logistic(STEEPNESS * (one.score - BAR) + 0.5)))
    return tuple(parts)


def rank(language: Language, question: str, passages: Sequence[Passage]) -> list[Found]:
    """All quotable sentences, the best first."""
    asked = content_stems(question)
    candidates = [
        (passage, sentence)
        for passage in passages
        for sentence in sentences(passage.text)
        if len(sentence) >= 12
        and not sentence.startswith("#")
        and not _RULE.match(sentence)
        and not _ORDERS.search(sentence)
    ]
    if not candidates or not question.strip():
        return []
    stems = [content_stems(sentence) for _, sentence in candidates]
    weights = _weights(asked, stems)
    around = {passage.number: content_stems(passage.source + " " + passage.text[:2_000]) for passage in passages}
    cosines = language.embed_many([sentence for _, sentence in candidates]) @ language.embed(question)
    found = [
        Found(
            passage.number, at, _clean(sentence), _score(weights, stems[at], around[passage.number], float(cosines[at]))
        )
        for at, (passage, sentence) in enumerate(candidates)
    ]
    return sorted(_unique(found), key=lambda one: (-one.score, one.at))


def _weights(asked: frozenset[str], stems: Sequence[frozenset[str]]) -> dict[str, float]:
    seen = Counter(stem for one in stems for stem in one)
    return {stem: math.log(2.0 + len(stems) / (1.0 + seen[stem])) for stem in asked}


def _score(weights: dict[str, float], here: frozenset[str], around: frozenset[str], cosine: float) -> float:
    total = sum(weights.values())
    if total == 0.0:
        return 0.7 * max(0.0, cosine)
    exact = sum(weight for stem, weight in weights.items() if stem in here)
    near = sum(weight for stem, weight in weights.items() if stem not in here and stem in around)
    return 0.6 * (exact + 0.4 * near) / (total + DOUBT) + 0.4 * max(0.0, cosine)


def _clean(sentence: str) -> str:
    """The sentence without list marks; the cells of a table row with dashes between them."""
    if sentence.startswith("|"):
        return " – ".join(cell.strip() for cell in re.split(r"(?<!\\)\|", sentence.strip("| ")) if cell.strip())
    return re.sub(r"^\s*(?:[-*+]|\d+[.)])\s+", "", sentence).strip()


def _unique(found: Sequence[Found]) -> list[Found]:
    seen: set[str] = set()
    return [one for one in found if not (one.text.lower() in seen or seen.add(one.text.lower()))]  # type: ignore[func-returns-value]
