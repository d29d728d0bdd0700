"""A record that kills every router which looks at it: found after three deaths, put aside as bytes, its neighbours answered."""

import asyncio
import signal
from pathlib import Path

from infra.part import Part, RunningPart
from tests.integration.router.conftest import World, world
from trivium.core.outcome import TerminalKind
from trivium.core.partition import home
from trivium.core.request import Identity
from trivium.kafka.frozen import STATUS
from trivium.kafka.record import Record
from trivium.kafka.suspects import DEAD_AFTER
from trivium.kafka.topics import REQUESTS

__all__ = ["world"]

PARTITIONS = 4
KILLER = b"\x0a\x04acme KILLER: not even protobuf"
PATIENT_MS = 240_000
MOST_DEATHS = 2 * (DEAD_AFTER + 2)


def be_patient(policy: Path) -> None:
    """No attempt may be overdue only because this machine is slow to start routers."""
    policy.write_text(policy.read_text().replace("attempt_cap_ms: 5_000", "attempt_cap_ms: 120_000"))


async def started(world: World, folder: Path) -> RunningPart:
    """A router process; it may be dead before it is ready."""
    environ = {**world.environ, "TRIVIUM_INSTANCE": "", "TRIVIUM_WATCHDOG_MS": "120000", "TRIVIUM_SESSION_TIMEOUT_MS": "4000"}
    return await RunningPart.start(Part("router", "tests.faults.poison.deadly", (), environ), folder)


async def until_dead_or(world: World, router: RunningPart, letters: int) -> bool:
    """True when it killed itself; False when so many dead letters came first."""
    died = asyncio.create_task(router.process.wait(), name="died")
    told = asyncio.create_task(world.letter(letters), name="told")
    try:
        async with asyncio.timeout(90):
            while not died.done():
                if told.done() and told.exception() is None:
                    return False
                if told.done():
                    told = asyncio.create_task(world.letter(letters), name="told")
                await asyncio.wait((died, told), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (died, told):
            task.cancel()
        await asyncio.gather(died, told, return_exceptions=True)
    # Or it was left without time by a busy machine, and noticed.
    assert router.process.returncode in (-signal.SIGKILL, STATUS), router.failure()
    return True


async def test_a_record_that_kills_three_times_goes_aside_and_its_neighbours_are_answered(world: World, tmp_path: Path) -> None:
    be_patient(Path(world.environ["TRIVIUM_POLICY"]))
    here = home("acme/r0", PARTITIONS)
    before = [await world.ask(f"before {number}", timeout_ms=PATIENT_MS) for number in range(6)]
    await world.send(Record(REQUESTS, b"acme/x", KILLER, (("content-type", b"application/protobuf"),), here))
    after = [await world.ask(f"after {number}", timeout_ms=PATIENT_MS) for number in range(6)]
    deaths = 0
    for _ in range(2 * MOST_DEATHS):
        router = await started(world, tmp_path)
        if not await until_dead_or(world, router, 1):
            break
        deaths += router.process.returncode == -signal.SIGKILL
        await router.stop()
        assert deaths <= MOST_DEATHS, router.log.read_text()[-3_000:]
    letter = await world.letter()
    assert (letter.topic, letter.partition, letter.value) == (REQUESTS, here, KILLER)
    assert "in hand when its process died" in letter.reason.message
    for identity in before + after:
        terminal = await world.terminal(identity)
        assert terminal.kind is TerminalKind.ANSWERED, terminal
    # And nobody dies of it when the log is folded again.
    router.process.kill()
    await router.process.wait()
    router = await started(world, tmp_path)
    late: Identity = await world.ask("late")
    assert (await world.terminal(late)).kind is TerminalKind.ANSWERED
    assert router.process.returncode is None
    await router.stop()
    # One that was killed before its commit says it again; it is the same letter.
    assert {one.id for one in world.letters()} == {letter.id}
    print(f"\n{deaths} routers died of one record; then it was put aside, {len(before + after)} of {len(before + after)} neighbours answered")
    assert deaths >= DEAD_AFTER
