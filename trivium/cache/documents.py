"""What trivium.documents says: which version of a document counts, when a corpus last changed, and what was new in it."""

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from trivium.ports import Vector
from trivium.v1 import records_pb2 as pb

PASSAGES_KEPT: Final = 20_000
"""New passages of a corpus, the latest (1 KiB each). What is older than those that were let go can no longer be compared."""
EPOCHS_KEPT: Final = 10_000
FORGOTTEN: Final = "forgotten"
_NO_ROWS: Final = np.zeros((0, 0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _News:
    """New passages of one change: unit rows of the embedder `fingerprint`."""

    epoch: int
    fingerprint: str
    rows: Vector


@dataclass(slots=True)
class Corpus:
    """One corpus of one tenant. Epochs are epoch ms of changes."""

    versions: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Document -> (epoch, version); the version is empty when the document is forgotten."""
    epochs: list[int] = field(default_factory=list)
    news: deque[_News] = field(default_factory=deque)
    dropped: int = 0
    """How many of `news` were let go; they were numbered 0, 1, 2, ..."""
    blind_before: int = 0
    """Epoch of the newest of those: entries older than it cannot be compared with all that is new."""
    passages: int = 0

    @property
    def epoch(self) -> int:
        """Of the last change; 0 when there was none."""
        return self.epochs[-1] if self.epochs else 0

    def epoch_at(self, at_ms: int) -> int:
        """Of the last change until `at_ms`; 0 when there was none."""
        position = bisect_right(self.epochs, at_ms)
        return self.epochs[position - 1] if position else 0

    def version(self, document: str) -> str:
        """The version that counts; empty when the document is forgotten or nobody knows it."""
        return self.versions.get(document, (0, ""))[1]

    @property
    def seen(self) -> int:
        """Number of the next news: what `near` may skip when asked again."""
        return self.dropped + len(self.news)

    def near(self, vector: Vector | None, fingerprint: str, since: int, skip: int, bar: float) -> bool:
        """Whether something new since the epoch `since` is as near to the vector as `bar`, the first `skip` news left out.

        What cannot be compared (another embedder, no vector, let go) counts as near."""
        if since < self.blind_before and skip < self.dropped:
            return True
        for position in range(max(0, skip - self.dropped), len(self.news)):
            news = self.news[position]
            if news.epoch > since and (
                vector is None or news.fingerprint != fingerprint or news.rows.shape[1] != vector.size
                or float((news.rows @ vector).max()) >= bar
            ):
                return True
        return False

    def take(self, record: pb.DocumentRecord) -> bool:
        """A change of a document; False when it was known already (documents are announced again at starts)."""
        known = self.versions.get(record.document, (0, ""))[0]
        if record.epoch <= known:
            return False
        self.versions[record.document] = (record.epoch, "" if record.state == FORGOTTEN else record.version)
        insort(self.epochs, record.epoch)
        del self.epochs[:-EPOCHS_KEPT]
        if record.new_passages:
            self._add(record)
        return True

    def _add(self, record: pb.DocumentRecord) -> None:
        rows, fingerprint = _rows(record.new_passages), record.fingerprint
        # What makes no sense is something new that cannot be compared.
        self.news.append(_News(record.epoch, fingerprint if rows is not None else "", _NO_ROWS if rows is None else rows))
        rows = self.news[-1].rows
        self.passages += len(rows)
        while self.passages > PASSAGES_KEPT and len(self.news) > 1:
            gone = self.news.popleft()
            self.dropped += 1
            self.passages -= len(gone.rows)
            self.blind_before = max(self.blind_before, gone.epoch)


def unit(vector: Vector) -> bool:
    """Whether these numbers are an embedding: finite, of length 1 (or about, as half floats are). Others spoil every comparison."""
    return bool(np.isfinite(vector).all() and np.abs(vector).max(initial=0) < 1.1 and abs(float(vector @ vector) - 1) < 0.1)


def _rows(passages: Sequence[bytes]) -> Vector | None:
    length = len(passages[0])
    if not length or length % 4 or any(len(passage) != length for passage in passages):
        return None
    rows = np.frombuffer(b"".join(passages), dtype="<f4").reshape(len(passages), -1)
    return rows if all(unit(row) or not row.any() for row in rows) else None


class Documents:
    """Every corpus of every tenant, as the log says."""

    def __init__(self) -> None:
        self._corpora: dict[tuple[str, str], Corpus] = {}

    def corpus(self, tenant: str, corpus: str) -> Corpus | None:
        """None when nothing was ever said of it."""
        return self._corpora.get((tenant, corpus))

    def epoch(self, tenant: str, corpus: str, at_ms: int | None = None) -> int:
        """Of the corpus' last change (until `at_ms`); 0 when there was none."""
        known = self.corpus(tenant, corpus)
        if known is None:
            return 0
        return known.epoch if at_ms is None else known.epoch_at(at_ms)

    def take(self, record: pb.DocumentRecord) -> bool:
        """A record of trivium.documents; False when it says nothing new."""
        return self._corpora.setdefault((record.tenant, record.corpus), Corpus()).take(record)
