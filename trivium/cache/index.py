"""Which entries might answer a question: an exact map and vectors by scope, all in process.

A small scope is scanned flat, exactly. A large one is found through an HNSW graph over 8-bit vectors (usearch: it
removes, and at 100,000 entries it takes half the time of 32-bit ones) of the leading dimensions, if the embedder says
that they stand for all; its candidates are then ranked by their whole vectors, so that similarities are exact. A scope grows from one to the other a few rows at a time: no
single add waits long. Nothing is shared between scopes.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trivium.core.question import normalise
from trivium.ports import Vector

FLAT_ROWS: Final = 2_048
"""Largest scope that is only scanned: 2,048 rows of 256 take about 0.1 ms, as long as the graph takes at any size."""
MOVED_PER_ADD: Final = 8
"""Rows moved into the graph by one add (about 0.1 ms each), until it has all of them."""
CONNECTIVITY: Final = 28
EXPANSION_ADD: Final = 320
EXPANSION_SEARCH: Final = 96
"""At 100,000 crowded texts and 64 leading dimensions of 256 recall of the nearest is 0.987. A graph built with 160 and 128
dimensions must be searched with 160 for 0.986, which takes nearly twice the time; this one takes longer to build."""
FEWEST_CANDIDATES: Final = 32
"""Taken from the graph even when fewer are asked for: the order of shortened 8-bit vectors is not quite the true one."""


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What the index must know of an entry. Labels are words such as "tag:prices", "task:draft", "document:faq.md"."""

    entry_id: str
    scope: str
    question: str
    vector: Vector
    labels: frozenset[str] = frozenset()
    expires_ms: int = 0
    """Epoch ms; 0 for never."""


@dataclass(slots=True)
class _Known:
    scope: str
    key: str
    labels: frozenset[str]
    expires_ms: int


class CacheIndex:
    """Entries by scope. One thread; every method returns at once, `add` within a millisecond or two."""

    def __init__(self, dimensions: int, leading: int | None = None) -> None:
        """`leading`: how many first dimensions find the neighbours nearly as well as all (all, when not given)."""
        self._dimensions = dimensions
        self._leading = min(dimensions, leading or dimensions)
        self._known: dict[str, _Known] = {}
        self._exact: dict[tuple[str, str], str] = {}
        self._scopes: dict[str, _Scope] = {}
        self._labelled: dict[str, set[str]] = {}
        self._expiring: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, entry_id: str) -> bool:
        return entry_id in self._known

    @property
    def scopes(self) -> int:
        """How many scopes hold entries."""
        return len(self._scopes)

    def add(
        self,
        entry_id: str,
        scope: str,
        text: str,
        vector: Vector,
        labels: frozenset[str] = frozenset(),
        expires_ms: int = 0,
    ) -> None:
        """Adds an entry or replaces the one of this id. `vector` has unit length, float32[dimensions]."""
        self.add_many([NewEntry(entry_id, scope, text, vector, labels, expires_ms)])

    def add_many(self, entries: Sequence[NewEntry]) -> None:
        """Adds or replaces many, faster than one by one: for the materialisation at start."""
        latest = {entry.entry_id: entry for entry in entries}
        for entry in latest.values():
            if entry.vector.shape != (self._dimensions,):
                raise ValueError(
                    f"entry {entry.entry_id}: vector of shape {entry.vector.shape}, not ({self._dimensions},)"
                )
        by_scope: dict[str, list[NewEntry]] = {}
        for entry in latest.values():
            self.remove(entry.entry_id)
            self._note(entry)
            by_scope.setdefault(entry.scope, []).append(entry)
        for scope, batch in by_scope.items():
            rows = self._scopes.setdefault(scope, _Scope(self._dimensions, self._leading))
            rows.add([entry.entry_id for entry in batch], np.stack([entry.vector for entry in batch]))

    def remove(self, entry_id: str) -> bool:
        """Forgets one entry; False when it was not there."""
        known = self._known.pop(entry_id, None)
        if known is None:
            return False
        if self._exact.get((known.scope, known.key)) == entry_id:
            del self._exact[known.scope, known.key]
        for label in known.labels:
            owners = self._labelled[label]
            owners.discard(entry_id)
            if not owners:
                del self._labelled[label]
        rows = self._scopes[known.scope]
        rows.remove(entry_id)
        if not len(rows):
            del self._scopes[known.scope]
        return True

    def labelled(self, label: str) -> frozenset[str]:
        """Ids of the entries that carry a label."""
        return frozenset(self._labelled.get(label, ()))

    def remove_labelled(self, label: str) -> frozenset[str]:
        """Forgets every entry that carries a label; returns their ids."""
        return self._remove_all(self.labelled(label))

    def remove_scope(self, scope: str) -> frozenset[str]:
        """Forgets a whole scope; returns the ids that it held."""
        rows = self._scopes.get(scope)
        return self._remove_all(rows.ids() if rows is not None else frozenset())

    def expire(self, now_ms: int) -> frozenset[str]:
        """Forgets what has expired by now; returns the ids."""
        gone: set[str] = set()
        while self._expiring and self._expiring[0][0] <= now_ms:
            expires_ms, entry_id = heapq.heappop(self._expiring)
            known = self._known.get(entry_id)
            if known is not None and known.expires_ms == expires_ms:
                gone.add(entry_id)
        return self._remove_all(frozenset(gone))

    def clear(self) -> None:
        """Forgets everything, as when the embedder has changed."""
        self._known.clear()
        self._exact.clear()
        self._scopes.clear()
        self._labelled.clear()
        self._expiring.clear()

    def exact(self, scope: str, text: str) -> str | None:
        """Id of the latest entry whose normalised question is this one's."""
        return self.exact_key(scope, normalise(text))

    def exact_key(self, scope: str, key: str) -> str | None:
        """The same for a question that is normalised already."""
        return self._exact.get((scope, key))

    def nearest(self, scope: str, vector: Vector, k: int) -> list[tuple[str, float]]:
        """Up to k (entry id, cosine), nearest first; of this scope only."""
        rows = self._scopes.get(scope)
        return rows.nearest(vector, k) if rows is not None and k > 0 else []

    def nearby(self, scope: str, vector: Vector, cosine: float) -> list[str]:
        """Ids of the entries at least this similar, for what a new passage may have made stale."""
        rows = self._scopes.get(scope)
        return rows.nearby(vector, cosine) if rows is not None else []

    def bytes_used(self) -> int:
        """Bytes of vectors and graphs, without Python's own."""
        return sum(rows.bytes_used() for rows in self._scopes.values())

    def _note(self, entry: NewEntry) -> None:
        key = normalise(entry.question)
        self._known[entry.entry_id] = _Known(entry.scope, key, entry.labels, entry.expires_ms)
        self._exact[entry.scope, key] = entry.entry_id
        for label in entry.labels:
            self._labelled.setdefault(label, set()).add(entry.entry_id)
        if entry.expires_ms:
            heapq.heappush(self._expiring, (entry.expires_ms, entry.entry_id))
            if len(self._expiring) > 2 * len(self._known) + 1_000:
                # Entries that were replaced or removed long before their time.
                self._expiring = [(known.expires_ms, name) for name, known in self._known.items() if known.expires_ms]
                heapq.heapify(self._expiring)

    def _remove_all(self, entry_ids: Iterable[str]) -> frozenset[str]:
        return frozenset(entry_id for entry_id in tuple(entry_ids) if self.remove(entry_id))


@dataclass(slots=True)
class _Scope:
    """Rows of one scope. `ids_of[row]` is None for a free row; freed rows are used again."""

    dimensions: int
    leading: int
    vectors: NDArray[np.float32] = field(init=False)
    ids_of: list[str | None] = field(default_factory=list)
    row_of: dict[str, int] = field(default_factory=dict)
    free: list[int] = field(default_factory=list)
    graph: Any = None
    moved: set[int] = field(default_factory=set)
    unmoved: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.vectors = np.zeros((8, self.dimensions), dtype=np.float32)

    def __len__(self) -> int:
        return len(self.row_of)

    def ids(self) -> frozenset[str]:
        return frozenset(self.row_of)

    def add(self, entry_ids: Sequence[str], vectors: Vector) -> None:
        rows = [self._row(entry_id) for entry_id in entry_ids]
        self.vectors[rows] = vectors
        if len(self.row_of) > FLAT_ROWS and self.graph is None:
            self.graph = _graph(self.leading)
            self.unmoved = [row for row in range(len(self.ids_of)) if self.ids_of[row] is not None]
        elif self.graph is not None:
            self.unmoved.extend(rows)
        if self.graph is not None:
            self._move(max(MOVED_PER_ADD, MOVED_PER_ADD * len(entry_ids)))

    def remove(self, entry_id: str) -> None:
        row = self.row_of.pop(entry_id)
        self.ids_of[row] = None
        self.vectors[row] = 0.0
        self.free.append(row)
        if row in self.moved:
            self.graph.remove(row)
            self.moved.discard(row)

    def nearest(self, vector: Vector, k: int) -> list[tuple[str, float]]:
        if self.graph is not None and not self.unmoved:
            found = self.graph.search(vector[: self.leading], max(k, FEWEST_CANDIDATES), threads=1).keys
            rows = found.astype(np.intp)
            cosines = self.vectors.take(rows, axis=0) @ vector
            order = (-cosines).argsort()[:k]
            near = zip(rows[order].tolist(), cosines[order].tolist(), strict=True)
            return [(entry, cosine) for row, cosine in near if (entry := self.ids_of[row]) is not None]
        cosines = self.vectors[: len(self.ids_of)] @ vector
        if self.free:
            cosines[self.free] = -2.0
        top = np.argpartition(-cosines, k - 1)[:k] if k < len(cosines) else np.arange(len(cosines))
        top = top[np.argsort(-cosines[top])]
        return [(entry, float(cosines[row])) for row in top if (entry := self.ids_of[row]) is not None]

    def nearby(self, vector: Vector, cosine: float) -> list[str]:
        rows = np.nonzero(self.vectors[: len(self.ids_of)] @ vector >= cosine)[0]
        return [entry for row in rows if (entry := self.ids_of[row]) is not None]

    def bytes_used(self) -> int:
        return self.vectors.nbytes + (int(self.graph.memory_usage) if self.graph is not None else 0)

    def _row(self, entry_id: str) -> int:
        if self.free:
            row = self.free.pop()
        else:
            row = len(self.ids_of)
            self.ids_of.append(None)
            if row >= len(self.vectors):
                grown = np.zeros(
                    (len(self.vectors) + max(64, len(self.vectors) // 2), self.dimensions), dtype=np.float32
                )
                grown[:row] = self.vectors
                self.vectors = grown
        self.ids_of[row] = entry_id
        self.row_of[entry_id] = row
        return row

    def _move(self, count: int) -> None:
        batch = {row for row in self.unmoved[:count] if self.ids_of[row] is not None and row not in self.moved}
        del self.unmoved[:count]
        if batch:
            rows = np.fromiter(batch, dtype=np.uint64)
            self.graph.add(rows, self.vectors[rows.astype(np.intp), : self.leading])
            self.moved |= batch


def _graph(dimensions: int) -> Any:
    from usearch.index import Index

    return Index(ndim=dimensions, metric="ip", dtype="i8", connectivity=CONNECTIVITY, expansion_add=EXPANSION_ADD,
                 expansion_search=EXPANSION_SEARCH)  # fmt: skip
