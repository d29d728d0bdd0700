"""What a client asked and what it was answered, in a file: so that a restart neither asks twice nor shows an answer twice."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, Self

from trivium.codec import body_hash
from trivium.core.errors import BadRequest, TriviumError
from trivium.core.outcome import Reason, ReasonCode
from trivium.core.request import Identity
from trivium.v1 import request_pb2

KEPT_MS: Final = 7 * 24 * 3_600_000
"""As long as the reply topics."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS asked (
  tenant TEXT, id TEXT, replay INTEGER, body TEXT, request BLOB, asked_ms INTEGER, terminal BLOB, content_type TEXT,
  PRIMARY KEY (tenant, id, replay)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unanswered ON asked (asked_ms) WHERE terminal IS NULL;
"""


class BadMemory(TriviumError):
    """The file cannot be used."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A terminal as it came."""

    value: bytes
    content_type: str | None


class Memory:
    """One SQLite file, of one client at a time. It survives the end of the process at any moment; the machine's loses the last
    moments at most. `close` it."""

    def __init__(self, path: str) -> None:
        """Raises BadMemory."""
        try:
            self._file = sqlite3.connect(path, timeout=0.5, isolation_level=None)
            self._file.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.executescript(_SCHEMA)
            self._file.execute("DELETE FROM asked WHERE asked_ms < ?", (_now_ms() - KEPT_MS,))
        except sqlite3.Error as error:
            raise BadMemory(f"the memory {path} cannot be used: {error} (one file for each client)") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def ask(self, identity: Identity, message: request_pb2.Request) -> Kept | None:
        """Before a request is published: remember it. The terminal when it was answered before; BadRequest when the identity
        was used for another body."""
        body = body_hash(message)
        known = self._row("SELECT body, terminal, content_type FROM asked", identity)
        if known is None:
            row = (identity.tenant, identity.id, identity.replay, body, message.SerializeToString(), _now_ms())
            self._file.execute("INSERT INTO asked VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)", row)
            return None
        if known[0] != body:
            what = f"{identity} was asked before with another body"
            raise BadRequest(Reason(ReasonCode.ID_REUSED, what, "id", "a new id for a new request"), identity)
        return None if known[1] is None else Kept(*known[1:])

    def answered(self, identity: Identity, kept: Kept) -> None:
        """Before the first terminal of a request is shown."""
        order = "UPDATE asked SET terminal = ?, content_type = ? WHERE terminal IS NULL AND tenant = ? AND id = ? AND replay = ?"
        self._file.execute(order, (kept.value, kept.content_type, identity.tenant, identity.id, identity.replay))

    def has_answer(self, identity: Identity) -> bool:
        found = self._row("SELECT terminal IS NOT NULL FROM asked", identity)
        return found is not None and bool(found[0])

    def unanswered(self) -> Iterator[tuple[int, request_pb2.Request]]:
        """Epoch ms and request of everything that was asked and not answered, oldest first."""
        order = "SELECT asked_ms, request FROM asked WHERE terminal IS NULL ORDER BY asked_ms"
        for asked_ms, request in self._file.execute(order).fetchall():
            yield asked_ms, request_pb2.Request.FromString(request)

    def forget(self, identity: Identity) -> None:
        """It was never published, and will not be."""
        where = (identity.tenant, identity.id, identity.replay)
        self._file.execute("DELETE FROM asked WHERE tenant = ? AND id = ? AND replay = ?", where)

    def _row(self, order: str, identity: Identity) -> tuple[Any, ...] | None:
        where = (identity.tenant, identity.id, identity.replay)
        with closing(self._file.execute(f"{order} WHERE tenant = ? AND id = ? AND replay = ?", where)) as found:
            row: tuple[Any, ...] | None = found.fetchone()
        return row


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
