"""What is still wrong in faust-streaming 0.15 and shows without a real Kafka: in process, or on the embedded broker.

As test_pins_faust.py: one that fails after an upgrade names the workaround that can go.
"""

import asyncio
import contextvars
import gc
import inspect
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaTimeoutError
from aiokafka.protocol.transaction import TxnOffsetCommitRequest_v0
from aiokafka.record import MemoryRecords
from faust import streams as faust_streams
from faust.cli.base import LOGLEVELS
from faust.events import Event
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from infra.broker import EmbeddedBroker
from streams.app import make
from streams.transport import AppOptions, brokers, build_app, settings
from tests.integration.router.conftest import POLICY
from tests.real.kafka.pins import pinned
from tests.real.kafka.test_pins_faust import running, until
from tests.unit.test_unpacked import ZSTD, of, zstd_bomb
from trivium.kafka.floor import Floor
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.record import Record
from trivium.kafka.topics import OUTCOMES, REQUESTS, Keep, all_topics
from trivium.kafka.unpacked import MOST_UNPACKED, any_too_large
from trivium.process import Process
from trivium.settings import ProcessSettings

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
"""An app of Faust's that never starts leaves an event loop open."""

COUNT = 6
PATIENCE_S = 45.0
HERE = TP("log", 0)
ORIGIN: contextvars.ContextVar[int] = contextvars.ContextVar("origin", default=-1)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a test left open is found here, and not in another module."""
    yield
    gc.collect()


def message(offset: int, generation: int = 0) -> ConsumerMessage:
    """A message of Faust's at this offset."""
    return ConsumerMessage(
        HERE.topic, HERE.partition, offset, 0.0, 0, headers=(), key=None, value=b"", checksum=None, tp=HERE, generation_id=generation
    )


@pytest.fixture
async def alone(tmp_path: Path) -> faust.App:
    """Faust as it is, without a broker."""
    app = faust.App("pin", broker=brokers("127.0.0.1:1"), datadir=tmp_path, value_serializer="raw", topic_allow_declare=False)
    app.topics.acks_enabled_for = lambda _topic: True
    return app


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """One partition with COUNT records."""
    with EmbeddedBroker({HERE.topic: 1}) as one:
        yield one


async def filled(broker: EmbeddedBroker) -> None:
    async with Producer(broker.bootstrap) as producer:
        for number in range(COUNT):
            await producer.publish(Record(HERE.topic, b"k", b"%d" % number, (), 0), 30_000)


def stock(broker: EmbeddedBroker, folder: Path) -> faust.App:
    """Faust as it is, with the settings of ours."""
    return faust.App("pin", **settings(AppOptions(broker.bootstrap, "pin", commit_every_ms=100, datadir=str(folder))))


async def until_committed(broker: EmbeddedBroker, offset: int) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id="pin", enable_auto_commit=False)
    await consumer.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (await consumer.committed(TopicPartition(*HERE)) or 0) < offset:  # noqa: ASYNC110 (a broker tells nobody)
                await asyncio.sleep(0.1)
    finally:
        await consumer.stop()


async def test_t2_a_gap_in_the_offsets_counts_the_message_after_it_as_done(alone: faust.App) -> None:
    """Instead: floors, which do not care; and topics without gaps."""
    offsets, given = (1, 2, 5, 6), list[Any]()
    consumer = alone.consumer
    consumer.callback = lambda one: _taken(given, one)

    async def getmany(timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        for offset in offsets:
            yield HERE, message(offset)
        fetcher._stopped.set()

    fetcher = SimpleNamespace(_stopped=asyncio.Event())
    consumer.getmany = getmany
    await consumer._drain_messages(fetcher)
    floor = Floor()
    for one in given:
        floor.delivered(one.offset)
        if one.offset != 5:
            consumer.ack(one)
            floor.acked(one.offset)
    with pinned("T2 (a gap acknowledges what follows it)", "streams/consumer.py (_new_offset, by floors)"):
        assert consumer._new_offset(HERE) == 7
    assert floor.committable() == 5
    assert {topic.keep for topic in all_topics([]) if topic.name in (REQUESTS, OUTCOMES)} == {Keep.DELETE}


async def _taken(given: list[Any], one: Any) -> None:
    given.append(one)


async def test_t3_concurrent_bodies_commit_past_one_that_is_not_done(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Instead: one body, which begins and never waits (streams/worker.py)."""
    await filled(broker)
    app, never, begun = stock(broker, tmp_path), asyncio.Event(), list[bytes]()

    async def take(stream: Any) -> None:
        async for value in stream:
            begun.append(value)
            if value == b"0":
                await never.wait()

    app.agent(app.topic(HERE.topic, value_type=bytes, internal=False), name="take", concurrency=2)(take)
    async with running(app):
        with pinned("T3 (concurrency > 1 commits past what is in hand)", "streams/worker.py (agent_of, one body)"):
            await until_committed(broker, COUNT)
        assert b"0" in begun
        assert not never.is_set()
        never.set()


async def test_t10_take_acknowledges_a_whole_batch_of_which_the_first_failed(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Instead: streams/worker.py takes events one by one, and each record is acknowledged by its own effects."""
    await filled(broker)
    app, done = stock(broker, tmp_path), list[bytes]()

    async def take(stream: Any) -> None:
        async for values in stream.take(COUNT, within=0.5):
            for value in values:
                raise ValueError(f"{value!r} is not done, nor are those after it")
            done.extend(values)

    app.agent(app.topic(HERE.topic, value_type=bytes, internal=False), name="take")(take)
    async with running(app):
        with pinned("T10 (take() acknowledges batches as a whole)", "streams/worker.py (agent_of, events one by one)"):
            await until_committed(broker, COUNT)
    assert not done


async def test_t11_what_send_returned_from_is_in_no_log(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Instead: Producer.publish and the outbox, which go on when the broker has confirmed."""
    app = stock(broker, tmp_path)
    topic = app.topic(HERE.topic, value_type=bytes, internal=False)
    async with running(app):
        async with asyncio.timeout(PATIENCE_S):
            await (await topic.send(value=b"there"))
        async with Producer(broker.bootstrap, ProducerOptions(stop_timeout_ms=1_000)) as ours:
            await ours.publish(Record(HERE.topic, b"k", b"v", (), 0), 30_000)
            broker.set_down()
            try:
                with pinned("T11 (await topic.send() says nothing)", "trivium/kafka/outbox.py"):
                    async with asyncio.timeout(PATIENCE_S):
                        sent = await topic.send(value=b"nowhere")
                    assert not sent.done()
                with pytest.raises(KafkaTimeoutError):
                    await ours.publish(Record(HERE.topic, b"k", b"v", (), 0), 500)
            finally:
                broker.set_up()
            async with asyncio.timeout(PATIENCE_S):
                await sent


async def test_t20_the_consumer_has_a_thread_and_a_context_of_its_own(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Instead: a trace comes from the headers of its record (streams/spans.py)."""
    await filled(broker)
    app, seen, threads = stock(broker, tmp_path), list[int](), set[int]()

    async def take(stream: Any) -> None:
        async for _ in stream:
            seen.append(ORIGIN.get())

    app.agent(app.topic(HERE.topic, value_type=bytes, internal=False), name="take")(take)
    callback = app.consumer.callback

    async def marked(one: Any) -> None:
        ORIGIN.set(one.offset)
        await callback(one)

    app.consumer.callback = marked
    async with running(app):
        await until(lambda: len(seen) == COUNT)
        await app.consumer._thread.call_thread(_note_thread, threads)
    with pinned("T20 (contexts do not cross to the agent)", "streams/spans.py"):
        assert set(seen) == {-1}
        assert threads
        assert threading.get_ident() not in threads


async def _note_thread(threads: set[int]) -> None:
    threads.add(threading.get_ident())


@asynccontextmanager
async def stale(app: faust.App, acked: list[int]) -> AsyncIterator[None]:
    """A stream that acknowledges nothing is given a message of a generation that is over."""
    app.flow_control.resume()
    app.consumer.ack = lambda one: bool(acked.append(one.offset))
    topic = app.topic(HERE.topic, value_type=bytes, internal=False)
    stream = topic.stream().noack()
    old, current = message(1, app.consumer_generation_id - 1), message(2, app.consumer_generation_id)
    for one in (old, current):
        one.incref()
        stream.channel.queue.put_nowait(Event(app, None, one.value, None, one))
    given = aiter(stream.events())
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert (await anext(given)).message.offset == current.offset
        yield
    finally:
        await stream.stop()


async def test_t24_the_pure_python_stream_acknowledges_what_it_never_gave(alone: faust.App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead: SafeConsumer.ack, which does nothing; records_of acknowledges."""
    monkeypatch.setattr(faust_streams, "_CStreamIterator", None)
    acked: list[int] = []
    async with stale(alone, acked):
        with pinned("T24 (stale messages are acknowledged)", "streams/consumer.py (SafeConsumer.ack)"):
            assert acked == [1]


async def test_t24_the_compiled_one_does_not(alone: faust.App) -> None:
    acked: list[int] = []
    async with stale(alone, acked):
        assert acked == []


def test_t7_transactions_know_no_generation() -> None:
    """aiokafka #844: a frozen member's exactly_once transaction commits offsets that are another's. Instead: no transactions."""
    with pinned("T7 (no generation in transactions)", "trivium/kafka/frozen.py"):
        assert "generation_id" not in TxnOffsetCommitRequest_v0.SCHEMA.names
        assert list(inspect.signature(AIOKafkaProducer.send_offsets_to_transaction).parameters) == ["self", "offsets", "group_id"]


async def test_t3_t7_t8_ours_has_one_body_no_transaction_and_no_table(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    app, _ = make(Process("router", {"TRIVIUM_DATADIR": str(tmp_path)}, ProcessSettings(policy=str(policy))))
    assert [agent.concurrency for agent in app.agents.values()] == [1]
    assert not app.in_transaction
    assert not app.tables
    assert not build_app(AppOptions("127.0.0.1:1", "pin", datadir=str(tmp_path))).in_transaction


def test_a_batch_is_unpacked_whole_whatever_it_unpacks_to() -> None:
    """2 KB of zstd, in memory before a record is looked at. Instead: measured first (trivium/kafka/unpacked.py)."""
    packed = zstd_bomb(528)
    tracemalloc.start()
    try:
        records = MemoryRecords(of(ZSTD, packed)).next_batch()
        with suppress(CorruptRecordException):
            next(iter(records))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    with pinned("unpacking without a limit", "trivium/kafka/unpacked.py"):
        assert most >= MOST_UNPACKED
    assert any_too_large(of(ZSTD, packed))


def test_t15_the_worker_knows_warn_and_not_warning() -> None:
    with pinned("T15 (the level is warn)", "README.md, where faust's worker command is shown"):
        assert "WARN" in LOGLEVELS
        assert "WARNING" not in LOGLEVELS
