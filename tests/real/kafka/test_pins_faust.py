"""What is still wrong in faust-streaming 0.15, on a real Kafka, beside what ours does instead.

Each test names its trap and holds that the stock behaviour is as it was: when one fails after an upgrade, look whether the
workaround that it names can go.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

import click
import faust
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic
from faust.cli.worker import worker
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from infra.kafka.cluster import Cluster
from streams.consumer import records_of
from streams.transport import AppOptions, brokers, build_app, safe_consumer, settings
from tests.real.kafka.pins import pinned
from trivium.kafka.admin import admin
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record

COUNT = 10
PATIENCE_S = 45.0


class Place:
    """A topic of two partitions and a group, both new: `COUNT` records in the first partition."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.topic = self.group = f"pin-{uuid.uuid4().hex[:8]}"
        self.options = AppOptions(bootstrap, self.group, commit_every_ms=100, datadir=str(folder))

    async def make(self) -> None:
        async with admin(self.bootstrap) as client:
            await client.create_topics([NewTopic(self.topic, 2, 1)])
        await self.send(0, COUNT)

    async def send(self, partition: int, count: int) -> None:
        async with Producer(self.bootstrap) as producer:
            for number in range(count):
                await producer.publish(Record(self.topic, b"k", b"%d" % number, (), partition), 30_000)

    def stock(self, **changes: Any) -> faust.App:
        """Faust as it is, with the settings of ours."""
        return faust.App(self.group, **{**settings(self.options), **changes})

    async def committed(self, partition: int) -> int | None:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=self.group, enable_auto_commit=False)
        await consumer.start()
        try:
            found: int | None = await consumer.committed(TopicPartition(self.topic, partition))
        finally:
            await consumer.stop()
        return found

    async def until_committed(self, partition: int, offset: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (await self.committed(partition) or 0) < offset:
            assert time.monotonic() < deadline, f"{offset} was not committed"


@pytest.fixture
async def place(cluster: Cluster, tmp_path: Path) -> Place:
    made = Place(cluster.bootstrap, tmp_path / "faust")
    await made.make()
    return made


@asynccontextmanager
async def running(app: faust.App) -> AsyncIterator[None]:
    await app.start()
    try:
        yield
    finally:
        await app.stop()


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def collecting(app: faust.App, topic: str) -> list[Any]:
    """An agent that acknowledges nothing; the events that it was given."""
    seen: list[Any] = []

    async def take(stream: Any) -> None:
        async for event in stream.noack().events():
            seen.append(event)

    app.agent(app.topic(topic, value_type=bytes, internal=False), name="take")(take)
    return seen


async def test_t1_stock_commits_past_an_event_in_flight(place: Place) -> None:
    """Issue #606. Instead: the floors of streams/consumer.py."""
    app = place.stock()
    seen = collecting(app, place.topic)
    async with running(app):
        await until(lambda: len(seen) == COUNT)
        for event in seen[1:]:
            event.ack()
        with pinned("T1 (faust #606)", "streams/consumer.py (floors)"):
            # The first record is still in flight, and a crash now loses it.
            await place.until_committed(0, COUNT)


async def test_t1_ours_does_not(place: Place) -> None:
    app = build_app(place.options)
    seen = collecting(app, place.topic)
    async with running(app):
        await until(lambda: sum(len(event.message.batch) for event in seen) == COUNT)
        done = [done for event in seen for _, done in records_of(event)]
        for one in done[1:]:
            one()
        await place.send(1, 1)
        await until(lambda: any(event.message.tp.partition == 1 for event in seen))
        for _, one in records_of(seen[-1]):
            one()
        await place.until_committed(1, 1)
        assert not await place.committed(0)
        done[0]()
        await place.until_committed(0, COUNT)


async def test_t5_stock_forgets_what_is_done_when_partitions_are_revoked(place: Place) -> None:
    """Instead: SafeConsumer.on_partitions_revoked commits first."""
    app = place.stock(broker_commit_interval=3_600.0)
    seen = collecting(app, place.topic)
    async with running(app):
        await until(lambda: len(seen) == COUNT)
        for event in seen:
            event.ack()
        await app.consumer.on_partitions_revoked({TP(place.topic, 0), TP(place.topic, 1)})
        with pinned("T5 (acknowledgements are forgotten on a revocation)", "streams/consumer.py (on_partitions_revoked)"):
            assert not await place.committed(0)


async def test_t5_ours_commits_it(place: Place) -> None:
    app = build_app(AppOptions(place.bootstrap, place.group, commit_every_ms=3_600_000, datadir=place.options.datadir))
    seen = collecting(app, place.topic)
    async with running(app):
        await until(lambda: sum(len(event.message.batch) for event in seen) == COUNT)
        for event in seen:
            for _, done in records_of(event):
                done()
        await safe_consumer(app).on_partitions_revoked({TP(place.topic, 0), TP(place.topic, 1)})
        assert await place.committed(0) == COUNT


async def test_t4_a_body_that_raises_skips_its_record(place: Place) -> None:
    """Instead: Router.take never raises, and a process whose agent ended leaves (streams/worker.py)."""
    app = place.stock()
    done: list[bytes] = []

    async def take(stream: Any) -> None:
        async for value in stream:
            if value == b"0":
                raise ValueError("the first record is not done")
            done.append(value)

    app.agent(app.topic(place.topic, value_type=bytes, internal=False), name="take")(take)
    with pinned("T4 (a body that raises skips its record)", "streams/worker.py (agent_of)"):
        async with running(app):
            await place.until_committed(0, 1)
        assert b"0" not in done


async def test_the_compiled_stream_captures_the_set_of_unacked_messages(place: Place) -> None:
    """T9 too. Instead: SafeConsumer puts its own object there in __init__, before any stream begins."""
    app, tracked, late = place.stock(), list[Any](), set[Any]()
    seen = collecting(app, place.topic)
    async with running(app):
        with pinned("T9 (unacknowledged messages are held weakly)", "streams/consumer.py (Nothing)"):
            assert isinstance(app.consumer._unacked_messages, WeakSet)
        app.consumer.track_message = tracked.append
        app.consumer._unacked_messages = late
        await place.send(1, COUNT)
        await until(lambda: len(seen) == 2 * COUNT)
    with pinned("the captured set of unacknowledged messages", "streams/consumer.py (Nothing, made in __init__)"):
        assert not late
        assert not tracked


async def test_a_fetch_waits_for_1500_ms_whatever_is_set(place: Place) -> None:
    """Instead: SafeConsumerThread._create_worker_consumer."""
    app = place.stock()
    seen = collecting(app, place.topic)
    async with running(app):
        await until(lambda: len(seen) == COUNT)
        thread = app.consumer._thread
        assert isinstance(thread, AIOKafkaConsumerThread)
        with pinned("the hard-coded wait of fetches", "streams/consumer.py (_create_worker_consumer)"):
            assert thread._consumer._fetch_max_wait_ms == 1_500


def test_t6_t12_t22_defaults_that_ours_replace(tmp_path: Path) -> None:
    """Instead: streams/transport.py and trivium/kafka/producer.py."""
    app = faust.App("pin", broker=brokers("127.0.0.1:1"), datadir=tmp_path)
    with pinned("T6, T12 or T22 (a default)", "streams/transport.py or trivium/kafka/producer.py"):
        assert app.conf.stream_wait_empty is True
        assert app.conf.broker_session_timeout >= 60
        assert "enable_idempotence" not in app.producer._settings_default()


def test_t14_the_worker_turns_the_web_server_on_by_itself() -> None:
    """Instead: `faust -A streams.app worker --without-web` in the documentation, and `python -m streams`."""
    found = [option for option in _options() if "--with-web" in option.opts]
    with pinned("T14 (the web server turns itself on)", "README.md, where faust's worker command is shown"):
        assert [option.default for option in found] == [True]


def _options() -> list[Any]:
    made: list[Any] = []
    for decorate in worker.worker_options:
        decorated = decorate(lambda: None)
        made += [one for one in decorated.__click_params__ if isinstance(one, click.Option)]
    return made
