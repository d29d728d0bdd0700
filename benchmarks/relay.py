"""The yardstick: how many events a second one process can read and write at all.

`bare` is a relay as one writes it with aiokafka: `async for` over the records, send each on, note each confirmation; no
floor, no commits. `batched` is the least that can be done: batches read by `getmany`, nothing noted. The clock of both
runs from before the first fetch is asked for until the last record is confirmed; what is learnt once (connections, where
the partitions are) is learnt before. `safe` is the same relay on the router's own footing (Faust with the safe consumer, the
outbox, a commit floor), without any decision: what it costs to lose nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.consumer import records_of
from streams.transport import AppOptions, build_app
from trivium.kafka.outbox import Outbox
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record

PATIENCE_S = 60


Relay = Callable[[AIOKafkaConsumer, AIOKafkaProducer, str, int], Awaitable[None]]


async def bare(bootstrap: str, source: str, sink: str, events: int) -> float:
    """Events a second of a bare aiokafka relay, record by record, over the first `events` records of `source`."""
    return await _timed(bootstrap, source, sink, events, _one_by_one)


async def batched(bootstrap: str, source: str, sink: str, events: int) -> float:
    """Events a second of the same relay by batches, confirmed as a whole at the end."""
    return await _timed(bootstrap, source, sink, events, _by_batches)


async def _timed(bootstrap: str, source: str, sink: str, events: int, relay: Relay) -> float:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False, fetch_max_wait_ms=10
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_batch_size=131_072
    )
    await producer.start()
    await consumer.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            partitions = [TopicPartition(source, number) for number in await producer.partitions_for(source)]
            await producer.partitions_for(sink)
            began = time.perf_counter()
            # Fetching starts here: it must not run ahead of the clock.
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            await relay(consumer, producer, sink, events)
            await producer.flush()
            return events / (time.perf_counter() - began)
    finally:
        await consumer.stop()
        await producer.stop()


async def _one_by_one(consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, sink: str, events: int) -> None:
    done, unconfirmed = 0, set[tuple[int, int]]()
    async for record in consumer:
        place = (record.partition, record.offset)
        unconfirmed.add(place)
        sent = await producer.send(sink, record.value, record.key, record.partition)
        sent.add_done_callback(partial(_confirmed, unconfirmed, place))
        done += 1
        if done == events:
            return


def _confirmed(unconfirmed: set[tuple[int, int]], place: tuple[int, int], _sent: object) -> None:
    unconfirmed.discard(place)


async def _by_batches(consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, sink: str, events: int) -> None:
    done = 0
    while done < events:
        for records in (await consumer.getmany(timeout_ms=1_000, max_records=500)).values():
            for record in records:
                await producer.send(sink, record.value, record.key, record.partition)
            done += len(records)


class Stopwatch:
    """Counts events from the first to the last."""

    def __init__(self, events: int) -> None:
        self.finished = asyncio.Event()
        self._events = events
        self._done = 0
        self._began = 0.0
        self._ended = 0.0

    def begin(self) -> None:
        """Events came."""
        self._began = self._began or time.perf_counter()

    def end(self) -> None:
        """An event is done."""
        self._done += 1
        if self._done == self._events:
            self._ended = time.perf_counter()
            self.finished.set()

    @property
    def per_s(self) -> float:
        """Events a second; only once finished."""
        return self._events / (self._ended - self._began)


async def safe(bootstrap: str, source: str, sink: str, events: int, group: str) -> float:
    """Events a second of the same relay on the safe consumer and the outbox."""
    watch = Stopwatch(events)

    def finish(done: Callable[[], None]) -> None:
        done()
        watch.end()

    app = build_app(AppOptions(bootstrap, group))
    async with Producer(bootstrap) as producer, Outbox(producer, lambda record, error: ()) as outbox:

        @app.agent(app.topic(source, key_type=bytes, value_type=bytes))
        async def relay(stream: Any) -> None:
            async for event in stream.noack().events():
                watch.begin()
                for record, done in records_of(event):
                    forward = Record(sink, record.key, record.value, (), record.partition)
                    outbox.put([[forward]], partial(finish, done))

        await app.start()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await watch.finished.wait()
        finally:
            await app.stop()
    return watch.per_s
