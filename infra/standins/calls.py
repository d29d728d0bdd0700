"""The log of calls: every call that arrived, how it was answered, and by which fault it was spoiled.

Tests compare it with the mesh's attempts, so a call is counted when it arrives, whatever becomes of it.
"""

import hashlib
import json
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

KEPT: Final = 10_000
DROPPED: Final = ("x-api-key", "x-stainless-")


@dataclass(slots=True)
class Entry:
    """One call. Times in ms."""

    n: int
    route: str
    model: str
    stream: bool
    prompt_sha: str
    """First 16 hex digits of the SHA-256 of the prompt."""
    headers: dict[str, str]
    """traceparent, idempotency-key and x-* of the caller, without keys."""
    at_ms: int
    status: int = 0
    """HTTP status; 0 while it runs, 499 when the caller went away or the connection was broken."""
    fault: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    took_ms: float = 0.0
    half_price: bool = False
    """It was a request of a message batch."""


@dataclass(slots=True)
class CallLog:
    """Counts all calls, keeps the last 10,000, and appends each as two JSON lines (start, end) to a file."""

    path: Path | None = None
    count: int = 0
    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=KEPT))
    _file: TextIO | None = None

    def start(self, route: str, model: str, stream: bool, prompt: str, headers: dict[str, str]) -> Entry:
        """Notes a call that has arrived."""
        self.count += 1
        sha = hashlib.sha256(prompt.encode("utf-8", "replace")).hexdigest()[:16]
        entry = Entry(self.count, route, model, stream, sha, headers, time.time_ns() // 1_000_000)
        self.entries.append(entry)
        self._write("start", entry)
        return entry

    def end(self, entry: Entry, status: int, took_ms: float) -> None:
        """Notes how it ended."""
        entry.status, entry.took_ms = status, round(took_ms, 3)
        self._write("end", entry)

    def clear(self) -> None:
        """Starts counting anew; the file stays."""
        self.count = 0
        self.entries.clear()

    def report(self, last: int) -> dict[str, Any]:
        """count, counts by status, fault and route (of the kept ones) and the last calls, oldest first."""
        kept = list(self.entries)
        return {
            "count": self.count,
            "by_status": Counter(str(entry.status) for entry in kept),
            "by_fault": Counter(entry.fault for entry in kept if entry.fault),
            "by_route": Counter(entry.route for entry in kept),
            "calls": [asdict(entry) for entry in (kept[-last:] if last > 0 else [])],
        }

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, event: str, entry: Entry) -> None:
        if self.path is None:
            return
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8", buffering=1)
        self._file.write(json.dumps({"event": event, **asdict(entry)}) + "\n")


def telling(headers: Any) -> dict[str, str]:
    """The headers by which a call can be found again."""
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in ("traceparent", "idempotency-key")
        or (name.lower().startswith("x-") and not name.lower().startswith(DROPPED))
    }
