"""Cuts a normalised question into words, numbers with their sign or unit glued on, and identifiers.

A text is cut at its spaces and every piece is read by itself, once: what was read of a piece is remembered, so that a
question of known words costs one look-up a word. Only quotes and money with its sign apart reach over a space.
"""

import re
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from trivium.core import wording
from trivium.core.lexicon import Lexicon
from trivium.core.question import open_contractions

_TOKEN: Final = re.compile(
    r"(?P<email>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?P<url>(?:https?://|www\.)[^\s?!,]+)"
    r"|(?P<quoted>\"[^\"]{1,60}\")"
    r"|(?P<money>[$€£¥]\s?\d[\d,]*(?:\.\d+)?)"
    r"|(?P<mixed>#?(?=[\w/-]*\d)[^\W_]+(?:(?:[-_/.]|,(?=\d{3}\b))[^\W_]+)*%?)"
    r"|(?P<word>[^\W\d_]+(?:'[^\W\d_]+)?)"
    r"|(?P<sign>[%$€£¥])"
)
_MARKED: Final = re.compile(r"[\d@\"%$€£¥]|://|www\.")
"""Whether a piece has anything but words; most do not, and are read five times faster."""
_SPACED: Final = ('"', "$ ", "€ ", "£ ", "¥ ")
"""Signs that a token may have a space in it: quotes, and money with its sign apart."""
_DIGIT: Final = re.compile(r"\d")
_LETTERS: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_DOTTED: Final = re.compile(r"[^\W\d_]{2,}(?:[._][^\W\d_]{2,})+")
"""Names of files, hosts, topics and variables: `config.yaml`, `trivium.cache`, `max_tokens`."""
_WORD: Final = re.compile(r"[^\W_]+")
_GLUED: Final = re.compile(r"(\d+(?:[.,]\d+)*)-?([a-z]+|%)$")
_PLAIN: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?$|\d+(?:\.\d+)?$")
_ORDINAL: Final = re.compile(r"(\d+)(?:st|nd|rd|th)$")
_LONG_NUMBER: Final = 5
_COUNTING: Final = frozenset(wording.NUMBER_WORDS) | {"one", *wording.SCALES}

PIECES_REMEMBERED: Final = 30_000
"""Pieces of which it is known how they are read (about 5 MB); then it begins anew."""
LONGEST_REMEMBERED: Final = 40

_Quantified = tuple[frozenset[str], frozenset[str]]


@dataclass(slots=True)
class Notes:
    """What the tokens gave, before words are joined into phrases."""

    words: list[str] = field(default_factory=list)
    numbers: set[str] = field(default_factory=set)
    identifiers: set[str] = field(default_factory=set)


class Cutter:
    """Cuts texts with one lexicon. What it remembers only saves time."""

    def __init__(self, tables: Lexicon) -> None:
        self._tables = tables
        self._words: dict[str, tuple[str, ...]] = {}
        self._quantified: dict[str, _Quantified] = {}

    def cut(self, text: str) -> Notes:
        """Words with contractions opened, numbers and identifiers."""
        for sign in _SPACED:
            if sign in text:
                return self._read(text)
        pieces = text.split(" ")
        words = self._words
        try:
            notes = Notes(list(chain.from_iterable([words[piece] for piece in pieces])))
        except KeyError:
            return self._learned(pieces)
        if not self._quantified.keys().isdisjoint(pieces):
            self._add_quantities(pieces, notes)
        return notes

    def _learned(self, pieces: list[str]) -> Notes:
        if len(self._words) > PIECES_REMEMBERED:
            self._words.clear()
            self._quantified.clear()
        notes = Notes()
        for piece in pieces:
            known = self._words.get(piece)
            if known is None:
                known = self._learn(piece, notes)
            notes.words += known
        self._add_quantities(pieces, notes)
        return notes

    def _learn(self, piece: str, notes: Notes) -> tuple[str, ...]:
        read = self._read(piece)
        notes.numbers |= read.numbers
        notes.identifiers |= read.identifiers
        if len(piece) <= LONGEST_REMEMBERED:
            self._words[piece] = tuple(read.words)
            if read.numbers or read.identifiers:
                self._quantified[piece] = frozenset(read.numbers), frozenset(read.identifiers)
        return tuple(read.words)

    def _add_quantities(self, pieces: list[str], notes: Notes) -> None:
        for piece in pieces:
            if piece in self._quantified:
                numbers, identifiers = self._quantified[piece]
                notes.numbers |= numbers
                notes.identifiers |= identifiers

    def _read(self, text: str) -> Notes:
        notes = Notes()
        if "." in text or "_" in text:
            notes.identifiers.update(_DOTTED.findall(text))
        if _MARKED.search(text) is None:
            notes.words = _LETTERS.findall(text)
        else:
            _note_marked(text, notes, self._tables)
        notes.words = open_contractions(notes.words)
        return notes


def _note_marked(text: str, notes: Notes, tables: Lexicon) -> None:
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind == "word":
            notes.words.append(token)
        elif kind in ("email", "url"):
            notes.identifiers.add(token.rstrip("./"))
        elif kind == "quoted":
            notes.words.extend(_WORD.findall(token))
        elif kind == "money":
            unit = wording.UNITS[token[0]]
            notes.numbers.add(f"{_canonical(token[1:].strip())} {unit}")
        elif kind == "mixed":
            _note_mixed(token, notes, tables)
        elif kind == "sign":
            notes.words.append(token)


def _note_mixed(token: str, notes: Notes, tables: Lexicon) -> None:
    glued = _GLUED.match(token)
    ordinal = _ORDINAL.match(token)
    if token in tables.concept:
        notes.words.append(token)
    elif _PLAIN.match(token):
        digits = _canonical(token)
        if len(digits) >= _LONG_NUMBER and digits.isdigit() and "," not in token:
            notes.identifiers.add(digits)
        else:
            notes.words.append(digits)
    elif ordinal:
        notes.numbers.add(f"{ordinal.group(1)} th")
    elif glued and (stem_unit(glued.group(2)) in wording.UNITS or glued.group(2) in wording.SCALES):
        notes.words.extend((_canonical(glued.group(1)), glued.group(2)))
    else:
        notes.identifiers.add(token.lstrip("#"))


def quantities(text: str, words: list[str], found: set[str]) -> tuple[frozenset[str], list[str]]:
    """Numbers in figures or words with the unit that follows them, and the words of the text that are left."""
    if _COUNTING.isdisjoint(words) and _DIGIT.search(text) is None:
        return frozenset(found), words
    numbers = set(found)
    rest: list[str] = []
    index = 0
    while index < len(words):
        value, used = _number_at(words, index)
        unit = wording.UNITS.get(stem_unit(words[index + used])) if index + used < len(words) else None
        if value is None or (words[index] == "one" and unit is None):
            rest.append(words[index])
            index += 1
            continue
        numbers.add(f"{value} {unit}" if unit and unit != "inch" else _bare(value, unit, words[index + used - 1]))
        index += used + (unit is not None and words[index + used] != "in")
    return frozenset(numbers), rest


def _bare(value: str, unit: str | None, word: str) -> str:
    return f"{value} {unit}" if unit == "inch" and word != "in" else value


def _number_at(words: list[str], index: int) -> tuple[str | None, int]:
    word = words[index]
    used = 1
    if word[:1].isdigit() and _PLAIN.match(word):
        value = float(word.replace(",", ""))
    elif word in wording.NUMBER_WORDS or word == "one":
        value = float(wording.NUMBER_WORDS.get(word, 1))
        follower = words[index + 1] if index + 1 < len(words) else ""
        if value >= 20 and wording.NUMBER_WORDS.get(follower, 99) < 10:
            value, used = value + wording.NUMBER_WORDS[follower], 2
    elif word in wording.SCALES and word != "k":
        return f"{wording.SCALES[word]:g}", 1
    else:
        return None, 1
    if index + used < len(words) and words[index + used] in wording.SCALES:
        value, used = value * wording.SCALES[words[index + used]], used + 1
    return f"{value:g}", used


def stem_unit(word: str) -> str:
    """ "days" -> "day"; what is a unit already stays."""
    return word if word in wording.UNITS or len(word) < 3 else word.removesuffix("s")


def _canonical(number: str) -> str:
    plain = number.replace(",", "")
    return plain.rstrip("0").rstrip(".") if "." in plain and plain.count(".") == 1 else plain
