"""A tier takes over partitions over which workers died: one record at a time, and nobody but the killer is blamed."""

import asyncio
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from tests.integration.test_tier_worker import SMALL, Mesh, Parrot, mesh, record, work, worker
from trivium.core.outcome import Outcome
from trivium.core.policy import OnAmbiguous, Tier
from trivium.core.slip import Work
from trivium.kafka import topics
from trivium.kafka.group import GroupConsumer
from trivium.kafka.record import Record
from trivium.kafka.suspects import NOBODY
from trivium.ports import Emit, emit_nothing

__all__ = ["mesh"]

PARTITION = TopicPartition(topics.work(Tier.CLOUD), 1)
COUNT = 12


class Watching(Parrot):
    """A generator that sees who is named while it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.member: GroupConsumer | None = None
        self.named: list[int] = []

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        assert self.member is not None
        self.named += [lane.note.at for lane in self.member._lanes.values() if lane.note.at != NOBODY]
        return await super().answer(work, emit)


async def left(mesh: Mesh, note: str) -> None:
    """What members that died leave beside the committed offset."""
    async with group(mesh) as consumer:
        await consumer.commit({PARTITION: OffsetAndMetadata(0, note)})


async def beside(mesh: Mesh) -> OffsetAndMetadata:
    async with group(mesh) as consumer:
        found: OffsetAndMetadata = (await consumer._coordinator.fetch_committed_offsets([PARTITION]))[PARTITION]
        return found


class group:
    """A consumer that may commit for the tier's group."""

    def __init__(self, mesh: Mesh) -> None:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=mesh.broker.bootstrap, group_id="trivium-cloud", enable_auto_commit=False)

    async def __aenter__(self) -> AIOKafkaConsumer:
        await self._consumer.start()
        self._consumer.assign([PARTITION])
        return self._consumer

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()


def asked(number: int, on_ambiguous: OnAmbiguous = OnAmbiguous.RETRY) -> Record:
    return replace(record(work(f"r{number}", target=replace(SMALL, on_ambiguous=on_ambiguous))), key=f"acme/r{number}".encode())


@pytest.mark.parametrize("on_ambiguous", list(OnAmbiguous))
async def test_suspects_are_read_one_by_one_and_nobody_is_named_while_one_is_called(mesh: Mesh, on_ambiguous: OnAmbiguous) -> None:
    """More of them than may be started before their calls."""
    parrot = Watching()
    for number in range(COUNT):
        await mesh.publish(asked(number, on_ambiguous))
    await left(mesh, f"trivium starts=2 until={COUNT}")
    async with worker(mesh, parrot, slots=2) as running:
        parrot.member = running._consumer
        found = await mesh.outcomes(COUNT)
        await mesh.attempts(2 * COUNT)
    assert parrot.named == []
    assert sorted(parrot.calls) == sorted(outcome.outcome.identity.id for _, outcome in found) == sorted(f"r{n}" for n in range(COUNT))
    standing = await beside(mesh)
    assert (standing.offset, standing.metadata) == (COUNT, "")


async def test_a_record_that_was_in_hand_when_three_died_is_put_aside_as_bytes(mesh: Mesh) -> None:
    parrot, killer = Parrot(), 2
    published = [asked(number) for number in range(COUNT)]
    for one in published:
        await mesh.publish(one)
    await left(mesh, f"trivium starts=3 until={COUNT} at={killer}")
    async with worker(mesh, parrot):
        found = await mesh.outcomes(COUNT - 1)
        [dead] = await mesh.dead(1)
        await mesh.attempts(2 * (COUNT - 1))
    assert {outcome.outcome.identity.id for _, outcome in found} == {f"r{n}" for n in range(COUNT) if n != killer}
    assert (dead.reason.code, dead.offset, dead.value) == ("started_too_often", killer, published[killer].value)
    assert (dead.identity.tenant, dead.identity.id) == ("acme", f"r{killer}")
    standing = await beside(mesh)
    assert (standing.offset, standing.metadata) == (COUNT, f"trivium out={killer}")


async def test_who_lives_to_see_its_partitions_go_was_killed_by_nobody(mesh: Mesh) -> None:
    """And who died before still counts."""
    for number in range(COUNT):
        await mesh.publish(asked(number))
    await left(mesh, f"trivium starts=1 until={COUNT}")
    for begun in (1, 5):
        async with worker(mesh, Parrot(asyncio.Event()), slots=1, drain_ms=0):
            await mesh.attempts(begun)
        standing = await beside(mesh)
        assert (standing.offset, standing.metadata) == (0, f"trivium starts=1 until={COUNT}")
