"""Finds an entry whose answer also serves a new question, and says of near ones why theirs does not.

Exact first, then the nearest by vector, each judged by the verifier with what the task classifier thinks of both. This
knows nothing of topics, documents or permissions: the view above decides which scope is asked and which entries live.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Final, Protocol

import numpy as np

from trivium.cache.index import CacheIndex, NewEntry
from trivium.core.question import Text, normalise
from trivium.core.reading import Reader
from trivium.core.same_answer import Evidence, Verifier
from trivium.ports import Embedder, Vector

CANDIDATES: Final = 5
LEAST_COSINE: Final = 0.05
"""Static vectors put two thirds of the true paraphrases below 0.5, so this only drops what shares nothing at all."""
SURE: Final = 0.97
"""A score from which farther candidates are not asked any more."""
HOPELESS: Final = (3, 0.2)
"""After so many candidates of which none scored so much, the farther ones are not asked either."""
TEXT_CHARS: Final = 8_000
"""Longer questions are cached by their exact key only: an embedding says little about a page of text."""


class Entry(Protocol):
    """What a lookup needs of a cache entry."""

    @property
    def id(self) -> str: ...

    @property
    def scope(self) -> str: ...

    @property
    def question(self) -> str: ...

    @property
    def expires_ms(self) -> int: ...


class Witness(Protocol):
    """The task classifier, asked for the probability of each class, float32[classes]."""

    def probabilities(self, vector: Vector) -> Vector: ...


@dataclass(frozen=True, slots=True)
class RefusedCandidate:
    """A near entry whose answer was not given, and why, in words."""

    entry_id: str
    similarity: float
    score: float
    why: str


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry whose answer serves. Similarity is the cosine, score the verifier's; both 1 for an exact hit."""

    entry_id: str
    exact: bool
    similarity: float
    score: float
    why: str
    refused: tuple[RefusedCandidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Miss:
    """No entry serves. `vector` is the question's embedding, for the entry that its answer may become."""

    refused: tuple[RefusedCandidate, ...] = ()
    vector: Vector | None = field(default=None, compare=False)


Barred = Callable[[str], str]
"""Why an entry (by its id) may not serve now, in words; empty when it may. Asked only of entries that would."""


def _nothing_barred(_entry_id: str) -> str:
    return ""


def shipped_verifier() -> Verifier:
    """The verifier that comes with Trivium, trained on examples/support/pairs.jsonl."""
    return Verifier.from_json(resources.files("trivium.cache").joinpath("verifier.json").read_text(encoding="utf-8"))


class Lookup:
    """One per process, beside the view that feeds it. One thread; about half a millisecond a question.

    An embedder whose first dimensions find neighbours nearly as well as all of them says how many in `leading`."""

    def __init__(self, embedder: Embedder, verifier: Verifier, witness: Witness | None = None) -> None:
        self.index = CacheIndex(embedder.dimensions, getattr(embedder, "leading", None))
        self._embedder = embedder
        self._verifier = verifier
        self._witness = witness
        self._reader = Reader()
        self._entries: dict[str, Entry] = {}
        self._read: dict[str, Text] = {}
        self._views: dict[str, Vector] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry, vector: Vector | None = None, labels: frozenset[str] = frozenset()) -> None:
        """Adds or replaces an entry; embeds its question unless its vector is given."""
        vector = vector if vector is not None else self._embed(entry.question)
        self.index.add(entry.id, entry.scope, entry.question, vector, labels, entry.expires_ms)
        self._keep(entry, vector)

    def put_many(self, entries: Sequence[tuple[Entry, Vector]]) -> None:
        """Adds or replaces many whose vectors are known, faster than one by one: for the materialisation at start."""
        self.index.add_many(
            [
                NewEntry(entry.id, entry.scope, entry.question, vector, expires_ms=entry.expires_ms)
                for entry, vector in entries
            ]
        )
        for entry, vector in entries:
            self._keep(entry, vector)

    def remove(self, entry_id: str) -> bool:
        """Forgets an entry; False when it was not there."""
        return self._forget(frozenset({entry_id})) > 0 if entry_id in self._entries else False

    def remove_labelled(self, label: str) -> int:
        """Forgets the entries with a label, such as "tag:prices"; returns how many."""
        return self._forget(self.index.labelled(label))

    def remove_scope(self, scope: str) -> int:
        """Forgets the entries of a scope; returns how many."""
        return self._forget(frozenset(i for i, entry in self._entries.items() if entry.scope == scope))

    def expire(self, now_ms: int) -> int:
        """Forgets what has expired; returns how many."""
        gone = self.index.expire(now_ms)
        return self._forget(gone)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The live entries by id."""
        return self._entries

    def find(
        self, scope: str, text: str, now_ms: int, semantic: bool = True, barred: Barred = _nothing_barred
    ) -> Hit | Miss:
        """The best entry of the scope that serves `text`, or a Miss that says which near ones were refused."""
        key = normalise(text)
        exact = self.index.exact_key(scope, key)
        refused: list[RefusedCandidate] = []
        if exact is not None and self._alive(exact, now_ms):
            why = barred(exact)
            if not why:
                return Hit(exact, True, 1.0, 1.0, "the same question")
            refused.append(RefusedCandidate(exact, 1.0, 1.0, why))
        if not semantic or len(text) > TEXT_CHARS:
            return Miss(tuple(refused))
        vector = self._embed(text)
        near = [
            (entry_id, cosine)
            for entry_id, cosine in self.index.nearest(scope, vector, CANDIDATES)
            if cosine >= LEAST_COSINE and self._alive(entry_id, now_ms) and not (refused and entry_id == exact)
        ]
        if not near:
            return Miss(tuple(refused), vector)
        return self._judged(self._reader.read(text, key), vector, near, refused, barred)

    def _judged(
        self,
        asked: Text,
        vector: Vector,
        near: list[tuple[str, float]],
        refused: list[RefusedCandidate],
        barred: Barred,
    ) -> Hit | Miss:
        view = self._witness.probabilities(vector) if self._witness is not None else None
        best: Hit | None = None
        hope = 0.0
        for count, (entry_id, cosine) in enumerate(near):
            if count >= HOPELESS[0] and hope < HOPELESS[1]:
                break
            verdict = self._verifier.verify(asked, self._text(entry_id), self._evidence(entry_id, cosine, view))
            hope = max(hope, verdict.score)
            why = barred(entry_id) if verdict.same else verdict.why
            if why:
                refused.append(RefusedCandidate(entry_id, round(cosine, 4), round(verdict.score, 4), why))
            elif best is None or verdict.score > best.score:
                best = Hit(entry_id, False, round(cosine, 4), round(verdict.score, 4), verdict.why)
            if best is not None and best.score >= SURE:
                break
        if best is None:
            return Miss(tuple(refused), vector)
        return Hit(best.entry_id, False, best.similarity, best.score, best.why, tuple(refused))

    def _evidence(self, entry_id: str, cosine: float, view: Vector | None) -> Evidence:
        other = self._views.get(entry_id)
        if view is None or other is None:
            return Evidence(cosine)
        return Evidence(cosine, float(view @ other), len(view))

    def _alive(self, entry_id: str, now_ms: int) -> bool:
        expires_ms = self._entries[entry_id].expires_ms
        return expires_ms == 0 or now_ms < expires_ms

    def _embed(self, text: str) -> Vector:
        return self._embedder.embed(text[:TEXT_CHARS])

    def _keep(self, entry: Entry, vector: Vector) -> None:
        self._entries[entry.id] = entry
        # Reading costs half a millisecond: what is near nothing (a zero vector) is read only when it is a candidate.
        if vector.any():
            self._read[entry.id] = self._reader.read(entry.question)
        if self._witness is not None:
            self._views[entry.id] = self._witness.probabilities(vector).astype(np.float32)

    def _text(self, entry_id: str) -> Text:
        read = self._read.get(entry_id)
        if read is None:
            read = self._read[entry_id] = self._reader.read(self._entries[entry_id].question)
        return read

    def _forget(self, entry_ids: frozenset[str]) -> int:
        for entry_id in entry_ids:
            self.index.remove(entry_id)
            self._entries.pop(entry_id, None)
            self._views.pop(entry_id, None)
            self._read.pop(entry_id, None)
        return len(entry_ids)
