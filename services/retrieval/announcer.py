"""Says in the log which version of a document counts, before the store has it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from aiokafka.errors import KafkaError

from services.retrieval.store import Name
from trivium.core.errors import VendorFault
from trivium.core.outcome import Fault, FaultKind
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.kafka.topics import DOCUMENTS, HEADER_SCHEMA
from trivium.ports import Vector
from trivium.v1 import records_pb2 as pb

MAX_VECTOR_BYTES: Final = 524_288
"""Of all vectors in a record. Beyond it neighbours in the document are merged into their mean."""
PUBLISH_MS: Final = 10_000
PRESENT: Final = "present"
FORGOTTEN: Final = "forgotten"


@dataclass(frozen=True, slots=True)
class Change:
    """A version of a document that counts from now on, or (version empty) its end."""

    name: Name
    version: str
    passages: int
    epoch: int
    fingerprint: str
    new_passages: tuple[Vector, ...] = ()
    """Of passages that the version before did not have."""


class Announcer(Protocol):
    """Where changes of documents are made known. Raises VendorFault when they were not taken."""

    async def announce(self, change: Change) -> None: ...


class Silent:
    """Tells nobody: for tests, and for a service that serves no mesh."""

    async def announce(self, change: Change) -> None:
        return None


class LogAnnouncer:
    """Writes documents records; confirmed by the broker before it returns."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    async def announce(self, change: Change) -> None:
        record = Record(
            topic=DOCUMENTS,
            key=change.name.key.encode(),
            value=document_record(change).SerializeToString(),
            headers=((HEADER_SCHEMA, b"trivium.v1.DocumentRecord"),),
        )
        try:
            await self._producer.publish(record, PUBLISH_MS)
        except KafkaError as error:
            message = f"the log did not take the change of {change.name.document}, so nothing was changed: {error}"
            raise VendorFault(Fault(FaultKind.UNAVAILABLE, message)) from error


def document_record(change: Change) -> pb.DocumentRecord:
    """The change on the wire."""
    return pb.DocumentRecord(
        tenant=change.name.tenant,
        corpus=change.name.corpus,
        document=change.name.document,
        version=change.version,
        state=PRESENT if change.version else FORGOTTEN,
        passages=change.passages,
        epoch=change.epoch,
        at_ms=change.epoch,
        new_passages=[vector.astype("<f4").tobytes() for vector in merged(change.new_passages)],
        fingerprint=change.fingerprint,
    )


def merged(vectors: Sequence[Vector]) -> list[Vector]:
    """The vectors, or as many unit means of neighbours as a record may carry."""
    if not vectors:
        return []
    most = max(1, MAX_VECTOR_BYTES // (4 * len(vectors[0])))
    if len(vectors) <= most:
        return list(vectors)
    means = [part.mean(axis=0) for part in np.array_split(np.stack(vectors), most)]
    return [(mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32) for mean in means]
