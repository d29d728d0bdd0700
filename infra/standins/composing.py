"""Summaries and drafts: sentences and snippets that exist, chosen by vectors, with slots filled from the message."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from infra.standins import finds, lexicon
from infra.standins.language import Language, content_stems, sentences
from infra.standins.speech import Part, Speech, best, logistic, say

STEEPNESS: Final = 6.5
CENTRE: Final = 0.4
"""Logistic fit of "the snippet is about the ticket's topic" to the score, on tickets.jsonl, with a head that was trained
on the other half of it."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """A reply that support agents use again and again."""

    label: str
    text: str


def snippets_of(rows: Sequence[dict[str, Any]]) -> tuple[Snippet, ...]:
    """Snippets of the rows of a reply file."""
    return tuple(Snippet(str(row.get("label", "other")), str(row["text"])) for row in rows)


def summarize(language: Language, text: str, most: int = 3) -> Speech:
    """Up to `most` sentences (a third of them all) nearest to the middle of the text, in their order.

    Centrality: cosine to the mean of all sentence vectors (Radev et al., 2004), first sentences a little preferred.
    """
    found = [one for one in dict.fromkeys(sentences(text)) if len(one) > 3]
    if not found:
        return say(text.strip() or "Nothing to summarise.", 0.3)
    vectors = language.embed_many(found)
    centre = vectors.mean(axis=0)
    central = vectors @ (centre / max(1e-6, float(np.linalg.norm(centre))))
    scored = [
        float(value) + (0.1 if at == 0 else 0.0) + 0.02 * min(8, len(content_stems(found[at])))
        for at, value in enumerate(central)
    ]
    count = max(1, min(most, round(len(found) / 3)))
    chosen = sorted(sorted(range(len(found)), key=lambda at: -scored[at])[:count])
    return tuple(
        Part((" " if order else "") + found[at], logistic(6.0 * (float(central[at]) - 0.2)))
        for order, at in enumerate(chosen)
    )


def pick(language: Language, text: str, snippets: Sequence[Snippet], topics: dict[str, float]) -> tuple[Snippet, float]:
    """The snippet that fits best and its probability, from its likeness and from the topic of the message."""
    likeness = language.embed_many([one.text for one in snippets]) @ language.embed(text)
    asked = content_stems(text)
    scores = [
        0.8 * float(cosine) + 0.5 * topics.get(one.label, 0.0) + 0.08 * len(asked & content_stems(one.text))
        for cosine, one in zip(likeness, snippets, strict=True)
    ]
    at = int(np.argmax(scores))
    return snippets[at], logistic(STEEPNESS * (scores[at] - CENTRE))


def draft(language: Language, text: str, snippets: Sequence[Snippet], topics: dict[str, float], read: Speech) -> Speech:
    """A reply to a customer: greeting, what it is about, the answer (of documents when they have one), closing."""
    chosen, probability = pick(language, text, snippets, topics)
    body: Speech = read or say(chosen.text, probability)
    return (
        Part(_greeting(text) + _opening(text), 0.95),
        *body,
        Part("\n\nKind regards,\nThe support team", 0.97),
    )


def _greeting(text: str) -> str:
    name = finds.first(finds.FINDERS[-1][1](text))
    return f"Hello {name.value.split()[0]},\n\n" if name else "Hello,\n\n"


def _opening(text: str) -> str:
    about = _about(text)
    moods = lexicon.sentiment(text)
    match best(moods):
        case "negative":
            return f"I am sorry for the trouble{about}. "
        case "positive" if not re.search(r"\?", text):
            return f"thank you for your kind message{about}. "
        case _:
            return f"thank you for your message{about}. "


def _about(text: str) -> str:
    if order := finds.first(finds.orders(text)):
        return f" about order {order.value}"
    if product := finds.first(finds.products(text)):
        return f" about the {product.value.lower()}"
    return ""
