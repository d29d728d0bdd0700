"""Producer and outbox against a broker that speaks Kafka's wire."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from infra.broker import EmbeddedBroker
from trivium.core.errors import Unreachable
from trivium.core.murmur2 import partition_of
from trivium.kafka.outbox import Outbox, OutboxOptions
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.record import Record

PRODUCE = 0
OUT_OF_ORDER_SEQUENCE = 45
NOT_LEADER = 6


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    with EmbeddedBroker({"one": 3, "two": 12}) as running:
        yield running


async def contents(broker: EmbeddedBroker, topic: str) -> list[list[bytes]]:
    """The values of each partition, in order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, fetch_max_wait_ms=10, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(broker.topics[topic])]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        found: list[list[bytes]] = [[] for _ in partitions]
        async with asyncio.timeout(60):
            while sum(map(len, found)) < sum(ends.values()):
                for partition, batch in (await consumer.getmany(timeout_ms=100)).items():
                    found[partition.partition].extend(item.value for item in batch)
        return found
    finally:
        await consumer.stop()


def keep(refused: Record, error: BaseException) -> Sequence[Record]:
    raise AssertionError(f"{refused.topic} was refused: {error}")


async def test_stages_arrive_where_they_were_sent(broker: EmbeddedBroker) -> None:
    done: list[int] = []
    async with Producer(broker.bootstrap) as producer, Outbox(producer, keep) as outbox:
        for number in range(300):
            first = Record("one", b"k", b"%d" % number, (("h", b"v"),), number % 3)
            second = Record("two", b"k", b"%d" % number, (), number % 12)
            outbox.put([[first], [second]], partial(done.append, number))
        assert await outbox.drain(10_000)
    assert sorted(done) == list(range(300))
    assert await contents(broker, "one") == [[b"%d" % n for n in range(300) if n % 3 == p] for p in range(3)]
    assert sum(map(len, await contents(broker, "two"))) == 300


async def test_a_key_decides_the_partition_as_it_does_in_java(broker: EmbeddedBroker) -> None:
    keys = [b"acme/%d" % number for number in range(40)]
    async with Producer(broker.bootstrap) as producer:
        for key in keys:
            sent = await producer.publish(Record("two", key, key), 5000)
            assert sent.partition == partition_of(key, 12)


async def test_a_broker_that_comes_back_gets_everything_once(broker: EmbeddedBroker) -> None:
    async with Producer(broker.bootstrap) as producer, Outbox(producer, keep) as outbox:
        outbox.put([[Record("one", b"k", b"before", (), 0)]], lambda: None)
        assert await outbox.drain(10_000)
        broker.set_down()
        for number in range(20):
            outbox.put([[Record("one", b"k", b"%d" % number, (), 0)]], lambda: None)
        assert not await outbox.drain(200)
        broker.set_up()
        assert await outbox.drain(20_000)
    assert (await contents(broker, "one"))[0] == [b"before", *(b"%d" % number for number in range(20))]


async def test_a_sender_that_died_is_replaced_and_nothing_is_lost(broker: EmbeddedBroker) -> None:
    async with Producer(broker.bootstrap) as producer, Outbox(producer, keep, OutboxOptions(backoff_ms=5)) as outbox:
        broker.fail_requests(PRODUCE, [NOT_LEADER, OUT_OF_ORDER_SEQUENCE])
        for number in range(5):
            outbox.put([[Record("one", b"k", b"%d" % number, (), 0)]], lambda: None)
        assert await outbox.drain(20_000)
    assert set((await contents(broker, "one"))[0]) == {b"%d" % number for number in range(5)}


async def test_a_record_larger_than_the_limit_is_replaced(broker: EmbeddedBroker) -> None:
    refused: list[BaseException] = []

    def replace(record: Record, error: BaseException) -> Sequence[Record]:
        refused.append(error)
        return [Record(record.topic, record.key, b"too_large", (), record.partition)]

    options = ProducerOptions(max_record_bytes=10_000)
    async with Producer(broker.bootstrap, options) as producer, Outbox(producer, replace) as outbox:
        outbox.put([[Record("one", b"k", b"x" * 20_000, (), 1)]], lambda: None)
        assert await outbox.drain(10_000)
    assert (await contents(broker, "one"))[1] == [b"too_large"]
    assert [type(error) for error in refused] == [MessageSizeTooLargeError]


async def test_stopping_while_the_broker_is_gone_ends_in_time(broker: EmbeddedBroker) -> None:
    producer = Producer(broker.bootstrap, ProducerOptions(stop_timeout_ms=200))
    await producer.start()
    await producer.publish(Record("one", b"k", b"v", (), 0), 5000)
    broker.set_down()
    with pytest.raises(KafkaTimeoutError):
        await producer.publish(Record("one", b"k", b"v", (), 0), 100)
    async with asyncio.timeout(90):
        await producer.stop()


async def test_no_broker_at_the_address_is_one_sentence(broker: EmbeddedBroker) -> None:
    address = broker.bootstrap
    broker.set_down()
    producer = Producer(address, ProducerOptions(start_timeout_ms=2000))
    with pytest.raises(Unreachable, match=f"no Kafka broker answers at {address}"):
        await producer.start()
