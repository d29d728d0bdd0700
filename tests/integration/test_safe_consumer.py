"""The safe Faust consumer: acknowledgements out of order, and a stop and a start that lose nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from infra.broker import EmbeddedBroker
from streams.consumer import records_of
from streams.transport import AppOptions, build_app, safe_consumer
from trivium.kafka.outbox import Outbox
from trivium.kafka.producer import Producer
from trivium.kafka.record import Delivered, Record

PARTITIONS = 3
HEARTBEAT = 12
REBALANCE_IN_PROGRESS = 27


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    with EmbeddedBroker({"in": PARTITIONS, "out": PARTITIONS}) as running:
        yield running


def options(broker: EmbeddedBroker, **changes: Any) -> AppOptions:
    quick = {"session_timeout_ms": 1_500, "heartbeat_ms": 300, "commit_every_ms": 20}
    return AppOptions(broker.bootstrap, "router", **{**quick, **changes})


async def fill(broker: EmbeddedBroker, count: int) -> None:
    async with Producer(broker.bootstrap) as producer, Outbox(producer, lambda record, error: []) as outbox:
        for number in range(count):
            record = Record("in", b"k", b"%d" % number, (("n", b"%d" % number),), number % PARTITIONS)
            outbox.put([[record]], lambda: None)
        assert await outbox.drain(10_000)


async def committed(broker: EmbeddedBroker) -> list[int]:
    """The committed offset of each partition; 0 for none."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id="router", enable_auto_commit=False)
    await consumer.start()
    try:
        return [await consumer.committed(TopicPartition("in", part)) or 0 for part in range(PARTITIONS)]
    finally:
        await consumer.stop()


@dataclass(frozen=True)
class Given:
    """One record that an app was given."""

    record: Delivered
    ack: Callable[[], None]


class Seen:
    """The events that an app was given."""

    def __init__(self) -> None:
        self.events: list[Given] = []
        self.changed = asyncio.Event()

    def __call__(self, event: Given) -> None:
        self.events.append(event)
        self.changed.set()

    def numbers(self) -> list[int]:
        return [int(event.record.value or b"") for event in self.events]

    def offsets(self, partition: int) -> list[int]:
        return [event.record.offset for event in self.events if event.record.partition == partition]

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(90):
            while not enough():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def running(chosen: AppOptions, on_event: Callable[[Given], None]) -> AsyncIterator[faust.App]:
    app = build_app(chosen)

    @app.agent(app.topic("in", key_type=bytes, value_type=bytes))
    async def handle(stream: Any) -> None:
        async for event in stream.noack().events():
            for record, done in records_of(event):
                on_event(Given(record, done))

    async with asyncio.timeout(90):
        await app.start()
    try:
        yield app
    finally:
        async with asyncio.timeout(90):
            await app.stop()


async def test_acks_out_of_order_never_let_a_commit_pass_an_open_event(broker: EmbeddedBroker) -> None:
    await fill(broker, 60)
    seen = Seen()
    async with running(options(broker), seen) as app:
        await seen.until(lambda: len(seen.events) == 60)
        left_open = {(0, 4), (1, 0), (2, 19)}
        for event in reversed(seen.events):
            if (event.record.partition, event.record.offset) not in left_open:
                event.ack()
        consumer = safe_consumer(app)
        assert consumer.open_count == 3
        assert consumer.behind() == 3
        assert await consumer.ask_behind() == 16 + 20 + 1
        await consumer.commit()
        assert await committed(broker) == [4, 0, 19]


async def test_who_asks_what_waits_takes_nothing_over(broker: EmbeddedBroker) -> None:
    """The watchdog asks every few seconds, also while a slow fold holds back the first record: that is no start of the router."""
    await fill(broker, 60)
    app = build_app(options(broker))
    seen, notes = Seen(), []

    @app.agent(app.topic("in", key_type=bytes, value_type=bytes))
    async def handle(stream: Any) -> None:
        async for event in stream.noack().events():
            for record, done in records_of(event):
                seen(Given(record, done))

    @app.on_rebalance_complete.connect
    async def fold(*_: Any, **__: Any) -> None:
        consumer = safe_consumer(app)
        await consumer.start_offsets()
        for _look in range(4):
            assert await consumer.ask_behind() == 60
        notes.append([consumer.note(TP("in", part), 0) for part in range(PARTITIONS)])

    await app.start()
    try:
        await seen.until(lambda: len(seen.events) == 60)
    finally:
        await app.stop()
    assert notes == [["trivium starts=1 until=20"] * PARTITIONS]


async def test_a_stop_and_a_start_give_open_events_again_and_lose_none(broker: EmbeddedBroker) -> None:
    await fill(broker, 60)
    first, again = Seen(), Seen()
    async with running(options(broker), first):
        await first.until(lambda: len(first.events) == 60)
        for event in first.events:
            if event.record.offset != 7:
                event.ack()
    assert await committed(broker) == [7, 7, 7]
    async with running(options(broker), again):
        await again.until(lambda: len(again.events) == 39)
        for event in again.events:
            event.ack()
    assert [again.offsets(part) for part in range(PARTITIONS)] == [list(range(7, 20))] * PARTITIONS
    assert await committed(broker) == [20, 20, 20]


async def test_what_was_acknowledged_but_not_committed_yet_is_committed_at_the_stop(broker: EmbeddedBroker) -> None:
    await fill(broker, 9)
    seen = Seen()
    async with running(options(broker, commit_every_ms=60_000), seen):
        await seen.until(lambda: len(seen.events) == 9)
        for event in seen.events:
            event.ack()
    assert await committed(broker) == [3, 3, 3]


async def test_an_event_is_acknowledged_once(broker: EmbeddedBroker) -> None:
    await fill(broker, 3)
    seen = Seen()
    async with running(options(broker), seen) as app:
        await seen.until(lambda: len(seen.events) == 3)
        for event in seen.events * 2:
            event.ack()
        assert safe_consumer(app).acks_total == 3


async def test_a_small_buffer_holds_back_and_loses_nothing(broker: EmbeddedBroker) -> None:
    await fill(broker, 900)
    seen, release = Seen(), asyncio.Event()
    app = build_app(options(broker, buffer=50, max_poll_records=20))

    @app.agent(app.topic("in", key_type=bytes, value_type=bytes))
    async def handle(stream: Any) -> None:
        async for event in stream.noack().events():
            await release.wait()
            for record, done in records_of(event):
                seen(Given(record, done))
                done()

    await app.start()
    try:
        release.set()
        await seen.until(lambda: len(seen.events) == 900)
        assert sorted(seen.numbers()) == list(range(900))
    finally:
        await app.stop()
    assert await committed(broker) == [300, 300, 300]


async def test_effects_are_in_the_log_before_their_cause_is_committed(broker: EmbeddedBroker) -> None:
    await fill(broker, 300)
    ahead: list[tuple[list[int], list[int]]] = []
    async with Producer(broker.bootstrap) as producer, Outbox(producer, lambda record, error: []) as outbox:
        seen = Seen()

        def relay(event: Given) -> None:
            message = event.record
            outbox.put([[Record("out", message.key, message.value, (), message.partition)]], partial(done, event))

        def done(event: Given) -> None:
            event.ack()
            seen(event)

        async with running(options(broker), relay):
            for enough in (100, 200, 300):
                await seen.until(lambda enough=enough: len(seen.events) >= enough)  # type: ignore[misc]
                commits = await committed(broker)
                ahead.append((commits, await ends(broker, "out")))
    ahead.append((await committed(broker), await ends(broker, "out")))
    assert all(commit <= end for commits, ends_ in ahead for commit, end in zip(commits, ends_, strict=True))
    assert ahead[-1] == ([100] * 3, [100] * 3)


async def ends(broker: EmbeddedBroker, topic: str) -> list[int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap)
    await consumer.start()
    try:
        found = await consumer.end_offsets([TopicPartition(topic, part) for part in range(PARTITIONS)])
        return [found[TopicPartition(topic, part)] for part in range(PARTITIONS)]
    finally:
        await consumer.stop()


async def test_a_rebalance_gives_open_events_again_and_commits_what_was_done(broker: EmbeddedBroker) -> None:
    await fill(broker, 30)
    seen = Seen()
    async with running(options(broker, commit_every_ms=60_000), seen) as app:
        await seen.until(lambda: len(seen.events) == 30)
        before = list(seen.events)
        for event in before:
            if event.record.offset not in (4, 8):
                event.ack()
        broker.fail_requests(HEARTBEAT, [REBALANCE_IN_PROGRESS])
        await seen.until(lambda: len(seen.events) == 30 + 3 * 6)
        assert await committed(broker) == [4, 4, 4]
        again = seen.events[30:]
        assert sorted(event.record.offset for event in again) == sorted([4, 5, 6, 7, 8, 9] * 3)
        # An acknowledgement of the first delivery counts: its effects are in the log.
        for event in before:
            event.ack()
        for event in again:
            if event.record.offset != 8:
                event.ack()
        await safe_consumer(app).commit()
        assert await committed(broker) == [10, 10, 10]


async def test_memory_can_be_folded_before_the_first_event_comes(broker: EmbeddedBroker) -> None:
    await fill(broker, 30)
    order: list[str] = []
    starts: list[dict[Any, int]] = []
    app = build_app(options(broker))
    seen = Seen()

    @app.agent(app.topic("in", key_type=bytes, value_type=bytes))
    async def handle(stream: Any) -> None:
        async for event in stream.noack().events():
            order.append("event")
            for record, done in records_of(event):
                seen(Given(record, done))

    @app.on_rebalance_complete.connect
    async def fold(*_: Any, **__: Any) -> None:
        starts.append(dict(await safe_consumer(app).start_offsets()))
        await asyncio.sleep(0.05)
        order.append("folded")

    await app.start()
    try:
        await seen.until(lambda: len(seen.events) == 30)
    finally:
        await app.stop()
    assert order[0] == "folded"
    assert starts[0] == {("in", part): 0 for part in range(PARTITIONS)}
