"""Work that kills every tier process: one record while it is read, another in its call, among neighbours that are all answered once."""

import asyncio
import signal
from pathlib import Path

from infra.part import Part, RunningPart
from tests.integration.test_tier_worker import PARTITIONS, Mesh, mesh, record, work
from trivium.core.request import Identity
from trivium.kafka.frozen import STATUS
from trivium.kafka.record import Record
from trivium.kafka.suspects import DEAD_AFTER
from trivium.tier.meter import now_ms
from trivium.tier.records import MAX_STARTS

__all__ = ["mesh"]

BEFORE, AFTER = 8, 8
MOST_DEATHS = 4 * (DEAD_AFTER + MAX_STARTS)
LONG_MS = 3_600_000


def asked(name: str) -> Record:
    message = work(name, deadline_ms=now_ms() + LONG_MS)
    made = record(message)
    return Record(made.topic, Identity("acme", name).key.encode(), made.value, made.headers, made.partition)


async def until_dead_or(mesh: Mesh, tier: RunningPart, outcomes: int, letters: int) -> bool:
    """True when it killed itself; False when everything is there."""
    died = asyncio.create_task(tier.process.wait(), name="died")

    async def all_there() -> None:
        for seen, count in ((mesh.seen["trivium.outcomes"], outcomes), (mesh.seen["trivium.deadletter"], letters)):
            while len(seen.records) < count:  # noqa: ASYNC110 (two topics at once)
                await asyncio.sleep(0.1)

    there = asyncio.create_task(all_there(), name="there")
    try:
        async with asyncio.timeout(120):
            await asyncio.wait((died, there), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (died, there):
            task.cancel()
        await asyncio.gather(died, there, return_exceptions=True)
    if tier.process.returncode is not None:
        # Or it was left without time by a busy machine, and noticed.
        assert tier.process.returncode in (-signal.SIGKILL, STATUS), tier.failure()
    return tier.process.returncode is not None


async def test_work_that_kills_goes_aside_and_its_neighbours_are_answered(mesh: Mesh, tmp_path: Path) -> None:
    innocent = [f"before-{n}" for n in range(BEFORE)] + [f"after-{n}" for n in range(AFTER)]
    for name in (*innocent[:BEFORE], "DEADLY", "next-to-it", "KILLER", *innocent[BEFORE:]):
        await mesh.publish(asked(name))
    innocent.append("next-to-it")
    environ = {
        "TRIVIUM_KAFKA": mesh.broker.bootstrap, "TRIVIUM_PARTITIONS": str(PARTITIONS),
        "TRIVIUM_SESSION_TIMEOUT_MS": "4000", "TRIVIUM_HEARTBEAT_MS": "300", "TRIVIUM_SLOTS": "2",
    }  # fmt: skip
    deaths = 0
    for _ in range(2 * MOST_DEATHS):
        tier = await RunningPart.start(Part("tier", "tests.faults.poison.deadly_tier", (), environ), tmp_path)
        if not await until_dead_or(mesh, tier, len(innocent) + 1, 2):
            break
        deaths += tier.process.returncode == -signal.SIGKILL
        await tier.stop()
        assert deaths <= MOST_DEATHS, tier.log.read_text()[-3_000:]
    await tier.stop()
    outcomes = [outcome.outcome for _, outcome in await mesh.outcomes(len(innocent) + 1)]
    faults = {outcome.identity.id: outcome.fault.kind for outcome in outcomes}
    assert faults == dict.fromkeys(innocent, "") | {"DEADLY": "started_too_often"}
    letters = await mesh.dead(2)
    assert {letter.identity.id for letter in letters} == {"KILLER", "DEADLY"}
    assert {letter.reason.code for letter in letters} == {"started_too_often"}
    print(f"\n{deaths} tiers died of two records; then both were put aside, {len(innocent)} of {len(innocent)} neighbours answered")
    assert deaths >= DEAD_AFTER + 1
