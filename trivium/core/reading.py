"""Reads a question into a `Text`: tokens, phrases, quantities, names, polarity and the parts that nouns play."""

import re
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from trivium.core import wording
from trivium.core.concepts import TRACKED
from trivium.core.lexicon import Lexicon, lexicon
from trivium.core.question import READ_CHARS, Text, capitalised, normalise, open_contractions, stem, trigram_bits

_T = TypeVar("_T")

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
"""Whether a text has anything but words; most questions do not, and are read five times faster."""
_SPACED: Final = re.compile(r"\"|[$€£¥]\s")
"""Whether a token may have white space in it: quotes, and money with its sign apart. Else words are read one by one."""
_LETTERS: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_DOTTED: Final = re.compile(r"[^\W\d_]{2,}(?:[._][^\W\d_]{2,})+")
"""Names of files, hosts, topics and variables: `config.yaml`, `trivium.cache`, `max_tokens`."""
_QUOTED: Final = re.compile(r'"([^"]{1,60})"')
_CAPITAL: Final = re.compile(r"(?<=[\w,)'\"] )([A-Z][^\W\d_]+)")
_WORD: Final = re.compile(r"[^\W_]+")
_GLUED: Final = re.compile(r"(\d+(?:[.,]\d+)*)-?([a-z]+|%)$")
_PLAIN: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?$|\d+(?:\.\d+)?$")
_ORDINAL: Final = re.compile(r"(\d+)(?:st|nd|rd|th)$")
_DIGIT: Final = re.compile(r"\d")
_LONG_NUMBER: Final = 5
REMEMBERED: Final = 50_000
"""Words, and small sets and pairs, of which a reader keeps one copy and what is known of it; then it begins anew."""
_PARTICLE_REACH: Final = 5
_ASKS: Final = {"why": "why", "when": "when", "where": "where", "who": "who", "whom": "who", "whose": "who", "what": "what",
                "which": "which"}  # fmt: skip
_HOW: Final = {"much": "howmuch", "many": "howmany", "long": "howlong", "soon": "howlong", "quickly": "howlong",
               "fast": "howlong", "often": "howoften", "expensive": "howmuch", "big": "howmuch", "come": "why"}  # fmt: skip
_COUNTING: Final = frozenset(wording.NUMBER_WORDS) | {"one", *wording.SCALES}
_CAN: Final = frozenset({"can", "may", "could", "would", "will", "please"})
_WHETHER: Final = frozenset({"do", "does", "is", "are", "did", "has", "have", "was", "were", "am", "should", "must"})
_OFFERS: Final = frozenset(
    {"possible", "offer", "have", "support", "there", "provide", "allow", "accept", "sell", "available"}
)
_PROCEDURES: Final = frozenset({"policy", "policies", "rules", "procedure", "way", "steps", "process", "need", "have"})
_WISHES: Final = frozenset({"want", "like", "need", "wish", "please"})
_ARTICLES: Final = frozenset({"the", "a", "an", "my", "your", "our", "this", "that"})
_FIRST: Final = frozenset({"i", "me", "we", "us"})
_SECOND: Final = frozenset({"you"})


@dataclass(slots=True)
class _Notes:
    """What the tokens gave, before words are joined into phrases."""

    words: list[str] = field(default_factory=list)
    numbers: set[str] = field(default_factory=set)
    identifiers: set[str] = field(default_factory=set)


class Reader:
    """Reads texts with one lexicon; share one per process. What it remembers of words only saves time and memory."""

    def __init__(self, tables: Lexicon | None = None) -> None:
        self._tables = tables if tables is not None else lexicon()
        self._rooted: dict[str, tuple[str, str]] = {}
        self._shared: dict[object, Any] = {}

    def read(self, text: str) -> Text:
        """About 50 us for a sentence. Never raises: a text without words reads as one without concepts."""
        key = normalise(text)
        raw = _tokens(key[:READ_CHARS], self._tables)
        names = _names(capitalised(text), key, self._tables)
        words = _joined(open_contractions(raw.words), self._tables)
        numbers, words = _quantities(words, raw.numbers)
        words, roots = self._roots(words)
        present = frozenset(words)
        sequence, roles = self._order(words, roots, names)
        negations = 0 if wording.NEGATIONS.isdisjoint(present) else sum(word in wording.NEGATIONS for word in words)
        return Text(
            key=key[:READ_CHARS],
            length=len(key),
            words=tuple(present),
            sequence=sequence,
            concepts=_concepts(present, roots),
            numbers=numbers,
            identifiers=frozenset(raw.identifiers),
            names=names,
            rivals=self._rivals(words),
            poles=self._poles(words),
            negations=negations,
            complaint=negations > 0 or not wording.FAILURES.isdisjoint(present),
            roles=roles,
            modifiers=self._share(wording.MODIFIERS & present),
            past=not wording.PAST.isdisjoint(present),
            ask=_ask(words),
            actors=_actors(words),
            trigrams=trigram_bits(key),
        )

    def _roots(self, words: list[str]) -> tuple[list[str], list[str]]:
        """The words, each held once for all texts, and for each its concept or stem, or "" for one that carries none."""
        rooted = self._rooted
        if len(rooted) > REMEMBERED:
            rooted.clear()
        same: list[str] = []
        roots: list[str] = []
        for word in words:
            found = rooted.get(word)
            if found is None:
                found = rooted[word] = (word, self._root(word))
            same.append(found[0])
            roots.append(found[1])
        return same, roots

    def _root(self, word: str) -> str:
        table = self._tables.concept
        name = table.get(word)
        if name is not None:
            return name
        if word in wording.STOPWORDS or word in wording.NEGATIONS:
            return ""
        root = stem(word)
        return table.get(root, root)

    def _share(self, value: _T) -> _T:
        """The equal value that was seen before, so that many texts hold it once."""
        if len(self._shared) > REMEMBERED:
            self._shared.clear()
        shared: _T = self._shared.setdefault(value, value)
        return shared

    def _rivals(self, words: list[str]) -> frozenset[tuple[str, str]]:
        table = self._tables.rival
        return self._share(frozenset([entry for word in words if word in table for entry in table[word]]))

    def _poles(self, words: list[str]) -> frozenset[tuple[str, int]]:
        table = self._tables.pole
        found = [entry for word in words if word in table for entry in table[word]]
        for word in words:
            if "_" in word and word not in table:
                found += [entry for part in word.split("_") for entry in table.get(part, ())]
        return self._share(frozenset(found))

    def _order(
        self, words: list[str], roots: list[str], names: frozenset[str]
    ) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        sequence: list[str] = []
        roles: list[tuple[str, str]] = []
        role = previous = ""
        for word, root in zip(words, roots, strict=True):
            before, previous = previous, word
            if word in wording.ROLE_WORDS:
                role = "" if word == "to" and before in wording.INFINITIVES else wording.ROLE_WORDS[word]
                role = "source" if word == "than" and before == "rather" else role
            elif root:
                sequence.append(root)
                part = (word if word in self._tables.rival or word in names else root, role)
                roles.append(self._shared.setdefault(part, part))
                role = role if role in ("source", "target") else ""
            elif word in _FIRST or word in _SECOND:
                sequence.append("i" if word in _FIRST else "u")
            elif word in wording.NEGATIONS:
                sequence.append(word)
            elif word not in _ARTICLES:
                role = ""
        return tuple(sequence), tuple(roles)


def _concepts(words: frozenset[str], roots: list[str]) -> tuple[str, ...]:
    every = set(roots)
    every.discard("")
    if "where" in words and not every.isdisjoint(TRACKED):
        every.add("track")
    return tuple(every)


def _names(text: str, key: str, tables: Lexicon) -> frozenset[str]:
    """Capitalised words inside a sentence and whatever stands in quotes, if they belong to the question itself."""
    found = {" ".join(name.casefold().split()) for name in _QUOTED.findall(text)} if '"' in text else set()
    if not text.isupper():
        for match in _CAPITAL.finditer(text):
            word = match.group(1).casefold()
            if word in key and _is_name(word, tables):
                found.add(word)
    return frozenset(found)


def _tokens(text: str, tables: Lexicon) -> _Notes:
    notes = _Notes()
    if "." in text or "_" in text:
        notes.identifiers.update(_DOTTED.findall(text))
    if _MARKED.search(text) is None:
        notes.words = _LETTERS.findall(text)
        return notes
    whole = _SPACED.search(text) is not None
    for chunk in (text,) if whole else text.split(" "):
        if chunk.isalpha():
            notes.words.append(chunk)
        elif not whole and _MARKED.search(chunk) is None:
            notes.words += _LETTERS.findall(chunk)
        else:
            _note_marked(chunk, notes, tables)
    return notes


def _note_marked(text: str, notes: _Notes, tables: Lexicon) -> None:
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


def _note_mixed(token: str, notes: _Notes, tables: Lexicon) -> None:
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


def _is_name(word: str, tables: Lexicon) -> bool:
    if word in wording.GENERIC_NAMES or word in wording.STOPWORDS or word in wording.UNITS:
        return False
    return word in tables.rival or (word not in tables.concept and stem(word) not in tables.concept)


def _joined(words: list[str], tables: Lexicon) -> list[str]:
    """Phrases become one word with underscores; "turn the alerts off" becomes "turn_off the alerts"."""
    out: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        if word in ("turn", "switch", "turned", "switched", "turning", "switching"):
            index = _join_particle(words, index, out)
            continue
        for phrase in tables.phrases.get(word, ()):
            if tuple(words[index : index + len(phrase)]) == phrase:
                out.append("_".join(phrase))
                index += len(phrase)
                break
        else:
            out.append(word)
            index += 1
    return out


def _join_particle(words: list[str], index: int, out: list[str]) -> int:
    for distance in range(1, _PARTICLE_REACH):
        if index + distance < len(words) and words[index + distance] in ("on", "off"):
            out.append("turn_" + words.pop(index + distance))
            return index + 1
    out.append(words[index])
    return index + 1


def _quantities(words: list[str], found: set[str]) -> tuple[frozenset[str], list[str]]:
    """Numbers in figures or words with the unit that follows them, and the words that are left."""
    if _COUNTING.isdisjoint(words) and not any(map(_DIGIT.match, words)):
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
    if word[0].isdigit() and _PLAIN.match(word):
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


def _ask(words: list[str]) -> str:
    for index, word in enumerate(words):
        if word == "what":
            return _what(words[index + 1 : index + 9])
        if word in _ASKS:
            return _ASKS[word]
        if word == "how":
            return _HOW.get(words[index + 1], "do") if index + 1 < len(words) else "do"
        if word.startswith("how_"):
            return "howmuch" if word == "how_much" else "howlong"
    if not words:
        return "state"
    if words[0] in _CAN or (words[0] in ("do", "does", "is", "are") and not _OFFERS.isdisjoint(words[:4])):
        return "can"
    if words[0] in _WHETHER:
        return "whether"
    return "do" if not _WISHES.isdisjoint(words) else "state"


def _what(after: list[str]) -> str:
    if not after:
        return "what"
    if after[0] in ("happens", "happen", "happened"):
        return "outcome"
    if not _PROCEDURES.isdisjoint(after) or after[-1:] == ["do"] or "should" in after[:2]:
        return "do"
    return "howmuch" if "price" in after[:4] or "cost" in after[:4] else "what"


def _actors(words: list[str]) -> str:
    order = ""
    for word in words:
        mark = "i" if word in _FIRST else "u" if word in _SECOND else ""
        if mark and mark not in order:
            order += mark
    return order
