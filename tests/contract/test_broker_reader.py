"""Reading tails and following topics, on a broker that speaks Kafka's wire."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer

from infra.broker import EmbeddedBroker
from trivium.core.errors import Unreachable
from trivium.kafka.producer import Producer
from trivium.kafka.reader import ReaderOptions, Tail, end_offsets, read_tail
from trivium.kafka.record import Delivered, Record

NOW_MS = 1_800_000_000_000


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    with EmbeddedBroker({"log": 4}) as running:
        yield running


async def fill(broker: EmbeddedBroker, count: int, start: int = 0) -> None:
    """Records named by their number, round the partitions, one second apart."""
    async with Producer(broker.bootstrap) as producer:
        sent = [
            await producer.send(
                Record("log", b"k", b"%d" % number, (("n", b"%d" % number),), number % 4, NOW_MS + number * 1000)
            )
            for number in range(start, start + count)
        ]
        await asyncio.wait_for(asyncio.gather(*sent), 10)


async def tail(broker: EmbeddedBroker, from_ms: int, until: dict[int, int]) -> list[Delivered]:
    async with asyncio.timeout(60):
        return [record async for record in read_tail(broker.bootstrap, "log", from_ms, until)]


def numbers(records: list[Delivered], partition: int) -> list[int]:
    return [int(record.value or b"") for record in records if record.partition == partition]


async def test_a_tail_begins_at_its_time_and_ends_before_its_offsets(broker: EmbeddedBroker) -> None:
    await fill(broker, 40)
    found = await tail(broker, NOW_MS + 20_000, {0: 8, 1: 10, 3: 0})
    assert numbers(found, 0) == [20, 24, 28]
    assert numbers(found, 1) == [21, 25, 29, 33, 37]
    assert {record.partition for record in found} == {0, 1}
    assert found[0].header("n") == b"%d" % int(found[0].value or b"")
    assert found[0].timestamp_ms == NOW_MS + 1000 * int(found[0].value or b"")


async def test_a_tail_of_nothing_is_empty(broker: EmbeddedBroker) -> None:
    assert await tail(broker, NOW_MS, {0: 0, 1: 0, 2: 0, 3: 0}) == []
    await fill(broker, 8)
    assert await tail(broker, NOW_MS + 3_600_000, {0: 2, 1: 2}) == []
    assert await tail(broker, NOW_MS, {}) == []


async def test_end_offsets_are_what_the_next_record_gets(broker: EmbeddedBroker) -> None:
    await fill(broker, 6)
    assert dict(await end_offsets(broker.bootstrap, "log")) == {0: 2, 1: 2, 2: 1, 3: 1}


async def test_a_tail_from_a_broker_that_is_gone_says_so(broker: EmbeddedBroker) -> None:
    broker.set_down()
    options = ReaderOptions(start_timeout_ms=1000)
    with pytest.raises(Unreachable, match="no Kafka broker"):
        [record async for record in read_tail(broker.bootstrap, "log", 0, {0: 1}, options)]


class Seen:
    """Keeps what a view was given; waits until there is enough."""

    def __init__(self) -> None:
        self.records: list[Delivered] = []
        self.changed = asyncio.Event()

    def __call__(self, record: Delivered) -> None:
        self.records.append(record)
        self.changed.set()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.records) < count:
                self.changed.clear()
                await self.changed.wait()


async def test_a_view_catches_up_and_goes_on(broker: EmbeddedBroker) -> None:
    await fill(broker, 20)
    seen = Seen()
    async with Tail(broker.bootstrap, "log", seen) as view:
        assert await view.wait_caught_up(10_000)
        assert sorted(int(record.value or b"") for record in seen.records) == list(range(20))
        await fill(broker, 4, start=20)
        await seen.wait_for(24)
        assert [numbers(seen.records, part) for part in range(4)] == [list(range(part, 24, 4)) for part in range(4)]
        assert view.lag_ms(int(time.time() * 1000)) < 5_000


async def test_a_view_of_an_empty_topic_is_caught_up_at_once(broker: EmbeddedBroker) -> None:
    async with Tail(broker.bootstrap, "log", Seen()) as view:
        assert await view.wait_caught_up(10_000)


async def test_a_view_from_the_end_sees_only_what_is_new(broker: EmbeddedBroker) -> None:
    await fill(broker, 8)
    seen = Seen()
    async with Tail(broker.bootstrap, "log", seen, from_beginning=False) as view:
        assert await view.wait_caught_up(10_000)
        await fill(broker, 4, start=8)
        await seen.wait_for(4)
        assert sorted(int(record.value or b"") for record in seen.records) == [8, 9, 10, 11]


async def test_a_view_outlives_its_broker_being_away(broker: EmbeddedBroker) -> None:
    await fill(broker, 8)
    seen, now_ms = Seen(), int(time.time() * 1000)
    async with Tail(broker.bootstrap, "log", seen, options=ReaderOptions(reconnect_ms=20)) as view:
        assert view.lag_ms(now_ms) == now_ms
        assert await view.wait_caught_up(10_000)
        broker.set_down()
        broker.set_up()
        await fill(broker, 4, start=8)
        await seen.wait_for(12)
        assert sorted(int(record.value or b"") for record in seen.records) == list(range(12))


async def test_a_view_that_starts_before_its_broker_waits_for_it(broker: EmbeddedBroker) -> None:
    await fill(broker, 4)
    broker.set_down()
    async with Tail(broker.bootstrap, "log", Seen(), options=ReaderOptions(reconnect_ms=20)) as view:
        assert not await view.wait_caught_up(50)
        broker.set_up()
        assert await view.wait_caught_up(10_000)


async def test_a_record_that_a_view_cannot_take_does_not_stop_it(broker: EmbeddedBroker) -> None:
    await fill(broker, 8)
    seen: list[int] = []

    def choosy(record: Delivered) -> None:
        number = int(record.value or b"")
        if number == 3:
            raise ValueError("three")
        seen.append(number)

    async with Tail(broker.bootstrap, "log", choosy) as view:
        assert await view.wait_caught_up(10_000)
    assert sorted(seen) == [0, 1, 2, 4, 5, 6, 7]


async def test_a_header_without_a_value_is_an_empty_one(broker: EmbeddedBroker) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait("log", b"v", partition=0, headers=[("a", None), ("b", b"c")])
    finally:
        await producer.stop()
    until = await end_offsets(broker.bootstrap, "log")
    [record] = [record async for record in read_tail(broker.bootstrap, "log", 0, until)]
    assert record.headers == (("a", b""), ("b", b"c"))
