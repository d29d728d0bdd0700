"""The documents of all tenants: taken in, replaced, forgotten, and searched."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from services.retrieval.announcer import Announcer, Change, Silent
from services.retrieval.blocks import Unreadable
from services.retrieval.embedding import Embedding
from services.retrieval.milvus import Milvus
from services.retrieval.passages import REVISION, Draft, make_passages
from services.retrieval.reading import kind_of, read_document
from services.retrieval.relevance import MOST_PASSAGES, choose
from services.retrieval.store import Hit, Name, Row, Stored, embedded_text, name_problem
from services.retrieval.terms import lookup_query, named_sections
from trivium.core.errors import BadRequest, VendorFault
from trivium.core.outcome import Reason, ReasonCode
from trivium.core.prompt import estimate_tokens
from trivium.ports import Passage, Retrieved, Vector

_LOG = logging.getLogger(__name__)

CANDIDATES: Final = 12
"""Hits that are judged for a reply of three; more for a longer one."""
NAMED_CANDIDATES: Final = 200
"""Hits of a section that a question names: many documents may have a section of that number."""
MOST_NAMED: Final = 8
"""Sections that one question may name."""
FLUSH_EVERY: Final = 500
"""Passages written before they are sealed in the midst of an ingest."""
ANNOUNCED_AT_ONCE: Final = 100
MOST_PASSAGES_OF_A_DOCUMENT: Final = 8_000
"""1.2 million tokens. The store lists two versions of it in one query."""
LONGEST_QUERY: Final = 4_000
"""Characters of a question that are searched for: its end, where people ask."""


class State(Enum):
    """What became of a document that was sent."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a document that was sent, in words when it failed."""

    document: str
    state: State
    version: str = ""
    passages: int = 0
    message: str = ""


def clock_ms() -> int:
    """Epoch ms of this machine."""
    return time.time_ns() // 1_000_000


class Library:
    """Implements the port Retriever. Writes go one after the other, searches beside them."""

    def __init__(
        self, store: Milvus, embedding: Embedding, announcer: Announcer | None = None, now_ms: Callable[[], int] = clock_ms
    ) -> None:
        self._store = store
        self._embedding = embedding
        self._announcer = announcer or Silent()
        self._now_ms = now_ms
        self._writing = asyncio.Lock()
        self._unsealed = 0
        self._cold = False
        self._epochs: dict[tuple[str, str], int] = {}

    # --- search ------------------------------------------------------------------------------------------------

    async def retrieve(
        self, tenant: str, corpus: str, query: str, limit: int, budget_tokens: int, relevance_cut: float
    ) -> Retrieved:
        """Passages for a question, the most relevant first; none when nothing is relevant.

        Raises BadRequest for a corpus that has no documents, VendorFault when Milvus or the embedder does not answer."""
        _require_name(Name(tenant, corpus, "-"))
        asked = query[-LONGEST_QUERY:].strip()
        if not asked:
            raise BadRequest(Reason(ReasonCode.EMPTY_PROMPT, "the query is empty", "query"))
        vector = (await self._embedding.embed_many([asked]))[0]
        hits = await self._hits(tenant, corpus, asked, vector, _candidates(limit))
        if not hits:
            raise BadRequest(_unknown(tenant, corpus))
        choice = choose(asked, hits, limit, budget_tokens, relevance_cut)
        return Retrieved(
            passages=tuple(
                Passage(one.hit.document, one.hit.section, one.hit.version, one.hit.text, one.relevance, one.hit.tokens)
                for one in choice.taken
            ),
            left_out=choice.left_out,
            mode=self._store.mode.value,
            embedding_tokens=estimate_tokens(asked),
            corpus_epoch=max(self._epochs.get((tenant, corpus), 0), *(hit.epoch for hit in hits)),
        )

    # --- documents ---------------------------------------------------------------------------------------------

    async def ingest(self, name: Name, kind: str, content: bytes) -> Ingested:
        """Takes in one document, if it is not there already. A failure is told, never raised."""
        if problem := name_problem(name):
            return Ingested(name.document, State.FAILED, message=problem)
        version = version_of(kind, content)
        try:
            if (there := _same(await self._store.versions(name), version)) is not None:
                return Ingested(name.document, State.UNCHANGED, version, there.passages)
            drafts = await asyncio.to_thread(_drafts, kind, content)
            async with self._writing:
                return await self._replace(name, version, drafts)
        except Unreadable as error:
            return Ingested(name.document, State.FAILED, message=str(error))
        except VendorFault as error:
            return Ingested(name.document, State.FAILED, message=error.fault.message)

    async def forget(self, tenant: str, corpus: str, documents: Sequence[str], all_but: bool, prefix: str) -> tuple[str, ...]:
        """Forgets the named documents, or with `all_but` every other one whose name begins with `prefix`.

        Returns the names of those that were there. Raises VendorFault."""
        _require_name(Name(tenant, corpus, "-"))
        async with self._writing:
            there = {stored.name.document for stored in await self._store.documents(tenant, corpus)}
            named = set(documents)
            gone = {one for one in there - named if one.startswith(prefix)} if all_but else there & named
            for document in sorted(gone):
                await self._forget(Name(tenant, corpus, document))
            await self._seal()
        return tuple(sorted(gone))

    async def seal(self) -> None:
        """Ends an ingest: what was written is searched fast from now on. Raises VendorFault."""
        async with self._writing:
            await self._seal()
            cold, self._cold = self._cold, False
        if cold:
            await self._store.warm_up()

    async def announce_all(self) -> int:
        """Announces every document again, for a log that does not outlive the store. Returns how many."""
        latest: dict[Name, Stored] = {}
        for stored in await self._store.documents():
            if stored.whole and stored.epoch >= latest.get(stored.name, stored).epoch:
                latest[stored.name] = stored
        changes = [Change(one.name, one.version, one.total, one.epoch, self._embedding.fingerprint) for one in latest.values()]
        for change in changes:
            corpus = _corpus(change.name)
            self._epochs[corpus] = max(change.epoch, self._epochs.get(corpus, 0))
        for start in range(0, len(changes), ANNOUNCED_AT_ONCE):
            await asyncio.gather(*map(self._announcer.announce, changes[start : start + ANNOUNCED_AT_ONCE]))
        return len(latest)

    async def _hits(self, tenant: str, corpus: str, asked: str, vector: Vector, limit: int) -> tuple[Hit, ...]:
        """What comes into question: the nearest, and first of all those of a section that the question names."""
        nearest = self._store.search(tenant, corpus, vector, lookup_query(asked), limit)
        if not (numbers := [number.casefold() for number in named_sections(asked)[:MOST_NAMED]]):
            return await nearest
        of_sections = self._store.search_sections(tenant, corpus, vector, numbers, NAMED_CANDIDATES)
        named, others = await asyncio.gather(of_sections, nearest)
        seen = {(hit.document, hit.version, hit.ordinal) for hit in named}
        return (*named, *(hit for hit in others if (hit.document, hit.version, hit.ordinal) not in seen))

    # --- steps -------------------------------------------------------------------------------------------------

    async def _replace(self, name: Name, version: str, drafts: Sequence[Draft]) -> Ingested:
        there = await self._store.versions(name)
        if _same(there, version) is not None:
            return Ingested(name.document, State.UNCHANGED, version, len(drafts))
        vectors = await self._embedding.embed_many([embedded_text(draft.section, draft.text) for draft in drafts])
        epoch = self._next_epoch(name)
        new = await self._new(name, drafts, vectors) if there else tuple(vectors)
        await self._announcer.announce(Change(name, version, len(drafts), epoch, self._embedding.fingerprint, new))
        await self._store.put(_rows(name, version, epoch, drafts, vectors))
        if there:
            await self._store.remove(name, keep=version)
        await self._written(len(drafts))
        return Ingested(name.document, State.CHANGED if there else State.ADDED, version, len(drafts))

    async def _new(self, name: Name, drafts: Sequence[Draft], vectors: Vector) -> tuple[Vector, ...]:
        had = await self._store.texts(name)
        return tuple(vector for draft, vector in zip(drafts, vectors, strict=True) if (draft.section, draft.text) not in had)

    async def _forget(self, name: Name) -> None:
        await self._announcer.announce(Change(name, "", 0, self._next_epoch(name), self._embedding.fingerprint))
        await self._store.remove(name)
        self._unsealed += 1

    async def _written(self, passages: int) -> None:
        self._unsealed += passages
        if self._unsealed >= FLUSH_EVERY:
            await self._seal()

    async def _seal(self) -> None:
        if self._unsealed:
            await self._store.flush()
            self._unsealed, self._cold = 0, True

    def _next_epoch(self, name: Name) -> int:
        epoch = max(self._now_ms(), self._epochs.get(_corpus(name), 0) + 1)
        self._epochs[_corpus(name)] = epoch
        return epoch


def version_of(kind: str, content: bytes) -> str:
    """Name of a version: a prefix of the hash of the content, its kind, and the way that passages are cut."""
    head = f"{REVISION}\0{kind}\0".encode()
    return hashlib.sha256(head + content).hexdigest()[:12]


def _same(there: Sequence[Stored], version: str) -> Stored | None:
    """The stored version when it is this one, whole, and the only one."""
    return there[0] if len(there) == 1 and there[0].version == version and there[0].whole else None


def _drafts(kind: str, content: bytes) -> tuple[Draft, ...]:
    drafts = make_passages(read_document(kind_of(kind), content))
    if len(drafts) > MOST_PASSAGES_OF_A_DOCUMENT:
        raise Unreadable(f"the document has {len(drafts):,} passages; the limit is {MOST_PASSAGES_OF_A_DOCUMENT:,}: split it")
    return drafts


def _rows(name: Name, version: str, epoch: int, drafts: Sequence[Draft], vectors: Vector) -> list[Row]:
    return [
        Row(name, version, at, len(drafts), draft.section, draft.text, draft.lookup, draft.tokens, epoch, vectors[at])
        for at, draft in enumerate(drafts)
    ]


def _candidates(limit: int) -> int:
    return max(CANDIDATES, 4 * min(limit, MOST_PASSAGES))


def _corpus(name: Name) -> tuple[str, str]:
    return (name.tenant, name.corpus)


def _require_name(name: Name) -> None:
    if problem := name_problem(name):
        field = problem.split(" ", 1)[0]
        raise BadRequest(Reason(ReasonCode.MISSING_FIELD, problem, field))


def _unknown(tenant: str, corpus: str) -> Reason:
    message = f"the corpus {corpus!r} of tenant {tenant!r} has no documents"
    return Reason(ReasonCode.UNKNOWN_CORPUS, message, "corpus", "ingest some with `trivium ingest`, or name another corpus")
