"""Records that stop a stock reader: header names that are not UTF-8, batches that cannot be taken apart."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher

from infra.broker import EmbeddedBroker
from tests.raw_records import batch, produce, sealed
from trivium.kafka.claim import Claim
from trivium.kafka.group import GroupConsumer
from trivium.kafka.reader import Tail, read_tail
from trivium.kafka.record import Delivered

ODD = b"\xff\xfename"


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    with EmbeddedBroker({"log": 2}) as running:
        yield running


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def read_for_ever(consumer: AIOKafkaConsumer) -> None:
    while True:
        await consumer.getmany(timeout_ms=200)


def sound(value: bytes) -> bytes:
    return batch([(b"k", value, [])])


async def fill(broker: EmbeddedBroker) -> None:
    """One record a batch around a batch of three, of which the middle one has the odd name."""
    three = batch([(b"k", b"1", []), (b"k", b"2", [(ODD, b"x"), (b"fine", None)]), (b"k", b"3", [])])
    for raw in (sound(b"0"), three, sound(b"4")):
        await produce(broker.bootstrap, "log", 0, raw)


async def test_a_stock_reader_is_stopped_by_a_name_that_is_not_utf8(broker: EmbeddedBroker) -> None:
    """What the guard is for. When this fails, aiokafka reads such names, and trivium/kafka/guard.py has less to do."""
    await fill(broker)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False, fetch_max_wait_ms=10)
    await consumer.start()
    try:
        consumer.assign([TopicPartition("log", 0)])
        consumer.seek(TopicPartition("log", 0), 0)
        for _ in range(2):
            with pytest.raises(UnicodeDecodeError):
                await asyncio.wait_for(read_for_ever(consumer), 10)
        assert await consumer.position(TopicPartition("log", 0)) < 2
    finally:
        await consumer.stop()


async def test_a_group_member_reads_on_past_a_name_that_is_not_utf8(broker: EmbeddedBroker) -> None:
    await fill(broker)
    seen: list[Delivered] = []

    def take(claim: Claim) -> None:
        seen.append(claim.record)
        claim.ack()

    async with GroupConsumer(broker.bootstrap, "tier", ("log",), take) as member:
        await until(lambda: len(seen) >= 5 or member.failed.done())
        assert not member.failed.done()
    assert [record.value for record in seen] == [b"0", b"1", b"2", b"3", b"4"]
    assert [record.offset for record in seen] == [0, 1, 2, 3, 4]
    assert seen[2].headers == (("\\xff\\xfename", b"x"), ("fine", b""))
    assert not any(record.unreadable for record in seen)


async def test_tails_read_on_past_it_too(broker: EmbeddedBroker) -> None:
    await fill(broker)
    seen: list[bytes | None] = []
    async with Tail(broker.bootstrap, "log", lambda record: seen.append(record.value)) as view:
        assert await view.wait_caught_up(15_000)
        await fill(broker)
        await until(lambda: len(seen) == 10)
    async with asyncio.timeout(60):
        assert [record.value async for record in read_tail(broker.bootstrap, "log", 0, {0: 10})] == seen
    assert seen == [b"0", b"1", b"2", b"3", b"4"] * 2
    assert view.lag_ms(0) == 0


async def test_batches_that_cannot_be_taken_apart_are_handed_out_as_bytes(broker: EmbeddedBroker) -> None:
    """A real broker refuses these; a disk that fails under one, or a proxy between, need not."""
    broken = bytearray(sound(b"checksum"))
    broken[-1] ^= 0xFF
    cut = bytearray(batch([(b"k", b"length", []), (b"k", b"second", [])]))
    cut[61] ^= 0x40
    packed = bytearray(sound(b"codec"))
    packed[22] |= 0x05
    odd = [bytes(broken), sealed(bytes(cut)), sealed(bytes(packed))]
    for raw in (sound(b"0"), odd[0], sound(b"1"), odd[1], sound(b"2"), odd[2], sound(b"3")):
        await produce(broker.bootstrap, "log", 0, raw)
    seen: list[Delivered] = []
    async with GroupConsumer(broker.bootstrap, "tier", ("log",), lambda claim: seen.append(claim.record)) as member:
        await until(lambda: member.failed.done() or (bool(seen) and seen[-1].value == b"3"))
    assert [record.value for record in seen if not record.unreadable] == [b"0", b"1", b"2", b"3"]
    bytes_of = [record.value or b"" for record in seen if record.unreadable]
    assert len(bytes_of) == 3
    assert all(name in found for name, found in zip((b"checksu", b"length", b"codec"), bytes_of, strict=True))
    offsets = [record.offset for record in seen]
    assert offsets == sorted(set(offsets))


async def test_odd_but_sound_records_come_as_they_are(broker: EmbeddedBroker) -> None:
    many = [(b"h%d" % number, b"") for number in range(20_000)]
    records = [(None, None, []), (b"", b"", []), (b"k", b"", many), (b"k", b"last", [(b"", None), (b"twice", b"1"), (b"twice", b"2")])]
    await produce(broker.bootstrap, "log", 0, batch(records))
    seen: list[Delivered] = []
    async with GroupConsumer(broker.bootstrap, "tier", ("log",), lambda claim: seen.append(claim.record)):
        await until(lambda: len(seen) == 4)
    assert [(record.key, record.value) for record in seen] == [(key, value) for key, value, _ in records]
    assert len(seen[2].headers) == 20_000
    assert seen[3].header("twice") == b"2"


async def test_fetching_that_dies_is_noticed(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka says nothing then (its issue in tests/real/kafka/test_pins_aiokafka.py): a member leaves, a view connects again."""
    broken = True

    async def dies(self: Fetcher, *request: object) -> bool:
        if broken:
            raise RuntimeError("whatever it is that it does not expect")
        return bool(await stock(self, *request))

    stock = Fetcher._proc_fetch_request
    monkeypatch.setattr(Fetcher, "_proc_fetch_request", dies)
    seen: list[bytes | None] = []
    async with Tail(broker.bootstrap, "log", lambda record: seen.append(record.value)):
        member = GroupConsumer(broker.bootstrap, "tier", ("log",), lambda claim: None)
        await member.start()
        done, _ = await asyncio.wait((member.failed,), timeout=20)
        assert done
        assert "fetching has ended" in str(member.failed.exception())
        await member.stop()
        broken = False
        await produce(broker.bootstrap, "log", 0, sound(b"0"))
        await until(lambda: seen == [b"0"])
