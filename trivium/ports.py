"""What the kernel asks of the world: small protocols, implemented by adapters and by fakes in tests."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trivium.core.outcome import Outcome
from trivium.core.slip import CacheHit, CacheMiss, CacheScope, Work

Vector = NDArray[np.float32]

Emit = Callable[[str], None]
"""Takes the next piece of answer text as it comes. Never blocks."""


def emit_nothing(_delta: str) -> None:
    """For callers that want only the whole answer."""


class Generator(Protocol):
    """A tier's one function. Returns an outcome for every work; raises only CancelledError."""

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class VendorBatch:
    """A batch as its vendor tells of it. Instants are epoch ms of the vendor's clock."""

    id: str
    ended: bool
    created_ms: int
    requests: int


class BatchVendor(Protocol):
    """Takes many requests at once, for less money and an answer later. Raises the errors of trivium/core/errors.py: BatchRefused
    when nothing was taken, BatchUnsure when nobody knows, BatchGone when a batch is not there (any more)."""

    def parameters(self, work: Work) -> Mapping[str, Any]:
        """What one request is submitted as. Raises VendorFault when it cannot be."""

    async def submit(self, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> VendorBatch:
        """(name, parameters) of each; names are unique, at most 64 of [a-zA-Z0-9_-]."""

    async def find(self, name: str) -> VendorBatch: ...

    async def recent(self, since_ms: int) -> Sequence[VendorBatch]:
        """Every batch of this account that was made since then, by whomever."""

    def results(
        self, name: str, work_of: Callable[[str], Work | None], begun_ms: int
    ) -> AsyncIterator[tuple[str, Outcome | None]]:
        """Of a batch that has ended: the name of each request, and its outcome; None when `work_of` does not know the name."""

    async def cancel(self, name: str) -> None:
        """What has not been worked off is not; what has been is billed."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that knows its section. Score: fused rank score, comparable within one reply only."""

    document: str
    section: str
    version: str
    text: str
    score: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What a retriever found, best first, inside the token budget. Mode: hybrid | dense."""

    passages: tuple[Passage, ...]
    left_out: int = 0
    mode: str = "hybrid"
    embedding_tokens: int = 0
    corpus_epoch: int = 0


class Retriever(Protocol):
    """Finds passages for one tenant in one corpus; never another tenant's."""

    async def retrieve(
        self, tenant: str, corpus: str, query: str, limit: int, budget_tokens: int, relevance_cut: float
    ) -> Retrieved: ...


class Embedder(Protocol):
    """Text to unit vectors. A change of fingerprint re-indexes documents and empties the semantic cache."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    def embed(self, text: str) -> Vector: ...

    def embed_many(self, texts: Sequence[str]) -> Vector: ...


class AnswerCache(Protocol):
    """The materialised view of trivium.cache."""

    def lookup(self, scope: CacheScope, now_ms: int) -> CacheHit | CacheMiss: ...


class Clock(Protocol):
    """Epoch ms; the only source of now outside the broker's timestamps."""

    def now_ms(self) -> int: ...
