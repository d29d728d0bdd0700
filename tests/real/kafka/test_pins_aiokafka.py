"""What is still wrong in aiokafka 0.14, or a default that ours replaces, on a real Kafka; and the embedded broker's own limits.

Each test names what works around it: when one fails after an upgrade, look whether that can go.
"""

import asyncio
import gc
import inspect
import time
import uuid
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError, KafkaTimeoutError
from confluent_kafka import Producer as Librdkafka

from infra.broker import EmbeddedBroker
from infra.kafka.cluster import Cluster
from tests.raw_records import batch, produce
from tests.real.kafka.pins import pinned
from trivium.core.murmur2 import partition_of
from trivium.kafka.admin import admin
from trivium.kafka.claim import Claim
from trivium.kafka.group import GroupConsumer
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.record import Record

PARTITIONS = 12
KEYS = [f"acme/{number}".encode() for number in range(200)]
PATIENCE_S = 45.0


async def new_topic(bootstrap: str, partitions: int = 1) -> str:
    name = f"pin-{uuid.uuid4().hex[:8]}"
    async with admin(bootstrap) as client:
        await client.create_topics([NewTopic(name, partitions, 1)])
    return name


async def test_a_header_name_that_is_not_utf8_stops_a_stock_reader(cluster: Cluster) -> None:
    """A real broker takes such a record. Instead: trivium/kafka/guard.py."""
    topic = await new_topic(cluster.bootstrap)
    values = [b"before", b"odd", b"after"]
    raw = batch([(b"k", values[0], []), (b"k", values[1], [(b"\xff\xfe", b"x")]), (b"k", values[2], [])])
    await produce(cluster.bootstrap, topic, 0, raw)
    stock = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    await stock.start()
    try:
        stock.assign([TopicPartition(topic, 0)])
        for _ in range(2):
            with pinned("a header's name that stops a reader", "trivium/kafka/guard.py"), pytest.raises(UnicodeDecodeError):
                await asyncio.wait_for(_first_records(stock), PATIENCE_S)
    finally:
        await stock.stop()
    seen: list[bytes | None] = []
    read = asyncio.Event()

    def take(claim: Claim) -> None:
        seen.append(claim.record.value)
        claim.ack()
        if len(seen) == len(values):
            read.set()

    async with GroupConsumer(cluster.bootstrap, f"{topic}-group", (topic,), take):
        await asyncio.wait_for(read.wait(), PATIENCE_S)
    assert seen == values


async def _first_records(consumer: AIOKafkaConsumer) -> Any:
    while not (found := await consumer.getmany(timeout_ms=500)):
        pass
    return found


async def test_t16_a_consumer_whose_fetching_died_says_nothing(cluster: Cluster) -> None:
    """Instead: the watchdog of the router, which asks the broker how much there is."""
    topic = await new_topic(cluster.bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:

        async def broken(*_: object) -> bool:
            raise RuntimeError("whatever it is that it does not expect")

        consumer._fetcher._proc_fetch_request = broken
        consumer.assign([TopicPartition(topic, 0)])
        await asyncio.wait((consumer._fetcher._fetch_task,), timeout=PATIENCE_S)
        with pinned("T16 (fetching dies and says nothing)", "trivium/kafka/guard.py (fetched) and streams/watchdog.py"):
            assert isinstance(consumer._fetcher._fetch_task.exception(), KafkaError)
        async with Producer(cluster.bootstrap) as producer:
            await producer.publish(Record(topic, b"k", b"v"), 30_000)
        with pinned("T16 (fetching dies and says nothing)", "trivium/kafka/guard.py (fetched) and streams/watchdog.py"):
            assert await consumer.getmany(timeout_ms=1_500) == {}
    finally:
        # Only whoever stops it is told.
        with pytest.raises(KafkaError):
            await consumer.stop()
        await consumer._client.close()


async def test_keys_go_where_java_sends_them_and_not_where_librdkafka_does(cluster: Cluster) -> None:
    """Homes are murmur2. Clients on librdkafka set partitioner=murmur2_random (docs/wire.md)."""
    topic = await new_topic(cluster.bootstrap, PARTITIONS)
    wanted = [partition_of(key, PARTITIONS) for key in KEYS]
    stock = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap)
    await stock.start()
    try:
        found = [(await (await stock.send(topic, b"v", key))).partition for key in KEYS]
    finally:
        await stock.stop()
    assert found == wanted
    default = await asyncio.to_thread(_sent_by_librdkafka, cluster.bootstrap, topic, {})
    assert sum(one != other for one, other in zip(default, wanted, strict=True)) > len(KEYS) / 2
    told = await asyncio.to_thread(_sent_by_librdkafka, cluster.bootstrap, topic, {"partitioner": "murmur2_random"})
    assert told == wanted


def _sent_by_librdkafka(bootstrap: str, topic: str, options: dict[str, str]) -> list[int]:
    client, found = Librdkafka({"bootstrap.servers": bootstrap, **options}), dict[bytes, int]()
    for key in KEYS:
        client.produce(topic, b"v", key, on_delivery=lambda _error, message: found.__setitem__(message.key(), message.partition()))
    assert client.flush(PATIENCE_S) == 0
    return [found[key] for key in KEYS]


def test_what_is_committed_by_default_is_what_was_merely_read() -> None:
    """Instead: enable_auto_commit=False wherever a consumer is made."""
    with pinned("a default", "enable_auto_commit=False or enable_idempotence=True of trivium/kafka"):
        assert inspect.signature(AIOKafkaConsumer).parameters["enable_auto_commit"].default is True
        assert inspect.signature(AIOKafkaProducer).parameters["enable_idempotence"].default is False


async def test_the_embedded_broker_makes_topics_of_four_partitions() -> None:
    """Instead: infra.broker makes every topic before a client can ask for it."""
    with EmbeddedBroker({"there": 7}) as broker:
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.subscribe(["never-made"])
            deadline = time.monotonic() + PATIENCE_S
            while not (found := consumer.partitions_for_topic("never-made")):
                assert time.monotonic() < deadline
                await consumer._client.force_metadata_update()
            with pinned("topics of four partitions", "infra/broker.py (every topic is made first)"):
                assert len(found) == 4
        finally:
            await consumer.stop()


async def test_the_embedded_broker_answers_a_fetch_when_its_wait_is_over() -> None:
    """Instead: fetches of 10 ms there (TRIVIUM_FETCH_MAX_WAIT_MS)."""
    with EmbeddedBroker({"there": 1}) as broker:
        consumer = AIOKafkaConsumer("there", bootstrap_servers=broker.bootstrap, enable_auto_commit=False, fetch_max_wait_ms=3_000)
        await consumer.start()
        try:
            await consumer.getmany(timeout_ms=300)
            async with Producer(broker.bootstrap) as producer:
                began = time.monotonic()
                await producer.publish(Record("there", b"k", b"v"), 30_000)
                assert await asyncio.wait_for(_first_records(consumer), PATIENCE_S)
            # A real broker answers within a few ms; a busy machine can only make this longer.
            assert time.monotonic() - began > 1
        finally:
            await consumer.stop()


async def test_the_embedded_broker_forgets_old_records_without_an_error() -> None:
    """Instead: what is outstanding is bounded at publishing, and this broker is for one machine's demo and tests alone."""
    with EmbeddedBroker({"there": 1}) as broker:
        async with Producer(broker.bootstrap) as producer:
            for _ in range(60):
                await producer.publish(Record("there", b"k", b"x" * 200_000), 30_000)
        consumer = AIOKafkaConsumer("there", bootstrap_servers=broker.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
        await consumer.start()
        try:
            first = await consumer.beginning_offsets(consumer.assignment())
            with pinned("old records vanish", "the bound on what is outstanding at publishing"):
                assert min(first.values()) > 10
        finally:
            await consumer.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
async def test_1101_a_stock_producer_waits_for_ever_for_a_broker_that_is_gone(cluster: Cluster) -> None:
    """The last of the module: its Kafka is killed. Instead: the bounded waits of trivium/kafka/producer.py."""
    topic = await new_topic(cluster.bootstrap)
    ours = Producer(cluster.bootstrap, ProducerOptions(request_timeout_ms=1_000, stop_timeout_ms=1_000))
    await ours.start()
    stock = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, request_timeout_ms=1_000, acks="all", enable_idempotence=True)
    await stock.start()
    await ours.publish(Record(topic, b"k", b"v"), 30_000)
    await stock.send_and_wait(topic, b"v")
    for node in cluster.nodes:
        cluster.kill(node.id)
    sending = asyncio.create_task(stock.send_and_wait(topic, b"v"), name="stock-send")
    stopping = asyncio.create_task(stock.stop(), name="stock-stop")
    with pytest.raises(KafkaTimeoutError):
        await ours.publish(Record(topic, b"k", b"v"), 1_500)
    await ours.stop()
    # Ten times its request timeout later, the stock one has given up neither.
    done, _ = await asyncio.wait((sending, stopping), timeout=10, return_when=asyncio.FIRST_COMPLETED)
    with pinned("aiokafka #1101 (waits for ever)", "trivium/kafka/producer.py (bounded waits)"):
        assert not done, [task.exception() for task in done]
    await stock._sender.close()
    stock._message_accumulator.fail_all(KafkaError("the test is over"))
    await asyncio.gather(sending, stopping, return_exceptions=True)
    await stock.client.close()
    # What a client leaves open when its broker dies is collected here, where it is no surprise.
    del stock, ours, sending, stopping
    gc.collect()
