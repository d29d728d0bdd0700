"""What a worker remembers of attempts: a fold of the tail of trivium.attempts.<tier>.

Settled: the outcome is in the log, the work must not be called again. Started and not settled: it may have been paid.
Both are kept for a horizon, the longest an attempt can live; bounded in number too.
"""

from collections.abc import Hashable, Iterable

from google.protobuf.message import DecodeError

from trivium.kafka.record import Delivered
from trivium.tier.records import KAFKA, SETTLED, STARTED
from trivium.v1 import records_pb2

AttemptKey = tuple[str, int, int]
"""Identity key, replay, attempt."""

_MOST = 100_000


class AttemptMemory:
    """Two generations, so that what is old is dropped in one go."""

    def __init__(self, horizon_ms: int) -> None:
        self._horizon_ms = horizon_ms
        self._born_ms = 0
        # 64-bit hashes instead of keys: a tenth of the memory.
        self._settled: set[int] = set()
        self._settled_before: set[int] = set()
        self._starts: dict[AttemptKey, int] = {}

    def fold(self, records: Iterable[Delivered], now_ms: int) -> None:
        """Take in records of the attempts topic, in the order of their partition."""
        for record in records:
            try:
                message = records_pb2.AttemptRecord.FromString(record.value or b"")
            except DecodeError:
                continue
            if message.door != KAFKA:
                continue
            who = message.identity
            key = (f"{who.tenant}/{who.id}", who.replay, message.attempt)
            if message.state == STARTED:
                self._starts[key] = max(message.execution, self._starts.get(key, 0))
            elif message.state == SETTLED:
                self.settle(key, now_ms)

    def is_settled(self, key: AttemptKey) -> bool:
        """The outcome of this attempt is in the log."""
        mark = _mark(key)
        return mark in self._settled or mark in self._settled_before

    def starts(self, key: AttemptKey) -> int:
        """How often it was started without being settled."""
        return self._starts.get(key, 0)

    def start(self, key: AttemptKey, execution: int) -> None:
        """It is about to be called by us."""
        self._starts[key] = execution

    def settle(self, key: AttemptKey, now_ms: int) -> None:
        """Its outcome is in the log."""
        if now_ms - self._born_ms > self._horizon_ms or len(self._settled) >= _MOST:
            self._settled_before, self._settled = self._settled, set()
            self._born_ms = now_ms
        self._settled.add(_mark(key))
        self._starts.pop(key, None)


def _mark(key: Hashable) -> int:
    return hash(key)
