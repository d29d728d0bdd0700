"""A cache entry as the view holds it, and what drops it by order."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trivium.codec import answer_from, identity_from
from trivium.core.outcome import Answer
from trivium.core.request import Identity
from trivium.v1 import outcome_pb2
from trivium.v1 import records_pb2 as pb

ORDERS_KEPT: Final = 10_000
ANSWERS_READ: Final = 512
"""What is asked again is asked often: the answers that served last stay read."""


@dataclass(slots=True)
class Held:
    """One entry. The answer stays as bytes until it serves. Instants are epoch ms."""

    id: str
    """Key of its record: scope/question."""
    scope: str
    question: str
    expires_ms: int
    tenant: str
    task_type: str
    tags: tuple[str, ...]
    corpus: str
    corpus_epoch: int
    """Of the last change of the corpus that the answer surely saw."""
    made_ms: int
    made_for: Identity
    answer: bytes
    not_found: bool
    sources: tuple[tuple[str, str], ...]
    """(document, version) of every passage that was in the prompt."""
    subject_mark: str
    """Of the person that the request was about; empty without one."""
    vector: NDArray[np.float16] | None
    """Of the question, kept where a new passage may make the answer stale; None when it is of another embedder."""
    checked: int = 0
    """How many news of the corpus have been compared with it already."""
    fallen: bool = False
    """One of them was near."""

    @property
    def documentary(self) -> bool:
        """Whether the answer stands or falls with documents."""
        return bool(self.corpus or self.sources)

    def read_answer(self) -> Answer:
        """The answer that is reused."""
        return _answer_of(self.answer)


@lru_cache(ANSWERS_READ)
def _answer_of(wire: bytes) -> Answer:
    return answer_from(outcome_pb2.Answer.FromString(wire))


def held(key: str, entry: pb.CacheEntry, vector: NDArray[np.float32] | None) -> Held:
    """An entry of the log as the view keeps it; `vector` when it is of the view's own embedder."""
    answer = entry.answer
    sources = tuple({(source.document, source.version) for source in answer.sources})
    keeps_vector = vector is not None and bool(entry.corpus)
    return Held(
        id=key, scope=entry.scope, question=entry.question, expires_ms=entry.expires_ms, tenant=entry.tenant,
        task_type=entry.task_type, tags=tuple(entry.tags), corpus=entry.corpus, corpus_epoch=entry.corpus_epoch,
        made_ms=entry.made_ms, made_for=identity_from(entry.made_for), answer=answer.SerializeToString(),
        not_found=answer.not_found, sources=sources, subject_mark=entry.subject_mark,
        vector=vector.astype(np.float16) if vector is not None and keeps_vector else None,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Order:
    """What is dropped: everything of the tenant that has all that is named."""

    tenant: str
    tag: str = ""
    task_type: str = ""
    document: str = ""
    corpus: str = ""
    scope: str = ""
    subject_mark: str = ""

    def names(self, entry: Held) -> bool:
        return (
            entry.tenant == self.tenant
            and (not self.tag or self.tag in entry.tags)
            and (not self.task_type or self.task_type == entry.task_type)
            and (not self.document or any(document == self.document for document, _ in entry.sources))
            and (not self.corpus or self.corpus == entry.corpus)
            and (not self.scope or self.scope == entry.scope)
            and (not self.subject_mark or self.subject_mark == entry.subject_mark)
        )


@dataclass(slots=True)
class Orders:
    """Drop orders in force. An order counts for entries that come after it too, when they were made before its time:
    partitions of a topic are read in no order, and an answer may have been under way."""

    _orders: dict[_Order, int] = field(default_factory=dict)
    _floor_ms: int = 0

    def take(self, drop: pb.CacheDrop) -> bool:
        """Notes an order; False when it was known (it comes once a partition)."""
        order = _Order(drop.tenant, drop.tag, drop.task_type, drop.document, drop.corpus, drop.scope, drop.subject_mark)
        if not drop.tenant or self._orders.get(order, 0) >= drop.before_ms:
            return False
        self._orders.pop(order, None)
        self._orders[order] = drop.before_ms
        if len(self._orders) > ORDERS_KEPT:
            self._floor_ms = max(self._floor_ms, self._orders.pop(next(iter(self._orders))))
        return True

    def drop(self, entry: Held) -> bool:
        """Whether an order names this entry. Whatever is older than a forgotten order is dropped too."""
        if entry.made_ms < self._floor_ms:
            return True
        return any(entry.made_ms < before and order.names(entry) for order, before in self._orders.items())
