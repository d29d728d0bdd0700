"""The tables of words and concepts, turned round: what a word, as it stands in a text, is a form of."""

from dataclasses import dataclass

from trivium.core import wording
from trivium.core.concepts import CONCEPTS
from trivium.core.question import stem


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The tables, turned round for lookup by word. Built once by `lexicon()` and passed along; never changed."""

    concept: dict[str, str]
    pole: dict[str, tuple[tuple[str, int], ...]]
    rival: dict[str, tuple[tuple[str, str], ...]]
    phrases: dict[str, tuple[tuple[str, ...], ...]]
    """First word of a phrase -> the phrases that begin with it, the longest first."""


def lexicon() -> Lexicon:
    """Turns the tables of `wording` and `concepts` round, about 2 ms."""
    concept: dict[str, str] = {}
    phrases: set[tuple[str, ...]] = set()
    for name, row in CONCEPTS.items():
        for form in (name, *row.split()):
            concept.setdefault(form, name)
            phrases.add(tuple(form.split("_")))
    for form, name in list(concept.items()):
        concept.setdefault(stem(form), name)
    pole: dict[str, list[tuple[str, int]]] = {}
    for axis, sides in wording.POLES.items():
        for side, row in enumerate(sides):
            for form in row.split():
                pole.setdefault(form, []).append((axis, side))
                phrases.add(tuple(form.split("_")))
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
    )


def _by_first_word(phrases: set[tuple[str, ...]]) -> dict[str, tuple[tuple[str, ...], ...]]:
    table: dict[str, list[tuple[str, ...]]] = {}
    for phrase in sorted(phrases, key=lambda words: (-len(words), words)):
        if len(phrase) > 1:
            table.setdefault(phrase[0], []).append(phrase)
    return {first: tuple(entries) for first, entries in table.items()}
