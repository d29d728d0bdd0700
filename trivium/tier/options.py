"""How a tier's worker reads the log."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from trivium.kafka.claim import GroupOptions
from trivium.kafka.frozen import nothing
from trivium.kafka.reader import ReaderOptions

_GRACE_MS: Final = 30_000
_ATTEMPT_CAP_MS: Final = 120_000


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Where the log is and how to read it. Times are ms."""

    bootstrap: str
    group: GroupOptions = field(default_factory=GroupOptions)
    reader: ReaderOptions = field(default_factory=ReaderOptions)
    horizon_ms: int = _ATTEMPT_CAP_MS + 10_000 + _GRACE_MS
    """How far back the attempts are read again: attempt cap + session timeout + grace."""
    drain_ms: int = 25_000
    look: Callable[[], None] = nothing
    """Asked before each start and call; leaves a process that was frozen (trivium/kafka/frozen.py)."""
