"""Idempotency keys: which were used in the last 24 hours, by whichever gateway, and for what.

The log decides. A key is written to trivium.idempotency before its request is published, and of several the first in the
partition holds; a gateway that starts reads the topic again. So any gateway can tell a repetition from another body, also
when the routers have long forgotten the request, and knows from when on its terminal has to be looked for.

    key = await keys.use(identity, body_hash, timeout_ms)
    key.body_hash != body_hash     the key was used for something else
    key.fresh(now_ms)              routers still know the request: publishing it again is harmless
    key.since_ms                   its terminal is not older
"""

import asyncio
import hashlib
import sqlite3
import time
from dataclasses import dataclass
from typing import Final, Self

from aiokafka.errors import KafkaError

from trivium.codec import identity_from, identity_to
from trivium.core.errors import Unreachable
from trivium.core.partition import home
from trivium.core.request import Identity
from trivium.kafka.producer import Producer
from trivium.kafka.reader import ReaderOptions, Tail
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import DAY_MS, HEADER_CONTENT_TYPE, HEADER_SCHEMA, IDEMPOTENCY
from trivium.v1 import records_pb2

KEPT_MS: Final = DAY_MS
"""How long a key holds."""
FRESH_MS: Final = 10_000
"""Less than what a router remembers of an end, whatever the policy's attempt cap and the clocks."""

_HEADERS: Final = (
    (HEADER_CONTENT_TYPE, b"application/protobuf"),
    (HEADER_SCHEMA, b"trivium.v1.IdempotencyRecord"),
)
_TABLE: Final = "(mark BLOB PRIMARY KEY, first_ms INTEGER, since_ms INTEGER, body TEXT) WITHOUT ROWID"


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was used. Instants are the broker's, epoch ms."""

    body_hash: str
    first_ms: int
    since_ms: int
    """When its request was last submitted, or a moment before."""

    def fresh(self, now_ms: int) -> bool:
        return now_ms - self.since_ms < FRESH_MS


class Keys:
    """A view of the topic, in a database in memory: 64 bytes a key. Nothing is read before the first use."""

    def __init__(self, bootstrap: str, producer: Producer, partitions: int, options: ReaderOptions) -> None:
        self._producer = producer
        self._partitions = partitions
        self._tail = Tail(bootstrap, IDEMPOTENCY, self.take, options=options)
        self._reached: dict[int, int] = {}
        self._waiting: dict[tuple[int, int], asyncio.Future[None]] = {}
        self._known = sqlite3.connect(":memory:", isolation_level=None)
        # Two tables that take turns, so that a day's keys are dropped at once.
        self._known.executescript(f"CREATE TABLE young {_TABLE}; CREATE TABLE old {_TABLE};")
        self._born_ms = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tail.stop()
        self._known.close()

    async def use(self, identity: Identity, body_hash: str, timeout_ms: int, again: bool = False) -> Key:
        """The key as the log has it, after it was written there when it was not. `again`: its request is submitted once more,
        which is written too. Raises Unreachable when it is not known in time whose it is: using it again is safe."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                self._tail.start()
                await self._tail.caught_up.wait()
                key = self.find(identity)
                if key is not None and time.time_ns() // 1_000_000 - key.first_ms >= KEPT_MS:
                    key = None
                if key is None or (again and key.body_hash == body_hash):
                    await self._written(identity, body_hash)
                    key = self.find(identity)
        except (KafkaError, TimeoutError) as error:
            said = f"the idempotency keys of the last day could not be asked in {timeout_ms} ms ({type(error).__name__})"
            raise Unreachable(f"{said}: ask again") from error
        if key is None:
            raise Unreachable(f"the key of {identity} was written and not found: ask again")
        return key

    def find(self, identity: Identity) -> Key | None:
        """The key, if it holds."""
        mark = _mark(identity)
        for table in ("young", "old"):
            row = self._known.execute(f"SELECT body, first_ms, since_ms FROM {table} WHERE mark = ?", (mark,)).fetchone()
            if row is not None:
                return Key(*row)
        return None

    def take(self, record: Delivered) -> None:
        """One record of the topic."""
        message = records_pb2.IdempotencyRecord.FromString(record.value or b"")
        self._learn(identity_from(message.identity), message.body_hash, record.timestamp_ms)
        self._reached[record.partition] = record.offset
        waiting = self._waiting.pop((record.partition, record.offset), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _learn(self, identity: Identity, body_hash: str, at_ms: int) -> None:
        self._turn(at_ms)
        known = self.find(identity)
        if known is not None and at_ms - known.first_ms < KEPT_MS:
            if known.body_hash != body_hash:
                return
            key = Key(body_hash, known.first_ms, max(known.since_ms, at_ms))
        else:
            key = Key(body_hash, at_ms, at_ms)
        row = (_mark(identity), key.first_ms, key.since_ms, key.body_hash)
        self._known.execute("INSERT OR REPLACE INTO young VALUES (?, ?, ?, ?)", row)

    def _turn(self, at_ms: int) -> None:
        if at_ms - self._born_ms < KEPT_MS:
            return
        self._born_ms = at_ms
        self._known.executescript(f"DROP TABLE old; ALTER TABLE young RENAME TO old; CREATE TABLE young {_TABLE};")

    async def _written(self, identity: Identity, body_hash: str) -> None:
        """Write it, and wait until this view has read so far."""
        message = records_pb2.IdempotencyRecord(identity=identity_to(identity), body_hash=body_hash)
        partition = home(identity.key, self._partitions)
        record = Record(IDEMPOTENCY, identity.key.encode(), message.SerializeToString(), _HEADERS, partition)
        placed = await (await self._producer.send(record))
        if self._reached.get(partition, -1) >= placed.offset:
            return
        place = (partition, placed.offset)
        waiting = self._waiting[place] = asyncio.get_running_loop().create_future()
        try:
            await waiting
        finally:
            self._waiting.pop(place, None)


def _mark(identity: Identity) -> bytes:
    return hashlib.blake2b(f"{identity.key}\0{identity.replay}".encode(), digest_size=16).digest()
