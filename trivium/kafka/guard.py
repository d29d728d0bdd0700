"""A fetch that no record can stop.

aiokafka takes a batch apart while it is handed out, and raises when it cannot: for a header's name that is not UTF-8, for
a batch whose checksum is wrong or whose insides make no sense. The partition's position then stays, and every later fetch
raises again: whoever may write one record stops every reader of the topic, and what was read before it is lost to the loop.

    consumer = AIOKafkaConsumer(...)
    await consumer.start()
    guard(consumer)

From then on the rest of such a fetch is read here, record by record (the format is Kafka's record batch, magic 2). A header's
name that is not UTF-8 is written with escapes, as `\\xff`, and its record is a record as any other. What cannot be taken apart
is delivered as `Unreadable`, with its bytes, and the offset moves on; so is a batch that unpacks to more memory than any producer
packs (trivium/kafka/unpacked.py). Nothing is added to the way of records that are sound.
"""

import logging
import struct
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import KafkaError
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.util import calc_crc32c, decode_varint

from trivium.kafka.unpacked import MOST_UNPACKED, any_too_large, is_too_large

_LOG = logging.getLogger(__name__)

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_START: Final = struct.Struct(">qi")
_MAGIC_AT: Final = 16
_CRC_FROM: Final = 21
_APPEND_TIME: Final = 0x08
_CONTROL: Final = 0x20
_CODECS: Final = {1: gzip_decode, 2: snappy_decode, 3: lz4_decode, 4: zstd_decode}
_TASKS: Final = ("_sync_task", "_coordination_task", "_heartbeat_task", "_commit_refresh_task", "_reset_committed_task", "_fetch_task", "_sender_task")
"""Of aiokafka's client, coordinators, fetcher and sender."""
_CORRUPT_FETCHES: Final = 3
"""A batch with a wrong checksum is fetched as often before it is given up: it may have been broken on its way."""


@dataclass
class Unreadable(ConsumerRecord[bytes, bytes]):  # type: ignore[misc]
    """Bytes in the place of a record (or of a whole batch, under its last offset) that could not be taken apart."""

    why: str = ""


def guard(consumer: AIOKafkaConsumer) -> None:
    """For a consumer that was started; see the module."""
    fetcher = consumer._fetcher
    fetcher._client = client = _Overheard(fetcher._client)
    fetcher._records = _Results(client, fetcher._records)


async def fetched(
    consumer: AIOKafkaConsumer, timeout_ms: int, *partitions: TopicPartition
) -> Mapping[TopicPartition, list[ConsumerRecord]]:
    """As `getmany`. Raises KafkaError when the task that fetches is dead: nothing ever comes then, and aiokafka says nothing."""
    batch: Mapping[TopicPartition, list[ConsumerRecord]] = await consumer.getmany(*partitions, timeout_ms=timeout_ms)
    if not batch and consumer._fetcher._fetch_task.done():
        raise KafkaError("fetching has ended by itself")
    return batch


async def stop(consumer: AIOKafkaConsumer) -> None:
    """As its own, which leaves its connections open when fetching had died, or when it is not given the time."""
    try:
        await consumer.stop()
    except BaseException:
        hang_up(consumer)
        raise


def hang_up(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """End what one that did not stop in time still does, and close its connections, without waiting for anybody."""
    wire = client.client if isinstance(client, AIOKafkaProducer) else client._client
    for part in (wire, *(getattr(client, name, None) for name in ("_coordinator", "_fetcher", "_sender"))):
        tasks = [getattr(part, name, None) for name in _TASKS]
        for task in (*tasks, *getattr(part, "_pending_tasks", ())):
            if task is not None:
                task.cancel()
    for connection in list(wire._conns.values()):
        connection.close()


class _Overheard:
    """The fetcher's client; it keeps the bytes of the answer that the fetcher looks at."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.raw: dict[tuple[str, int], bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **kwargs: Any) -> Any:
        response = await self._client.send(node_id, request, **kwargs)
        if type(request).__name__.startswith("FetchRequest"):
            # The fetcher goes through the whole answer before anything else runs.
            self.raw = {(topic, part[0]): part[-1] for topic, parts in response.topics for part in parts if part[-1]}
        return response


class _Results(OrderedDict[TopicPartition, Any]):
    """What the fetcher has for each partition, with guarded records."""

    def __init__(self, client: _Overheard, before: OrderedDict[TopicPartition, Any]) -> None:
        super().__init__()
        self._heard = client
        self._corrupt: dict[TopicPartition, tuple[int, int]] = {}
        for partition, result in before.items():
            self[partition] = result

    def __setitem__(self, partition: TopicPartition, result: Any) -> None:
        if type(result) is FetchResult and type(result._partition_records) is not _Guarded:
            raw = self._heard.raw.get((partition.topic, partition.partition))
            result._partition_records = _Guarded(result._partition_records, partition, raw, self)
        super().__setitem__(partition, result)

    def give_up(self, partition: TopicPartition, offset: int) -> bool:
        """Whether a batch that is corrupt has been fetched often enough."""
        known, times = self._corrupt.get(partition, (offset, 0))
        times = times + 1 if known == offset else 1
        self._corrupt[partition] = (offset, times)
        return times >= _CORRUPT_FETCHES


class _Guarded:
    """aiokafka's PartitionRecords, read to the end by itself or, from the first error on, by `_read_on`."""

    __slots__ = ("_given", "_inner", "_owner", "_partition", "_position", "_raw")

    def __init__(self, inner: Any, partition: TopicPartition, raw: bytes | None, owner: _Results) -> None:
        self._inner = inner
        self._partition = partition
        self._raw = raw
        self._owner = owner
        self._position: int | None = None
        self._given = self._give()

    @property
    def next_fetch_offset(self) -> int:
        return int(self._inner.next_fetch_offset) if self._position is None else self._position

    def __iter__(self) -> Iterator[ConsumerRecord]:
        return self._given

    def __next__(self) -> ConsumerRecord:
        return next(self._given)

    def _give(self) -> Iterator[ConsumerRecord]:
        if self._raw is None:
            # Fetched before the guard stood: fetched once more.
            self._position = int(self._inner.next_fetch_offset)
            return
        try:
            if any_too_large(self._raw):
                raise ValueError(f"a batch unpacks to more than {MOST_UNPACKED} bytes")
            yield from self._inner._records_iterator
            return
        except Exception as error:
            at = self._position = int(self._inner.next_fetch_offset)
            _LOG.warning("%s-%d offset %d: %r", self._partition.topic, self._partition.partition, at, error)
        for batch in _batches(self._raw, self._position):
            if batch.corrupt and not self._owner.give_up(self._partition, batch.base):
                return
            for record in batch.records(self._partition, self._position):
                if record.offset < self._position:
                    continue  # What is left of a batch whose last offset was given out: it has no place in the log.
                self._position = record.offset + 1
                yield record
            self._position = max(self._position, batch.last + 1)


def _batches(raw: bytes, position: int) -> Iterator["_Batch"]:
    """The whole batches of a fetch that end at `position` or later; the last of a fetch is often cut."""
    at = 0
    while at + _MAGIC_AT < len(raw):
        base, length = _START.unpack_from(raw, at)
        end = at + _START.size + length
        if length <= _MAGIC_AT - _START.size or end > len(raw):
            return
        batch = _Batch(raw[at:end], base)
        if batch.last >= position:
            yield batch
        at = end


class _Batch:
    """One batch, as far as it can be trusted."""

    def __init__(self, raw: bytes, base: int) -> None:
        self.raw = raw
        self.base = self.last = base
        self.magic = raw[_MAGIC_AT]
        self.corrupt = False
        if self.magic < 2:
            return
        self.corrupt = len(raw) < _HEADER.size
        if not self.corrupt:
            self._header = _HEADER.unpack_from(raw)
            self.last = base + max(0, self._header[6])
            self.corrupt = calc_crc32c(raw[_CRC_FROM:]) != self._header[4]

    def records(self, partition: TopicPartition, position: int) -> Iterator[ConsumerRecord]:
        """Its records from `position` on, in order; what cannot be read is one Unreadable each."""
        if self.corrupt:
            yield self._unreadable(partition, self.last, self.raw, "a batch with a wrong checksum")
        elif self.magic < 2:
            yield from self._of_old(partition, position)
        elif not self._header[5] & _CONTROL:
            try:
                content = self._content()
            except Exception as error:
                yield self._unreadable(partition, self.last, self.raw, f"a batch that cannot be unpacked: {error!r}")
                return
            yield from self._each(partition, position, content)

    def _content(self) -> bytes:
        codec, packed = self._header[5] & 0x07, self.raw[_HEADER.size :]
        if not codec:
            return packed
        if codec not in _CODECS:
            raise ValueError(f"unknown compression {codec}")
        if is_too_large(codec, packed):
            raise ValueError(f"it unpacks to more than {MOST_UNPACKED} bytes")
        return bytes(_CODECS[codec](packed))

    def _of_old(self, partition: TopicPartition, position: int) -> Iterator[ConsumerRecord]:
        try:
            if self.magic not in (0, 1):
                raise ValueError(f"unknown magic {self.magic}")
            found = list(LegacyRecordBatch(self.raw, self.magic))
        except Exception as error:
            yield self._unreadable(partition, self.last, self.raw, f"a message set that cannot be read: {error!r}")
            return
        for old in found:
            if old.offset >= position:
                kind = old.timestamp_type
                yield _record(partition, (old.offset, old.timestamp or 0, kind, old.key, old.value, ()))

    def _each(self, partition: TopicPartition, position: int, content: bytes) -> Iterator[ConsumerRecord]:
        at = 0
        for _ in range(self._header[12]):
            try:
                length, begin = decode_varint(content, at)
                if length < 0 or begin + length > len(content):
                    raise ValueError(f"a record of {length} bytes, {len(content) - begin} are there")
            except (ValueError, IndexError) as error:
                yield self._unreadable(partition, self.last, content[at:], f"the rest of a batch: {error}")
                return
            at = begin + length
            record = self._one(partition, content[begin:at], position)
            if record.offset >= position:
                position = record.offset + 1
                yield record

    def _one(self, partition: TopicPartition, content: bytes, position: int) -> ConsumerRecord:
        offset = position
        try:
            delta, at = decode_varint(content, 1)
            away, at = decode_varint(content, at)
            offset = self.base + away
            if not self.base <= offset <= self.last:
                offset = position
                raise ValueError(f"offset {self.base + away} in a batch of {self.base} to {self.last}")
            key, at = _bytes(content, at)
            value, at = _bytes(content, at)
            headers = tuple(_headers(content, at))
            appended = self._header[5] & _APPEND_TIME
            time = self._header[8] if appended else self._header[7] + delta
            return _record(partition, (offset, time, int(bool(appended)), key, value, headers))
        except (ValueError, IndexError) as error:
            return self._unreadable(partition, min(offset, self.last), content, f"a record that cannot be read: {error}")

    def _unreadable(self, partition: TopicPartition, offset: int, content: bytes, why: str) -> Unreadable:
        time = 0 if self.magic < 2 or len(self.raw) < _HEADER.size else max(0, self._header[8])
        sizes = (None, -1, len(content), ())
        return Unreadable(partition.topic, partition.partition, offset, time, 0, None, content, *sizes, why=why)


def _record(partition: TopicPartition, parts: tuple[int, int, int | None, bytes | None, bytes | None, Any]) -> ConsumerRecord:
    *_, key, value, headers = parts
    sizes = (-1 if key is None else len(key), -1 if value is None else len(value))
    return ConsumerRecord(partition.topic, partition.partition, *parts[:5], None, *sizes, headers)


def _bytes(content: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(content, at)
    if length < 0:
        return None, at
    if at + length > len(content):
        raise ValueError(f"{length} bytes, {len(content) - at} are there")
    return content[at : at + length], at + length


def _headers(content: bytes, at: int) -> Iterator[tuple[str, bytes | None]]:
    count, at = decode_varint(content, at)
    if count < 0:
        raise ValueError(f"{count} headers")
    for _ in range(count):
        name, at = _bytes(content, at)
        value, at = _bytes(content, at)
        if name is None:
            raise ValueError("a header without a name")
        yield name.decode("utf-8", "backslashreplace"), value
    if at != len(content):
        raise ValueError(f"{len(content) - at} bytes after the last header")
