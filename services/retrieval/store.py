"""What a store of passages holds and gives back, free of any vendor."""

import hashlib
import json
from dataclasses import dataclass
from enum import Enum
from typing import Final

from trivium.ports import Vector

MAX_NAME_BYTES: Final = 255
"""Tenant and corpus."""
MAX_DOCUMENT_NAME_BYTES: Final = 1_000


class Mode(Enum):
    """How passages are searched."""

    HYBRID = "hybrid"
    """Vectors and BM25, joined by reciprocal rank."""
    DENSE = "dense"
    """Vectors alone: the server is older than BM25."""
    BM25 = "bm25"
    """Words alone, to compare with."""


@dataclass(frozen=True, slots=True)
class Name:
    """A document of a corpus of a tenant."""

    tenant: str
    corpus: str
    document: str

    @property
    def key(self) -> str:
        """Key of the documents record."""
        return f"{self.tenant}/{self.corpus}/{self.document}"


@dataclass(frozen=True, slots=True)
class Row:
    """One passage as it is stored."""

    name: Name
    version: str
    ordinal: int
    """Its place in the document, from 0."""
    total: int
    """Passages of this version: fewer rows than that are half an ingest."""
    section: str
    text: str
    lookup: str
    """What BM25 sees."""
    tokens: int
    epoch: int
    """When this version came, epoch ms: of two versions the later one counts."""
    vector: Vector

    @property
    def id(self) -> str:
        """The same passage has the same id, so that writing it again changes nothing."""
        parts = json.dumps([self.name.tenant, self.name.corpus, self.name.document, self.version, self.ordinal])
        return hashlib.sha256(parts.encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage that was found, by descending fused score."""

    document: str
    section: str
    version: str
    ordinal: int
    text: str
    lookup: str
    tokens: int
    epoch: int
    score: float
    cosine: float


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a document that the store holds."""

    name: Name
    version: str
    passages: int
    """Rows that are there."""
    total: int
    """Rows that there should be."""
    epoch: int

    @property
    def whole(self) -> bool:
        return self.passages == self.total


def embedded_text(section: str, text: str) -> str:
    """What a passage's vector is made of; derivable from what is stored, so that a new embedder can do it again."""
    return f"{section}\n{text}" if section else text


def name_problem(name: Name) -> str:
    """What is wrong with a name, or ""."""
    for what, value, most in (
        ("tenant", name.tenant, MAX_NAME_BYTES),
        ("corpus", name.corpus, MAX_NAME_BYTES),
        ("document", name.document, MAX_DOCUMENT_NAME_BYTES),
    ):
        if not value:
            return f"{what} is empty"
        if len(value.encode()) > most:
            return f"{what} is longer than {most} bytes"
        if any(ord(sign) < 32 or ord(sign) == 127 for sign in value):
            return f"{what} contains a control character"
    return ""
