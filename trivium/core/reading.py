"""Reads a question into a `Text`: tokens, phrases, quantities, names, polarity and the parts that nouns play."""

import re
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeVar

from trivium.core import wording
from trivium.core.concepts import ACTIONS, TRACKED
from trivium.core.frames import framed
from trivium.core.lexicon import Lexicon, lexicon
from trivium.core.question import READ_CHARS, Text, capitalised, normalise, stem, trigram_bits
from trivium.core.tokens import Cutter, quantities

_T = TypeVar("_T")

_QUOTED: Final = re.compile(r'"([^"]{1,60})"')
_CAPITAL: Final = re.compile(r"[A-Z](?<=[\w,)'\"] [A-Z])[^\W\d_]+")
_LETTERED: Final = re.compile(r"(?<![.?!] )\b([^\W\d_]{2,} (?:[B-HJ-Z](?![\w'])|A(?=$|[?.,!;:)])))")
"""Terminal B, lot A."""
REMEMBERED: Final = 50_000
"""Words, and small sets and pairs, of which a reader keeps one copy and what is known of it; then it begins anew."""
_PARTICLE_REACH: Final = 5
_TURNS: Final = frozenset({"turn", "switch", "turned", "switched", "turning", "switching"})
_ASKS: Final = {"why": "why", "when": "when", "where": "where", "who": "who", "whom": "who", "whose": "who", "what": "what",
                "which": "which"}  # fmt: skip
_HOW: Final = {"much": "howmuch", "many": "howmany", "long": "howlong", "soon": "howlong", "quickly": "howlong",
               "fast": "howlong", "often": "howoften", "expensive": "howmuch", "big": "howmuch", "come": "why"}  # fmt: skip
_CAN: Final = frozenset({"can", "may", "could", "please"})
_WHETHER: Final = frozenset({"do", "does", "is", "are", "did", "has", "have", "was", "were", "am", "should", "will", "would"})
_OFFERS: Final = frozenset(
    {"possible", "offer", "have", "support", "there", "provide", "allow", "accept", "sell", "available"}
)
_PROCEDURES: Final = frozenset({"policy", "policies", "rules", "procedure", "way", "steps", "process", "need", "have"})
_WISHES: Final = frozenset({"want", "like", "need", "wish", "please"})
_ARTICLES: Final = frozenset({"the", "a", "an", "my", "your", "our", "this", "that"})
_LASTING: Final = frozenset({"source", "target", "moment"})
_BE: Final = frozenset({"is", "are", "was", "were", "be", "been", "being", "am", "get", "gets", "got"})
_DONE: Final = frozenset(
    ["bought", "sold", "paid", "sent", "made", "taken", "given", "written", "kept", "held", "found", "left", "brought", "told", "shown", "lost", "won", "built", "spent", "driven", "broken", "stolen", "chosen", "seen", "done", "known", "cut", "hit", "put", "read", "bitten", "taught", "caught", "thrown", "drawn", "grown", "worn", "eaten"]
)
"""Participles that do not end in -ed."""
_FIRST: Final = frozenset({"i", "me", "we", "us"})
_SECOND: Final = frozenset({"you"})
_MARKS: Final = frozenset({"'s"})

_ROLE, _ROOTED, _PERSON, _NEGATION, _ARTICLE, _OTHER, _BREAK = range(7)
"""What a word does to the order of a question: gives the next noun its part, is a noun, ..."""


_NOBODY: Final = ("", "")


class _Known(NamedTuple):
    """What is known of a word wherever it stands."""

    word: str
    root: str
    """Its concept or stem, or "" for one that carries none."""
    kind: int
    mark: str
    """What stands for it in the sequence; the part that follows, for a word that gives one."""
    actor: str
    """Who takes part."""
    bare: tuple[str, str]
    """The noun with no part."""
    plays: bool
    """It may be somebody or something that takes part, not what is done or how."""


_WORD_OF: Final = itemgetter(0)
_ROOT_OF: Final = itemgetter(1)


class Reader:
    """Reads texts with one lexicon; share one per process. What it remembers of words only saves time and memory."""

    def __init__(self, tables: Lexicon | None = None) -> None:
        self._tables = tables if tables is not None else lexicon()
        self._cutter = Cutter(self._tables)
        self._known: dict[str, _Known] = {}
        self._shared: dict[object, Any] = {}
        seconds = [(first, phrase[1]) for first, phrases in self._tables.phrases.items() for phrase in phrases]
        self._pairs: dict[str, set[str]] = {word: set() for word in _TURNS}
        for first, second in seconds:
            self._pairs.setdefault(first, set()).add(second)
        how = {"_".join(phrase) for phrase in self._tables.phrases.get("how", ())}
        self._asking = frozenset({"what", "how", *_ASKS, *how})

    def read(self, text: str, key: str | None = None) -> Text:
        """About 30 us for a sentence of words that were seen before. `key`: the text's normalised form, if it is known.

        Never raises: a text without words reads as one without concepts."""
        whole = normalise(text) if key is None else key
        key = whole[:READ_CHARS]
        raw = self._cutter.cut(key)
        names = _names(capitalised(text), whole, self._tables)
        words = self._joined(framed(raw.words))
        numbers, words = quantities(key, words, raw.numbers)
        known = self._knowledge(words)
        present = frozenset(map(_WORD_OF, known)) - _MARKS
        passive = _passive(words)
        sequence, roles, actors, cast = self._order(known, names, passive)
        negations = 0 if wording.NEGATIONS.isdisjoint(present) else sum(word in wording.NEGATIONS for word in words)
        return Text(
            key=key,
            length=len(whole),
            words=tuple(present),
            sequence=sequence,
            concepts=_concepts(present, known),
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
            ask=self._ask(words),
            actors=actors,
            trigrams=trigram_bits(whole),
            passive=passive,
            cast=cast,
        )

    def _knowledge(self, words: list[str]) -> list[_Known]:
        known = self._known
        try:
            return [known[word] for word in words]
        except KeyError:
            if len(known) > REMEMBERED:
                known.clear()
            for word in words:
                if word not in known:
                    known[word] = self._learned(word)
            return [known[word] for word in words]

    def _learned(self, word: str) -> _Known:
        root = self._root(word)
        if word in wording.ROLE_WORDS:
            return _Known(word, root, _ROLE, wording.ROLE_WORDS[word], "", _NOBODY, False)
        if word in wording.CLAUSES:
            return _Known(word, root, _BREAK, "", "", _NOBODY, False)
        actor = "i" if word in _FIRST else "u" if word in _SECOND else ""
        if root:
            noun = word if word in self._tables.rival else root
            plays = root not in ACTIONS and stem(word) not in self._tables.doing
            return _Known(word, root, _ROOTED, noun, actor, (noun, ""), plays)
        if actor:
            return _Known(word, root, _PERSON, actor, actor, (word, ""), False)
        if word in wording.NEGATIONS:
            return _Known(word, root, _NEGATION, word, "", _NOBODY, False)
        return _Known(word, root, _ARTICLE if word in _ARTICLES else _OTHER, "", "", _NOBODY, False)

    def _root(self, word: str) -> str:
        table = self._tables.concept
        name = table.get(word)
        if name is not None:
            return name
        if word in wording.STOPWORDS or word in wording.NEGATIONS:
            return ""
        root = stem(wording.IRREGULAR.get(word, word))
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
        if "_" in "".join(words):
            for word in words:
                if "_" in word and word not in table and word not in wording.WHOLE:
                    found += [entry for part in word.split("_") for entry in table.get(part, ())]
        return self._share(frozenset(found))

    def _order(
        self, known: list[_Known], names: frozenset[str], passive: bool
    ) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...], str, tuple[tuple[str, int], ...]]:
        """Concepts and pronouns in reading order, the parts that nouns play, who of the two persons takes part in which
        order, and who else acts and is acted upon, in that order, each with its clause."""
        sequence: list[str] = []
        roles: list[tuple[str, str]] = []
        cast: list[tuple[str, int]] = []
        share = self._shared.setdefault
        role = before = actors = ""
        clause = first = 0
        last = _OTHER
        for word, root, kind, mark, actor, bare, plays in known:
            if kind == _ROOTED:
                sequence.append(root)
                if last != _ROOTED and last != _ARTICLE and last != _ROLE and role not in _LASTING:
                    role = ""
                if role or names:
                    part = (word if word in names else mark, role)
                    roles.append(share(part, part))
                else:
                    roles.append(bare)
                if plays or word in names:
                    if passive and role == "agent":
                        cast.insert(first, (mark, clause))
                    elif not role:
                        if cast and last == _ROOTED and len(sequence) > 1 and cast[-1][0] == before:
                            cast.pop()
                        cast.append((mark, clause))
            elif kind == _ROLE:
                if not (word == "to" and before == "than"):
                    role = "" if word == "to" and before in wording.INFINITIVES else mark
                    role = "source" if word == "than" and before == "rather" else role
            elif kind == _BREAK:
                clause, role, first = clause + 1, "", len(cast)
            elif word == "'s":
                if roles:
                    roles[-1] = share((roles[-1][0], "owner"), (roles[-1][0], "owner"))
                if cast:
                    cast.pop()
            elif kind == _OTHER:
                role = role if role in _LASTING else ""
            elif kind != _ARTICLE:
                sequence.append(mark)
                if kind == _PERSON:
                    roles.append(bare if not role else share((word, role), (word, role)))
                    role = role if role in _LASTING else ""
            if actor and actor not in actors:
                actors += actor
            before, last = mark if kind == _ROOTED else word, kind
        return tuple(sequence), tuple(roles), actors, share(tuple(cast), tuple(cast))

    def _joined(self, words: list[str]) -> list[str]:
        """Phrases become one word with underscores; "turn the alerts off" becomes "turn_off the alerts"."""
        pairs = self._pairs
        last = len(words) - 1
        for index in [index for index, word in enumerate(words) if word in pairs]:
            if index < last and (words[index + 1] in pairs[words[index]] or words[index] in _TURNS):
                return _rejoined(list(words), self._tables)
        return words

    def _ask(self, words: list[str]) -> str:
        asking = self._asking
        for index, word in enumerate(words):
            if word in asking:
                return _asked(words, index)
        if not words:
            return "state"
        if words[0] == "must":
            return "must"
        if words[0] in _CAN or (words[0] in ("do", "does", "is", "are") and not _OFFERS.isdisjoint(words[:4])):
            return "can"
        if words[0] in _WHETHER:
            return "whether"
        return "do" if not _WISHES.isdisjoint(words) else "state"


def _passive(words: list[str]) -> bool:
    """Whether a form of "be" or "get" has a participle near behind it."""
    if _BE.isdisjoint(words):
        return False
    for index, word in enumerate(words):
        if word in _BE:
            for other in words[index + 1 : index + 6]:
                if (other.endswith("ed") and len(other) > 4) or other in _DONE:
                    return True
    return False


def _concepts(words: frozenset[str], known: list[_Known]) -> tuple[str, ...]:
    every = set(map(_ROOT_OF, known))
    every.discard("")
    if "where" in words and not every.isdisjoint(TRACKED):
        every.add("track")
    return tuple(every)


def _names(text: str, key: str, tables: Lexicon) -> frozenset[str]:
    """Capitalised words inside a sentence and whatever stands in quotes, if they belong to the question itself."""
    found = {" ".join(name.casefold().split()) for name in _QUOTED.findall(text)} if '"' in text else set()
    if not text.isupper():
        for capital in _CAPITAL.findall(text):
            word = capital.casefold()
            if word in key and _is_name(word, tables):
                found.add(word)
        found.update(name.casefold() for name in _LETTERED.findall(text))
    return frozenset(found)


def _is_name(word: str, tables: Lexicon) -> bool:
    if word in wording.GENERIC_NAMES or word in wording.STOPWORDS or word in wording.UNITS:
        return False
    return word in tables.rival or (word not in tables.concept and stem(word) not in tables.concept)


def _rejoined(words: list[str], tables: Lexicon) -> list[str]:
    out: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        if word in _TURNS:
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


def _asked(words: list[str], index: int) -> str:
    word = words[index]
    if word == "what":
        return _what(words[index + 1 : index + 9])
    if word in _ASKS:
        return _ASKS[word]
    if word == "how":
        return _HOW.get(words[index + 1], "do") if index + 1 < len(words) else "do"
    return "howmuch" if word == "how_much" else "howlong"


def _what(after: list[str]) -> str:
    if not after:
        return "what"
    if after[0] in ("happens", "happen", "happened"):
        return "outcome"
    if not _PROCEDURES.isdisjoint(after) or after[-1:] == ["do"] or "should" in after[:2]:
        return "do"
    return "howmuch" if "price" in after[:4] or "cost" in after[:4] else "what"
