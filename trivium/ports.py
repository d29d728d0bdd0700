"""What the kernel asks of the world: small protocols, implemented by adapters and by fakes in tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

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
