"""What the gateway writes down about requests that it answered itself: ledger records and cache entries."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from trivium.codec import ledger_record
from trivium.core.slip import End
from trivium.kafka.outbox import Outbox
from trivium.kafka.record import Record
from trivium.kafka.topics import CACHE, HEADER_CONTENT_TYPE, HEADER_SCHEMA, LEDGER
from trivium.v1 import outcome_pb2, records_pb2

_LOG = logging.getLogger(__name__)

_PROTOBUF: Final = (HEADER_CONTENT_TYPE, b"application/protobuf")
_LEDGER: Final = (_PROTOBUF, (HEADER_SCHEMA, b"trivium.v1.LedgerRecord"))
_ENTRY: Final = (_PROTOBUF, (HEADER_SCHEMA, b"trivium.v1.CacheEntry"))
_PAUSE_S: Final = 0.05
_MOST: Final = 100_000

MakeEntry = Callable[[End], records_pb2.CacheEntry | None]
"""The cache entry of an end, or None when there is nothing to write."""


def no_entry(_end: End) -> records_pb2.CacheEntry | None:
    """For a gateway without a cache."""
    return None


def drop(record: Record, error: BaseException) -> Sequence[Record]:
    """A record that no broker takes (too large): said, not retried."""
    _LOG.error("a record for %s cannot be written and is dropped: %s", record.topic, error)
    return ()


class Book:
    """Takes ends and writes them to the log in batches, while the answers are on their way already."""

    def __init__(self, outbox: Outbox, make_entry: MakeEntry = no_entry) -> None:
        self._outbox = outbox
        self._make_entry = make_entry
        self._records: list[Record] = []
        self._cached: list[End] = []
        self._unwritten = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """The broker is so far behind that no more may be spent without a record."""
        return self._unwritten >= _MOST

    def write(self, end: End, terminal: outcome_pb2.Terminal) -> None:
        """Keep for the next batch; never waits. `terminal`: that of `end` as a message.

        Bytes are kept, not values: a batch of those would hold a megabyte, and every new request would be put together
        in memory that no cache of the processor has."""
        key = end.terminal.identity.tenant.encode()
        self._records.append(Record(LEDGER, key, ledger_record(end, "grpc", terminal).SerializeToString(), _LEDGER))
        if end.write is not None:
            self._cached.append(end)
        self._unwritten += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE_S, self._flush)

    async def drain(self, timeout_ms: int) -> bool:
        """Write what is left. False when the broker did not confirm all of it in time."""
        if self._timer is not None:
            self._timer.cancel()
            self._flush()
        return await self._outbox.drain(timeout_ms)

    def _flush(self) -> None:
        records, cached = self._records, self._cached
        self._records, self._cached, self._timer = [], [], None
        count = len(records)
        records.extend(record for end in cached for record in self._entry(end))
        self._outbox.put((records,), lambda: self._written(count))

    def _written(self, count: int) -> None:
        self._unwritten -= count

    def _entry(self, end: End) -> tuple[Record, ...]:
        entry = self._make_entry(end)
        if entry is None:
            return ()
        return (Record(CACHE, f"{entry.scope}/{entry.id}".encode(), entry.SerializeToString(), _ENTRY),)
