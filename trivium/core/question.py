"""What one question says, read once and kept: its exact key, words, concepts, numbers, names, polarity and order.

`normalise` gives the key of the exact cache; `Reader.read` gives a `Text`, which `same_answer` compares with another.
English is assumed; other languages keep their exact key, numbers, identifiers and words, and lose the tables' help.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from trivium.core.wording import CONTRACTIONS, FAREWELLS, GREETINGS

READ_CHARS: Final = 4_000
"""A longer text is compared by this much of its beginning and by its whole length: two such texts are never reworded
questions, and reading stays below a millisecond."""

TRIGRAM_BITS: Final = 1_021
"""A prime; a question of 60 characters loses one or two of its trigrams to collisions."""

CLOSING_CHARS: Final = 80
"""Thanks and greetings at the end are looked for in so many last characters at a time."""

TRIGRAM_CHARS: Final = 300

_SPARE: Final = 6
"""Remainders that are not reduced to the end: at most 1,026."""
_LOW: Final = int.from_bytes((1023).to_bytes(4, "little") * TRIGRAM_CHARS, "little")
_HIGH: Final = int.from_bytes(((1 << 22) - 1).to_bytes(4, "little") * TRIGRAM_CHARS, "little")
_NO_TRIGRAM: Final = b"0" * (TRIGRAM_BITS + _SPARE)
_MARK: Final = ord("1")

_LOOSE_OPENINGS: Final = frozenset({"help", "so", "ok", "okay", "one question"})
_OPENING: Final = re.compile(
    r"(?:(?:" + "|".join(re.escape(g) for g in GREETINGS if g not in _LOOSE_OPENINGS) + r")\b(?:\s+[^\W\d]+\s*,)?"
    r"|(?:" + "|".join(_LOOSE_OPENINGS) + r")\b(?=\s*[,!.:;-]))[\s,!.:;-]*"
)
_CLOSING: Final = re.compile(
    r"(?:[\s,!.;:-]+|(?<=\?))(?:(?:kind |best |warm |many )?(?:regards|wishes)\s*[,!.-]\s*[^\W\d]+"
    r"|(?:" + "|".join(re.escape(f) for f in FAREWELLS) + r"))[\s!.,;:)(-]*$"
)
_OPENINGS: Final = tuple(g for g in GREETINGS if not any(g != other and g.startswith(other) for other in GREETINGS))
_CLOSINGS: Final = tuple(f for f in FAREWELLS if not any(f != other and f.endswith(other) for other in FAREWELLS))
_TRAILING: Final = " !.,;:)(-"
_SIGNED: Final = re.compile("regards|wishes")
"""What every text with an opening or a closing has, asked first: most texts have neither, and the patterns are slow."""
_QUOTES: Final = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-",
                                "\u00ad": None, "\u200b": None, "\ufeff": None})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """One question as it was read. What all texts have much of is in tuples of words that the `Reader` shares among its
    texts, a third of the memory of sets: one is kept beside every cache entry, and comparing never has to unpack."""

    key: str
    """Normalised text: equal keys are the same question, letter for letter."""
    length: int
    """Characters of the normalised text before it was cut to READ_CHARS."""
    words: tuple[str, ...]
    """Each once, in no order that matters."""
    sequence: tuple[str, ...]
    """Concepts and pronouns in reading order, for questions that differ only in order."""
    concepts: tuple[str, ...]
    """Each once: what is asked about: concept names of known words, stems of the others, without stop words."""
    numbers: frozenset[str]
    """Canonical quantities with their unit, "30 d", "49 usd", "2"."""
    identifiers: frozenset[str]
    """Order numbers, codes, addresses of mail and web, as written but for case."""
    names: frozenset[str]
    """Capitalised or quoted names in lower case."""
    rivals: frozenset[tuple[str, str]]
    """(group, member) of words that exclude each other: plans, weekdays, brands."""
    poles: frozenset[tuple[str, int]]
    """(axis, side): side 1 is the marked one."""
    negations: int
    complaint: bool
    """Something is said not to work or not to be there."""
    roles: tuple[tuple[str, str], ...]
    """(participant, role) in reading order, role one of source, target, agent, measure, with, for, or "" for none."""
    modifiers: frozenset[str]
    """Words that narrow or widen: all, another, only, without."""
    past: bool
    """It asks about what has happened."""
    ask: str
    """Kind of question: do, can, whether, outcome, why, when, where, who, what, which, howmuch, howmany, howlong,
    howoften, state."""
    actors: str
    """Order in which the first and the second person are named: "", "i", "u", "iu", "ui"."""
    passive: bool
    """Something is done to its subject."""
    cast: tuple[tuple[str, int], ...]
    """Who acts and is acted upon, in that order, each with the clause in which it does: what stands in no other part."""
    trigrams: int
    """Set of the key's trigrams as bits, each at a hash of its three characters: an intersection is one operation."""


def normalise(text: str) -> str:
    """Key of the exact cache: Unicode form, case, space, greetings, thanks and closing punctuation do not count.

    A text of nothing but politeness keeps it, so that it stays different from an empty one."""
    folded = _plain(text).casefold()
    bare = _without_opening(folded) if folded.startswith(_OPENINGS) else folded
    if bare.rstrip(_TRAILING).endswith(_CLOSINGS) or _SIGNED.search(bare, max(0, len(bare) - CLOSING_CHARS)):
        bare = _without_closing(bare)
    return _trim(bare) or _trim(folded) or folded


def without_courtesy(text: str) -> str:
    """The text as it was written but for greeting and thanks, its first letter a capital, and not all in capitals.

    What a model of the text's sense is asked: "Hi, where is my order? Thanks" is "Where is my order?"."""
    whole = _plain(text)
    folded = whole.casefold()
    if len(folded) != len(whole):
        return whole
    rest = _without_opening(folded) if folded.startswith(_OPENINGS) else folded
    start = len(folded) - len(rest)
    if rest.rstrip(_TRAILING).endswith(_CLOSINGS) or _SIGNED.search(rest, max(0, len(rest) - CLOSING_CHARS)):
        rest = _without_closing(rest)
    bare = whole[start : start + len(rest)].strip() or whole
    return bare.capitalize() if bare.isupper() else bare[:1].upper() + bare[1:]


def capitalised(text: str) -> str:
    """The text in one Unicode form with its capitals kept, for reading names."""
    return _plain(text[:READ_CHARS])


def open_contractions(words: list[str]) -> list[str]:
    """["don't", "what's"] -> ["do", "not", "what", "is"]; a possessive loses its "'s"."""
    if CONTRACTIONS.keys().isdisjoint(words) and "'" not in " ".join(words):
        return words
    opened: list[str] = []
    for word in words:
        whole = CONTRACTIONS.get(word)
        if whole is not None:
            opened.extend(whole.split())
        elif word.endswith("n't"):
            opened.extend((word[:-3], "not"))
        else:
            bare, mark, rest = word.partition("'")
            opened.append(bare or word)
            if mark and rest == "s" and bare:
                opened.append("'s")
    return opened


def stem(word: str) -> str:
    """A light suffix stripper: plural, -ing, -ed and -ly go, doubled consonants and a final e too."""
    if len(word) < 4:
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-2] if word.endswith(("ses", "xes", "zes", "ches", "shes")) else word[:-1]
    for suffix in ("ing", "ed", "ly"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def trigram_bits(key: str) -> int:
    """The first 300 characters' trigrams as bits of one integer.

    All hashes, one * 961 + two * 31 + three, come from three operations on one integer of 32-bit lanes, and so do their
    remainders: 1,024 is 3 more than the prime."""
    key = key[:TRIGRAM_CHARS]
    raw = key.encode("utf-32-le", "surrogatepass")
    if len(raw) < 12:
        return 0
    lanes = int.from_bytes(raw, "little")
    hashes = (lanes * 961 + (lanes >> 32) * 31 + (lanes >> 64)) & ((1 << 8 * len(raw) - 64) - 1)
    for _ in range(2 if key.isascii() else 4):
        hashes = (hashes & _LOW) + 3 * (hashes >> 10 & _HIGH)
    marks = bytearray(_NO_TRIGRAM)
    for value in memoryview(hashes.to_bytes(len(raw) - 8, "little")).cast("I"):
        marks[value] = _MARK
    if _MARK in marks[TRIGRAM_BITS:]:
        for place in range(_SPARE):
            marks[place] |= marks[TRIGRAM_BITS + place]
    return int(marks[:TRIGRAM_BITS], 2)


def _plain(text: str) -> str:
    return " ".join((text if text.isascii() else unicodedata.normalize("NFKC", text).translate(_QUOTES)).split())


def _without_opening(text: str) -> str:
    while (match := _OPENING.match(text)) is not None and match.end() < len(text):
        text = text[match.end() :]
    return text


def _without_closing(text: str) -> str:
    while (match := _CLOSING.search(text, max(0, len(text) - CLOSING_CHARS))) is not None and match.start() > 0:
        text = text[: match.start()]
    return text


def _trim(text: str) -> str:
    return text.strip(" \t.,;:!?-\"'")
