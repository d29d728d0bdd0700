"""The guarded fetch on batches whose bytes were changed: it always ends, in order, past what cannot be read."""

import random
from collections import OrderedDict
from types import SimpleNamespace

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.record import MemoryRecords

from tests.raw_records import Header, batch, sealed
from trivium.kafka.guard import Unreadable, guard

PARTITION = TopicPartition("trivium.requests", 0)
CASES = 1_500
COMPRESSIONS = (0, 0, 0, 1, 2, 3, 4)


def fetched(raw: bytes) -> tuple[list[ConsumerRecord], int]:
    """What one fetch of these bytes gives, again and again until it moves on, and the position after it."""
    client = SimpleNamespace(raw={})
    consumer = SimpleNamespace(_fetcher=SimpleNamespace(_client=client, _records=OrderedDict()))
    guard(consumer)
    fetcher = consumer._fetcher
    for _ in range(4):
        records = MemoryRecords(raw)
        if not records.has_next():
            return [], 0
        fetcher._client.raw = {(PARTITION.topic, PARTITION.partition): raw}
        inner = PartitionRecords(PARTITION, records, None, 0, None, None, True, 0)
        assignment = SimpleNamespace(active=False)
        fetcher._records[PARTITION] = FetchResult(PARTITION, assignment=assignment, partition_records=inner, backoff=0)
        guarded = fetcher._records.pop(PARTITION)._partition_records
        found = list(guarded)
        if guarded.next_fetch_offset:
            return found, guarded.next_fetch_offset
    return [], 0


def sample(draw: random.Random) -> bytes:
    """A sound batch of one to four records."""
    records = []
    for _ in range(draw.randint(1, 4)):
        headers: list[Header] = [(draw.randbytes(draw.randint(0, 4)), draw.choice((None, b"x"))) for _ in range(draw.randint(0, 3))]
        records.append((draw.choice((None, b"key")), draw.choice((None, b"", b"value")), headers))
    return batch(records)


def test_names_of_any_bytes_lose_no_record() -> None:
    draw = random.Random(1)
    for _ in range(300):
        found, position = fetched(raw := sample(draw))
        assert not any(isinstance(record, Unreadable) for record in found)
        assert [record.offset for record in found] == list(range(int.from_bytes(raw[57:61])))
        assert position == len(found)


def test_whatever_the_bytes_the_fetch_ends_and_moves_on() -> None:
    draw = random.Random(2)
    bytes_handed_out = 0
    for _ in range(CASES):
        broken = bytearray(sample(draw))
        for _ in range(draw.randint(1, 3)):
            # Not the length, the magic or the last offset: no broker stores a batch without knowing these.
            broken[draw.choice((*range(17, 23), *range(27, len(broken))))] = draw.randrange(256)
        raw = sealed(bytes(broken)) if draw.random() < 0.8 else bytes(broken)
        found, position = fetched(raw)
        last = int.from_bytes(raw[23:27], signed=True)
        assert position > last
        offsets = [record.offset for record in found]
        assert offsets == sorted(set(offsets))
        bytes_handed_out += any(isinstance(record, Unreadable) for record in found)
    assert bytes_handed_out > CASES / 20


def test_what_comes_before_and_after_a_broken_batch_is_read() -> None:
    broken = bytearray(batch([(b"k", b"b", []), (b"k", b"c", [])]))
    broken[61] ^= 0x40
    middle, after = bytearray(sealed(bytes(broken))), bytearray(batch([(b"k", b"d", [])]))
    middle[0:8], after[0:8] = (1).to_bytes(8), (3).to_bytes(8)
    found, position = fetched(batch([(b"k", b"a", [])]) + bytes(middle) + bytes(after))
    assert [record.value for record in found if not isinstance(record, Unreadable)] == [b"a", b"d"]
    assert [record.offset for record in found] == [0, 2, 3]
    assert position == 4
