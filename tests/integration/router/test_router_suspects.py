"""A router takes over what routers died over: in portions that are named before, so that a backlog is no reason to be slow."""

import json
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from streams.consumer_thread import SafeConsumerThread
from streams.spans import GROUP
from trivium.codec import decode_terminal
from trivium.core.request import Identity
from trivium.kafka.suspects import PORTION, Note, read
from trivium.kafka.topics import REQUESTS, RESPONSES

WAITING = 400


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[Note]:
    """What a router wrote beside the offsets of requests."""
    written: list[Note] = []
    write = SafeConsumerThread.write_notes

    async def noting(self: SafeConsumerThread, partitions: Iterable[TP]) -> None:
        names = [tp for tp in partitions if tp.topic == REQUESTS]
        written.extend(read(self.consumer.note(tp, self._stood[tp])) for tp in names)  # type: ignore[attr-defined]
        await write(self, list(partitions))

    monkeypatch.setattr(SafeConsumerThread, "write_notes", noting)
    return written


async def waiting_after(world: Any, note: str) -> list[Identity]:
    """Requests that wait in one partition, and what dead routers left beside its offset."""
    asked = [Identity("acme", f"r{number}") for number in range(WAITING)]
    async with AIOKafkaProducer(bootstrap_servers=world.broker.bootstrap, linger_ms=500, max_batch_size=1_000_000) as producer:
        # In one batch: the embedded broker gives one a fetch.
        for one in asked:
            body = {"tenant": one.tenant, "id": one.id, "endpoint": "/draft", "prompt": "hello", "timeout_ms": 120_000}
            await producer.send(REQUESTS, json.dumps(body).encode(), one.key.encode(), 1)
    consumer = AIOKafkaConsumer(bootstrap_servers=world.broker.bootstrap, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        place = TopicPartition(REQUESTS, 1)
        consumer.assign([place])
        await consumer.commit({place: OffsetAndMetadata(0, note)})
    finally:
        await consumer.stop()
    return asked


@pytest.mark.parametrize(("note", "singly"), [
    (f"trivium starts=1 until={WAITING}", range(0)),
    (f"trivium starts=2 until={WAITING}", range(0)),
    (f"trivium starts=2 until={WAITING} from=100 to=110", range(100, 110)),
])  # fmt: skip
async def test_what_waits_is_named_in_portions_and_singly_where_a_router_died(
    world: Any, notes: list[Note], note: str, singly: range
) -> None:
    asked = await waiting_after(world, note)
    began = time.monotonic()
    async with world.router():
        await world.until(lambda: len(world.seen.get(RESPONSES, ())) >= WAITING, "an answer for each")
    print(f"{WAITING} waiting requests answered {time.monotonic() - began:.1f} s after a start, {len(notes)} notes")
    ended = Counter(decode_terminal(reply.value, "application/json").identity for reply in world.seen[RESPONSES])
    assert ended == Counter(asked)
    named = [one for one in notes if one.at >= 0]
    assert [one.at for one in named if not one.to] == list(singly)
    assert WAITING // PORTION <= len(named) <= WAITING // PORTION + 2 + len(singly)
    assert world.letters() == []


async def test_a_router_that_dies_again_leaves_the_name_of_its_portion(world: Any, notes: list[Note]) -> None:
    await waiting_after(world, f"trivium starts=1 until={WAITING}")
    async with world.router():
        await world.until(lambda: bool(world.work()), "work")
        first = next(one for one in notes if one.at >= 0)
    assert (first.starts, first.at, first.to) == (2, 0, PORTION)
