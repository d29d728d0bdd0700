"""The answer cache: what trivium.cache and trivium.documents say, materialised, and what of it may serve now.

    async with CacheView(CacheOptions(bootstrap), embedder, verifier, metrics=metrics) as view:
        found = view.lookup(scope, now_ms)      the port AnswerCache
        record = view.entry(end)                what a door writes when an answer may be kept

What an answer stands on is asked at look-up, so that a change of a document counts as soon as this view has read it:
every source at the version that counts; "not found" only while the corpus has not changed at all; nothing new in the
corpus as near to the question as NEAR_PASSAGE. Such hits wait until the documents have been read to their end, and
stop while that reading is more than STALE_MS behind. An entry of another embedder serves by its exact question only.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final, Self

import numpy as np
from google.protobuf.message import DecodeError

from trivium.cache.documents import Documents, unit
from trivium.cache.entries import Held, Orders, held
from trivium.cache.lookup import TEXT_CHARS, Hit, Lookup, Miss, Witness
from trivium.cache.lookup import RefusedCandidate as Near
from trivium.codec import cache_entry
from trivium.core.errors import BadRequest
from trivium.core.outcome import Answer, CacheNote, RefusedCandidate
from trivium.core.question import normalise
from trivium.core.same_answer import Verifier
from trivium.core.slip import CacheHit, CacheMiss, CacheScope, End
from trivium.kafka.reader import ReaderOptions, Tail
from trivium.kafka.record import Delivered
from trivium.kafka.topics import CACHE, DOCUMENTS
from trivium.ports import Embedder, Vector
from trivium.telemetry.metrics import CacheResult, Metrics
from trivium.v1 import records_pb2 as pb

_LOG = logging.getLogger(__name__)

NEAR_PASSAGE: Final = 0.28
"""Cosine of a question and a new passage from which on the passage may change the answer. Of the demo's 50 questions
about its documents 95 in 100 have their best passage above it, and 7 in 100 pairs of any question and passage."""
STALE_MS: Final = 2_000
"""How far the view of the documents may be behind, and how long a change may take to be searchable."""
LOST_MS: Final = 10_000
"""A view of the entries that is this far behind may have missed drop orders: nothing of it serves."""
NEAR_SHOWN: Final = 0.4
"""Cosine from which on a refused candidate is worth telling; below it any two questions of a scope meet."""
VIEW_WAIT_MS: Final = 100
_NEVER_MS: Final = 1 << 62
_NOTHING: Final = CacheMiss()


def clock_ms() -> int:
    """Epoch ms."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Where the log is, and how much of it is held. `semantic` false: equal questions only, and nothing is embedded."""

    bootstrap: str
    semantic: bool = True
    most_entries: int = 100_000
    reader: ReaderOptions = field(default_factory=lambda: ReaderOptions("trivium-cache", VIEW_WAIT_MS))


class CacheView:
    """One per process. One thread: records come and look-ups are asked in the same event loop."""

    def __init__(
        self,
        options: CacheOptions,
        embedder: Embedder,
        verifier: Verifier,
        witness: Witness | None = None,
        metrics: Metrics | None = None,
        clock: Callable[[], int] = clock_ms,
    ) -> None:
        self._options = options
        self._embedder = embedder
        self._lookup = Lookup(embedder, verifier, witness)
        self._metrics = metrics
        self._clock = clock
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._plain: dict[tuple[str, str], str] = {}
        self._expiring: list[tuple[int, str]] = []
        self._orders = Orders()
        self._documents = Documents()
        self._entries_tail = Tail(options.bootstrap, CACHE, self.take_entry, options=options.reader)
        self._documents_tail = Tail(options.bootstrap, DOCUMENTS, self.take_document, options=options.reader)
        self._unexpired_ms = 0

    # --- life ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._entries_tail.start()
        self._documents_tail.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._entries_tail.stop()
        await self._documents_tail.stop()

    async def wait_caught_up(self, timeout_ms: int) -> bool:
        """Wait until both topics were read to the end they had; False when that takes longer. Look-ups miss until then."""
        until = self._clock() + timeout_ms
        there = await self._entries_tail.wait_caught_up(timeout_ms)
        return there and await self._documents_tail.wait_caught_up(max(0, until - self._clock()))

    @property
    def entries(self) -> int:
        """How many entries are held."""
        return len(self._held)

    # --- the port --------------------------------------------------------------------------------------------------

    def lookup(self, scope: CacheScope, now_ms: int) -> CacheHit | CacheMiss:
        """The answer that serves the question in its scope, or what was near and why it does not."""
        clock_ms = self._clock()
        self._expire(clock_ms)
        if self._entries_tail.lag_ms(clock_ms) > LOST_MS:
            self._count("miss")
            return _NOTHING
        behind_ms = self._documents_tail.lag_ms(clock_ms)
        semantic = scope.semantic and self._options.semantic
        plain = self._find_plain(scope, now_ms, behind_ms)
        if isinstance(plain, Hit):
            found: Hit | Miss = plain
        elif semantic or len(self._lookup):
            found = self._lookup.find(
                scope.hash, scope.question, now_ms, semantic, lambda key: self._barred(self._held[key], behind_ms)
            )
        else:
            found = Miss()
        near = (*plain, *found.refused) if isinstance(plain, tuple) else found.refused
        refused = tuple(self._refused(one) for one in near if one.similarity >= NEAR_SHOWN)
        if isinstance(found, Hit) and (answer := self._answer(found.entry_id)) is not None:
            entry = self._held[found.entry_id]
            kind: CacheResult = "exact" if found.exact else "semantic"
            note = CacheNote(kind, found.similarity, found.score, entry.made_for, entry.question, entry.made_ms)
            self._count(kind)
            return CacheHit(answer, note, refused)
        self._count("refused" if refused else "miss")
        return CacheMiss(refused) if refused else _NOTHING

    def _answer(self, key: str) -> Answer | None:
        """None, and the entry is forgotten, when its answer cannot be read: it must not fail whoever asks."""
        try:
            return self._held[key].read_answer()
        except (BadRequest, ValueError) as error:
            _LOG.warning("cache entry %s cannot be read: %s", key, error)
            self._forget(key)
            return None

    def _find_plain(self, scope: CacheScope, now_ms: int, behind_ms: int) -> Hit | tuple[Near, ...]:
        """Among the entries that serve by their exact question only."""
        key = self._plain.get((scope.hash, normalise(scope.question))) if self._plain else None
        if key is None or 0 < self._held[key].expires_ms <= now_ms:
            return ()
        why = self._barred(self._held[key], behind_ms)
        return (Near(key, 1.0, 1.0, why),) if why else Hit(key, True, 1.0, 1.0, "the same question")

    def entry(self, end: End) -> pb.CacheEntry | None:
        """The record for an answered end, None when it is not to be kept.

        Its corpus epoch is that of the last change that the answer surely saw: STALE_MS before the request came."""
        scope, answer = end.write, end.terminal.answer
        if scope is None or answer is None or (answer.sources and not scope.corpus):
            return None
        tenant, saw_ms = end.terminal.identity.tenant, end.terminal.arrived_ms - STALE_MS
        epoch = self._documents.epoch(tenant, scope.corpus, saw_ms) if scope.corpus else 0
        if not (scope.semantic and self._options.semantic) or len(scope.question) > TEXT_CHARS:
            return cache_entry(end, np.zeros(0, dtype=np.float32), "", epoch)
        return cache_entry(end, self._embedder.embed(scope.question), self._embedder.fingerprint, epoch)

    def epoch(self, tenant: str, corpus: str) -> int:
        """Of the last change of a corpus, epoch ms; 0 when there was none."""
        return self._documents.epoch(tenant, corpus)

    # --- the topics ------------------------------------------------------------------------------------------------

    def take_entry(self, record: Delivered) -> None:
        """A record of trivium.cache: an entry, a drop order, or (empty) an entry's end."""
        key = (record.key or b"").decode("utf-8", "replace")
        if not record.value:
            self._forget(key)
        else:
            try:
                entry = pb.CacheEntry.FromString(record.value)
            except DecodeError:
                _LOG.warning("%s-%d offset %d is no cache entry", record.topic, record.partition, record.offset)
                return
            if entry.HasField("drop"):
                self._drop(entry.drop)
            else:
                self._put(key, entry)
        self._gauge()

    def take_document(self, record: Delivered) -> None:
        """A record of trivium.documents. Compaction's empty records say nothing: a forgotten document is a record."""
        if not record.value:
            return
        try:
            self._documents.take(pb.DocumentRecord.FromString(record.value))
        except (DecodeError, ValueError) as error:
            _LOG.warning("%s-%d offset %d: %s", record.topic, record.partition, record.offset, error)

    def _put(self, key: str, entry: pb.CacheEntry) -> None:
        self._forget(key)
        vector = self._vector(entry)
        one = held(key, entry, vector)
        if self._orders.drop(one) or (one.expires_ms and one.expires_ms <= self._clock()):
            return
        self._held[key] = one
        if vector is not None and self._options.semantic:
            self._lookup.put(one, vector)
        else:
            self._plain[one.scope, normalise(one.question)] = key
            heappush(self._expiring, (one.expires_ms or _NEVER_MS, key))
            if len(self._expiring) > 2 * len(self._held) + 1_000:
                self._expiring = [(self._held[key].expires_ms or _NEVER_MS, key) for key in self._plain.values()]
                heapify(self._expiring)
        while len(self._held) > self._options.most_entries:
            self._forget(next(iter(self._held)))

    def _vector(self, entry: pb.CacheEntry) -> Vector | None:
        if entry.fingerprint != self._embedder.fingerprint or len(entry.embedding) != 4 * self._embedder.dimensions:
            return None
        vector = np.frombuffer(entry.embedding, dtype="<f4")
        return vector if unit(vector) else None

    def _drop(self, drop: pb.CacheDrop) -> None:
        if self._orders.take(drop):
            for key in [key for key, one in self._held.items() if self._orders.drop(one)]:
                self._forget(key)

    def _forget(self, key: str) -> None:
        one = self._held.pop(key, None)
        if one is None or self._lookup.remove(key):
            return
        plain = (one.scope, normalise(one.question))
        if self._plain.get(plain) == key:
            del self._plain[plain]

    def _expire(self, now_ms: int) -> None:
        if now_ms - self._unexpired_ms < 1000:
            return
        self._unexpired_ms = now_ms
        for key in self._lookup.index.expire(now_ms):
            self._lookup.remove(key)
            self._held.pop(key, None)
        while self._expiring and self._expiring[0][0] <= now_ms:
            key = heappop(self._expiring)[1]
            if key in self._held and 0 < self._held[key].expires_ms <= now_ms:
                self._forget(key)
        self._gauge()

    # --- the rules -------------------------------------------------------------------------------------------------

    def _barred(self, entry: Held, behind_ms: int) -> str:
        """Why this entry may not serve now, in words; empty when it may."""
        if not entry.documentary:
            return ""
        if behind_ms > STALE_MS:
            return "its documents may have changed: they are not read to their end"
        if not entry.corpus:
            return "it stands on documents of no known corpus"
        corpus = self._documents.corpus(entry.tenant, entry.corpus)
        for document, version in entry.sources:
            counts = "" if corpus is None else corpus.version(document)
            if not counts or counts != version:
                return f"{document} has changed since" if counts else f"{document} is not known any more"
        if corpus is None or entry.corpus_epoch == corpus.epoch:
            return ""
        if entry.not_found:
            return f"nothing was found then, and {entry.corpus} has changed since"
        if not entry.fallen and entry.checked < corpus.seen:
            vector = None if entry.vector is None else entry.vector.astype(np.float32)
            fingerprint = self._embedder.fingerprint
            entry.fallen = corpus.near(vector, fingerprint, entry.corpus_epoch, entry.checked, NEAR_PASSAGE)
            entry.checked = corpus.seen
        return f"a new passage in {entry.corpus} is near" if entry.fallen else ""

    def _refused(self, near: Near) -> RefusedCandidate:
        return RefusedCandidate(self._held[near.entry_id].question, near.similarity, near.score, near.why)

    def _count(self, result: CacheResult) -> None:
        if self._metrics is not None:
            self._metrics.cache(result)

    def _gauge(self) -> None:
        if self._metrics is not None:
            self._metrics.cache_entries(len(self._held))
