"""The tables of words and concepts, turned round: what a word, as it stands in a text, is a form of.

Beside the tables of a help desk stands general English from WordNet (words.json, written by examples/support/make_words.py):
which words share a sense or derive from one another, which are opposites, and which are mostly not nouns.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Final

from trivium.core import wording
from trivium.core.concepts import CONCEPTS, KIN
from trivium.core.question import stem

Kin = dict[str, frozenset[str]]
"""Root of a word -> roots that may stand for it. Symmetric."""

GENERAL: Final = "~"
"""Begins the name of an axis of opposites that WordNet knows and the tables do not."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The tables, turned round for lookup by word. Built once by `lexicon()` and passed along; never changed."""

    concept: dict[str, str]
    pole: dict[str, tuple[tuple[str, int], ...]]
    rival: dict[str, tuple[tuple[str, str], ...]]
    phrases: dict[str, tuple[tuple[str, ...], ...]]
    """First word of a phrase -> the phrases that begin with it, the longest first."""
    kin: Kin
    doing: frozenset[str]
    """Stems of words that are often verbs, adjectives or adverbs."""


@lru_cache(1)
def lexicon() -> Lexicon:
    """Turns the tables of `wording` and `concepts` round and reads the general words, about 30 ms, once a process."""
    general = json.loads(resources.files("trivium.core").joinpath("words.json").read_text(encoding="utf-8"))
    concept, phrases = _concepts()
    pole = _poles(general["opposites"])
    phrases |= {tuple(form.split("_")) for form in pole if "_" in form}
    rival: dict[str, list[tuple[str, str]]] = {}
    for group, row in wording.RIVALS.items():
        for form in row.split():
            word, _, member = form.partition("=")
            rival.setdefault(word, []).append((group, member or word))
    return Lexicon(
        concept,
        {form: tuple(entries) for form, entries in pole.items()},
        {form: tuple(entries) for form, entries in rival.items()},
        _by_first_word(phrases),
        _kin(general["kin"], concept),
        frozenset(general["doing"].split()),
    )


def _concepts() -> tuple[dict[str, str], set[tuple[str, ...]]]:
    concept: dict[str, str] = {}
    phrases: set[tuple[str, ...]] = set()
    for name, row in CONCEPTS.items():
        for form in (name, *row.split()):
            concept.setdefault(form, name)
            phrases.add(tuple(form.split("_")))
    for form, name in list(concept.items()):
        concept.setdefault(stem(form), name)
    return concept, phrases


def _poles(opposites: list[str]) -> dict[str, list[tuple[str, int]]]:
    pole: dict[str, list[tuple[str, int]]] = {}
    for axis, sides in wording.POLES.items():
        for side, row in enumerate(sides):
            for form in row.split():
                pole.setdefault(form, []).append((axis, side))
    known = set(pole)
    for pair in opposites:
        one, other = pair.split()
        if known.isdisjoint((one, other)) and wording.STOPWORDS.isdisjoint((one, other)):
            for side, word in enumerate((one, other)):
                for form in _forms(word):
                    pole.setdefault(form, []).append((GENERAL + pair, side))
    return pole


def _forms(word: str) -> tuple[str, ...]:
    bare = word.removesuffix("e")
    return (word, word + "s", bare + "ed", bare + "ing")


def _kin(rows: list[str], concept: dict[str, str]) -> Kin:
    kin: dict[str, set[str]] = {}
    for row in rows:
        word, *others = row.split()
        for other in others:
            _relate(kin, concept.get(word, word), concept.get(other, other), concept)
    for row in KIN:
        roots = [concept.get(word, concept.get(stem(word), stem(word))) for word in row.split()]
        for one in roots:
            for other in roots:
                if one != other:
                    kin.setdefault(one, set()).add(other)
    return {word: frozenset(others) for word, others in kin.items()}


def _relate(kin: dict[str, set[str]], one: str, other: str, concept: dict[str, str]) -> None:
    """Two concepts of the table were kept apart by hand, so WordNet does not bring them together."""
    if one == other or (one in CONCEPTS and other in CONCEPTS):
        return
    kin.setdefault(one, set()).add(other)
    kin.setdefault(other, set()).add(one)


def _by_first_word(phrases: set[tuple[str, ...]]) -> dict[str, tuple[tuple[str, ...], ...]]:
    table: dict[str, list[tuple[str, ...]]] = {}
    for phrase in sorted(phrases, key=lambda words: (-len(words), words)):
        if len(phrase) > 1:
            table.setdefault(phrase[0], []).append(phrase)
    return {first: tuple(entries) for first, entries in table.items()}
