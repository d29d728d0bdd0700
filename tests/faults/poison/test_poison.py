"""Ten thousand malformed records and calls against a whole mesh: every process stays, every neighbour is answered.

    .venv/bin/python -m pytest tests/faults/poison -s          POISON=50000 for more, POISON_SEED for others
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from google.protobuf.message import DecodeError

from streams.inbox import read_outcome, read_request
from streams.spans import GROUP
from tests.faults.poison.calls import DOORS, calls
from tests.faults.poison.sending import Sender, Sent, plan
from tests.integration.mesh.running import RunningMesh, asking, running_mesh
from trivium import codec
from trivium.client.kafka_client import Pending
from trivium.core.errors import BadRequest
from trivium.core.outcome import TerminalKind
from trivium.core.request import Identity
from trivium.kafka import topics
from trivium.kafka.reader import Tail
from trivium.kafka.record import Delivered
from trivium.v1 import journey_pb2

COUNT = int(os.environ.get("POISON", "10000"))
CALLS = 400
SEED = int(os.environ.get("POISON_SEED", "1"))
GROUPS = {GROUP: (topics.REQUESTS, topics.OUTCOMES)} | {
    f"trivium-{tier.value}": topics.lanes(tier) for tier in topics.Tier
}
PULSE_COUNTS_S = 11


@pytest.fixture
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningMesh]:
    async with running_mesh(tmp_path_factory.mktemp("poison")) as running:
        yield running


async def test_nothing_malformed_stops_a_process_or_loses_a_neighbour(mesh: RunningMesh) -> None:
    draw, neighbours = random.Random(SEED), list[Pending]()
    ended: list[Identity] = []
    replies = Tail(mesh.local.addresses.kafka, topics.RESPONSES, lambda record: _note(ended, record), from_beginning=False)
    async with replies, Sender(mesh.local.addresses.kafka) as sender:
        assert await replies.wait_caught_up(10_000)
        before_pulses = len(batches := plan(draw, COUNT))
        for number, (topic, kind) in enumerate(batches):
            if topic == topics.PULSE and number < before_pulses:
                before_pulses = number
                await _answered(neighbours)
            sound = asking("Where is my order?", endpoint="/classify").SerializeToString() if topic == topics.REQUESTS else b""
            await sender.send(draw, topic, kind, sound)
            if number % 5 == 0 and number < before_pulses:
                neighbours.append(await mesh.kafka.publish(asking("Where is my order?", endpoint="/classify")))
        made = await _call_everything(mesh, draw)
        await _all_committed(mesh.local.addresses.kafka)
        mesh.local.check()
        letters = await _put_aside(mesh, sender.sent)
        told = await _told(sender.sent, ended)
        # A made-up pulse may say that a tier is full; it is believed for a session timeout and not longer.
        await asyncio.sleep(PULSE_COUNTS_S)
        after = await mesh.by_kafka(prompt="Where is my order now?", endpoint="/classify"), await mesh.by_grpc(prompt="Hello?", endpoint="/classify")
    assert [terminal.kind for terminal in after] == [TerminalKind.ANSWERED] * 2
    mesh.local.check()
    by_topic = Counter(one.topic for one in sender.sent)
    print(f"\nseed {SEED}: {len(sender.sent)} malformed records, {sum(made.values())} malformed calls; {letters} must be and are dead letters,")
    print(f"{told} refused with a terminal; {len(neighbours)} of {len(neighbours)} neighbours answered; 0 processes ended")
    print("records:", dict(by_topic))
    print("calls:", dict(made))
    assert len(sender.sent) + sum(made.values()) >= COUNT


def _note(ended: list[Identity], record: Delivered) -> None:
    stated = (record.header("content-type") or b"").decode("ascii", "replace")
    with suppress(BadRequest, ValueError):
        ended.append(codec.decode_terminal(record.value or b"", stated).identity)


async def _answered(neighbours: Sequence[Pending]) -> None:
    async with asyncio.timeout(120):
        terminals = [await pending for pending in neighbours]
    assert {terminal.kind for terminal in terminals} == {TerminalKind.ANSWERED}, Counter(str(t.reason) for t in terminals)


async def _call_everything(mesh: RunningMesh, draw: random.Random) -> Counter[str]:
    made: Counter[str] = Counter()
    for door in DOORS:
        made += await calls(getattr(mesh.local.addresses, door), door, draw, CALLS // len(DOORS))
    return made


async def _all_committed(kafka: str) -> None:
    """Every group has done with every record of its topics: none is stuck in front of one."""
    deadline = time.monotonic() + 180
    for group, names in GROUPS.items():
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            places = [TopicPartition(name, number) for name in names for number in range(topics.PARTITIONS)]
            while left := await _left(consumer, places):
                assert time.monotonic() < deadline, f"{group} stands before {left}"
                await asyncio.sleep(0.5)
        finally:
            await consumer.stop()


async def _left(consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    ends = await consumer.end_offsets(places)
    done = {place: await consumer.committed(place) or 0 for place in places}
    return {place: done[place] for place in places if done[place] < ends[place]}


async def _put_aside(mesh: RunningMesh, sent: Sequence[Sent]) -> int:
    """Whatever cannot be read at all is a dead letter; returns how many these are."""
    must = {f"{one.topic}/{one.partition}@{one.offset}" for one in sent if _unreadable(one)}
    async with asyncio.timeout(60):
        while missing := must - {f"{letter.topic}/{letter.partition}@{letter.offset}" for letter in mesh.letters.found.values()}:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    assert not missing
    return len(must)


def _unreadable(one: Sent) -> bool:
    found = _delivered(one)
    try:
        if one.topic == topics.REQUESTS:
            read_request(found)
        elif one.topic == topics.OUTCOMES:
            read_outcome(found)
        elif one.topic.startswith("trivium.work."):
            codec.work_from(journey_pb2.Work.FromString(found.value or b""))
    except (BadRequest, DecodeError):
        return True
    return False


async def _told(sent: Sequence[Sent], ended: Sequence[Identity]) -> int:
    """Every identity that can be read in a malformed request has a terminal, unless the tenant has a topic of its own for them."""
    known = set()
    for one in sent:
        if one.topic == topics.REQUESTS and not _unreadable(one):
            identity = read_request(_delivered(one)).identity
            known |= {identity} if identity.tenant in ("acme", "nobody") else set()
    async with asyncio.timeout(90):
        while known - set(ended):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    return len(known)


def _delivered(one: Sent) -> Delivered:
    value, headers = one.raw
    shown = tuple((name.decode("utf-8", "backslashreplace"), content or b"") for name, content in headers)
    return Delivered(one.topic, one.partition, one.offset, 0, None, value, shown)
