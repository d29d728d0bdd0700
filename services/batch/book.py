"""What waits, and in which batch it is. Pure: a fold of the lane's and the batches' records, without a clock.

An entry of the lane stands for one attempt that has no outcome yet. Emptied, it is done. What was pulled back out of a batch that
is still under way is kept under another key, because its bill is still to come.

A batch is written before it is submitted, and emptied when all its results are in the log:

    parts (which entries) -> submitting -> submitted (the vendor's name of it) -> emptied
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

from google.protobuf.message import DecodeError

from trivium import codec
from trivium.budget.lease import UNBUDGETED, Reservation
from trivium.core.slip import Work
from trivium.kafka.record import Delivered
from trivium.kafka.topics import PULLED
from trivium.v1 import journey_pb2, records_pb2

PART: Final = "part"
SUBMITTING: Final = "submitting"
SUBMITTED: Final = "submitted"
_DONE: Final = 100_000


@dataclass(slots=True)
class Item:
    """One attempt that waits, or whose bill is still to come."""

    key: bytes
    """Of its entry while it waits, also when it was pulled."""
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    came_ms: int
    """Broker's time of its entry."""
    from_ms: int
    until_ms: int
    batch: str = ""
    pulled: bool = False
    """Its attempt has its outcome."""
    closing: bool = False
    """An outcome of it is being written."""
    reserved: Reservation = UNBUDGETED
    """What this process has reserved for it."""

    def work(self) -> tuple[journey_pb2.Work, Work]:
        """Its record, and what it means. Raises BadRequest."""
        message = journey_pb2.Work.FromString(self.value)
        return message, codec.work_from(message)

    @property
    def entry(self) -> bytes:
        """The key that it stands under now."""
        return PULLED + self.key if self.pulled else self.key


@dataclass(slots=True)
class Batch:
    """One batch of the vendor's, or one that is to be."""

    key: str
    begun_ms: int
    instance: str
    """Of all its executions, with `begun_ms`."""
    items: set[bytes] = field(default_factory=set)
    """Keys of entries, also of those that are done."""
    parts: set[bytes] = field(default_factory=set)
    """Keys of its own records that are not emptied."""
    state: str = PART
    vendor_id: str = ""
    submitting_ms: int = 0
    """When it was written that it would be submitted."""
    requests: int = 0
    """How many were to be submitted."""
    unsure: bool = False
    """It was perhaps submitted, and nobody noted the vendor's name of it."""
    next_ms: int = 0
    """When it is to be looked at next."""
    tries: int = 0
    started: bool = False
    """This process has written its starts."""
    cancelled: bool = False


class Book:
    """What waits and in which batch it is."""

    def __init__(self) -> None:
        self.items: dict[bytes, Item] = {}
        self.batches: dict[str, Batch] = {}
        self.held_bytes = 0
        self._batch_of: dict[bytes, str] = {}
        self._done: dict[tuple[bytes, int], None] = {}
        self._timers: list[tuple[int, bytes]] = []

    # --- the lane ----------------------------------------------------------------------------------------------------

    def lane(self, record: Delivered) -> Item | None:
        """Take in a record of the lane. The item that it is, when it is new. Raises BadRequest and DecodeError."""
        entry = record.key or b""
        if not record.value:
            self._emptied(entry)
            return None
        pulled = entry.startswith(PULLED)
        key = entry.removeprefix(PULLED)
        wait = journey_pb2.Work.FromString(record.value).wait
        if not pulled and (key, wait.until_ms) in self._done:
            return None
        known = self.items.get(key)
        if known is not None:
            known.pulled = known.pulled or pulled
            return None
        item = Item(key, record.value, record.headers, record.timestamp_ms, wait.from_ms, wait.until_ms, pulled=pulled)
        item.batch = self._batch_of.get(key, "")
        self.items[key] = item
        heappush(self._timers, (item.until_ms, key))
        self.held_bytes += len(item.value)
        return item

    def _emptied(self, entry: bytes) -> None:
        item = self.items.get(entry.removeprefix(PULLED))
        if item is not None and item.entry == entry:
            self.done(item)

    def done(self, item: Item) -> None:
        """Nothing more is to come of it."""
        if self.items.pop(item.key, None) is None:
            return
        self.held_bytes -= len(item.value)
        self._done[item.key, item.until_ms] = None
        while len(self._done) > _DONE:
            del self._done[next(iter(self._done))]

    # --- the batches -------------------------------------------------------------------------------------------------

    def batch(self, record: Delivered) -> None:
        """Take in a record of the batches. What is none is passed over: only this service writes there."""
        entry = record.key or b""
        if not record.value:
            self._batch_emptied(entry)
            return
        try:
            message = records_pb2.BatchRecord.FromString(record.value)
        except DecodeError:
            return
        batch = self.batches.get(message.key)
        if batch is None:
            batch = self.batches[message.key] = Batch(message.key, message.begun_ms, message.instance)
        batch.parts.add(entry)
        if message.state == PART:
            self.put_into(batch, [item.encode("utf-8", "surrogatepass") for item in message.items])
            return
        batch.state, batch.vendor_id, batch.requests = message.state, message.vendor_id, message.requests
        if message.state == SUBMITTING:
            batch.submitting_ms, batch.unsure = message.at_ms, True
        else:
            batch.unsure = False

    def put_into(self, batch: Batch, keys: Collection[bytes]) -> None:
        """These entries are in the batch."""
        batch.items.update(keys)
        for key in keys:
            self._batch_of[key] = batch.key
            item = self.items.get(key)
            if item is not None:
                item.batch = batch.key

    def _batch_emptied(self, entry: bytes) -> None:
        batch = self.batches.get(entry.decode("ascii", "replace").partition("/")[0])
        if batch is not None:
            batch.parts.discard(entry)
            if not batch.parts:
                self.forget(batch)

    def forget(self, batch: Batch) -> None:
        """Nothing more is to come of it."""
        self.batches.pop(batch.key, None)
        for key in batch.items:
            self._batch_of.pop(key, None)

    # --- what there is -----------------------------------------------------------------------------------------------

    def waiting(self) -> Iterator[Item]:
        """Those in no batch, in the order in which they came."""
        for item in self.items.values():
            if not item.batch and not item.closing and not item.pulled:
                yield item

    def late(self, now_ms: int) -> list[Item]:
        """Those that are to be pulled back; each is given once."""
        found: list[Item] = []
        while self._timers and self._timers[0][0] <= now_ms:
            item = self.items.get(heappop(self._timers)[1])
            if item is not None and item.until_ms <= now_ms and not item.pulled and not item.closing:
                found.append(item)
        return found

    def left(self, batch: Batch) -> list[Item]:
        """What is still to come of a batch."""
        return [item for key in sorted(batch.items) if (item := self.items.get(key)) is not None]


def custom_id(batch: str, key: bytes) -> str:
    """The name of a request at the vendor: who asks and what for cannot be read from it."""
    return f"{batch}-{hashlib.blake2b(key, digest_size=20).hexdigest()}"


def is_of(name: str, batch: str) -> bool:
    """Whether a request of that name is in the batch."""
    return name.startswith(f"{batch}-")
