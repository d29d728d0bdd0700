"""What goes to Kafka and what comes back, free of any client library."""

from dataclasses import dataclass

from trivium.core.quick import quick


@quick
@dataclass(frozen=True, slots=True)
class Record:
    """One record to produce."""

    topic: str
    key: bytes | None
    value: bytes | None
    """None is a tombstone: it removes the key from a compacted topic, and needs a key."""
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    """None lets murmur2 of the key choose."""
    timestamp_ms: int | None = None
    """Epoch ms; None is now. A topic with LogAppendTime replaces it."""


@quick
@dataclass(frozen=True, slots=True)
class Delivered:
    """One record that was read."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """Epoch ms as the broker keeps it."""
    key: bytes | None
    value: bytes | None
    """None is a tombstone."""
    headers: tuple[tuple[str, bytes], ...] = ()
    unreadable: str = ""
    """Why this is no record but bytes that stand for one (or for a whole batch); see trivium/kafka/guard.py."""

    def header(self, name: str) -> bytes | None:
        """The last header of this name, or None."""
        for key, value in reversed(self.headers):
            if key == name:
                return value
        return None
