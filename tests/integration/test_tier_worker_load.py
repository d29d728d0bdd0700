"""A tier's worker that leaves, and one that has more than it can do."""

import asyncio
from dataclasses import replace

from tests.integration.test_tier_worker import Mesh, Parrot, mesh, record, work, worker
from trivium.core.outcome import Outcome
from trivium.core.request import Priority
from trivium.core.slip import Work
from trivium.ports import Emit, emit_nothing
from trivium.tier.meter import now_ms

__all__ = ["mesh"]


async def test_what_is_in_hand_is_finished_before_leaving(mesh: Mesh) -> None:
    gate, parrot = asyncio.Event(), Parrot()
    parrot.wait = gate
    await mesh.publish(record(work("one")))
    async with worker(mesh, parrot):
        await mesh.attempts(1)
        asyncio.get_running_loop().call_later(0.2, gate.set)
    assert len(await mesh.outcomes(1)) == 1
    assert [attempt.state for attempt in await mesh.attempts(2)] == ["started", "settled"]


async def test_what_could_not_be_finished_is_done_by_the_next_one(mesh: Mesh) -> None:
    first, second = Parrot(wait=asyncio.Event()), Parrot()
    await mesh.publish(record(work("one", deadline_ms=now_ms() + 30_000)))
    async with worker(mesh, first, drain_ms=100):
        await mesh.attempts(1)
    async with worker(mesh, second):
        [(_, outcome)] = await mesh.outcomes(1)
        attempts = await mesh.attempts(3)
    assert outcome.outcome.answer.text == "Is one there?"
    assert [(a.state, a.execution) for a in attempts] == [("started", 1), ("started", 2), ("settled", 2)]


async def test_a_worker_that_leaves_finishes_what_it_started_and_nothing_is_redone(mesh: Mesh) -> None:
    gate, first, second = asyncio.Event(), Parrot(), Parrot()
    first.wait = gate
    for number in range(9):
        await mesh.publish(record(work(f"r{number}")))
    async with worker(mesh, first, slots=1) as leaving:
        async with asyncio.timeout(90):
            while leaving.in_hand < 9 or not first.calls:  # noqa: ASYNC110 (a worker tells nobody)
                await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.1, gate.set)
    assert leaving.in_hand == 0
    async with worker(mesh, second, slots=1):
        found = await mesh.outcomes(9)
        attempts = await mesh.attempts(18)
    assert sorted(first.calls + second.calls) == [f"r{number}" for number in range(9)]
    assert second.calls, "what only waited was left to it"
    assert [attempt.execution for attempt in attempts] == [1] * 18
    assert len({outcome.outcome.identity.id for _, outcome in found}) == 9


class Learnt(Parrot):
    """Takes 200 ms, then waits for its gate."""

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        if not self.calls:
            outcome = await super().answer(work, emit)
            return replace(outcome, ended_ms=outcome.started_ms + 200)
        self.wait = self.gate
        return await super().answer(work, emit)

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()


async def test_what_cannot_make_its_deadline_is_turned_away_at_once_and_urgent_work_overtakes(mesh: Mesh) -> None:
    learnt = Learnt()
    await mesh.publish(record(work("first")))
    async with worker(mesh, learnt, slots=1) as running:
        await mesh.outcomes(1)
        for number in range(7):
            await mesh.publish(record(work(f"r{number}")))
        await mesh.publish(record(work("soon", deadline_ms=now_ms() + 1_000)))
        await mesh.publish(record(work("urgent", priority=Priority.INTERACTIVE)))
        (_, turned) = (await mesh.outcomes(2))[-1]
        async with asyncio.timeout(90):
            while running.in_hand < 8:  # noqa: ASYNC110 (a worker tells nobody)
                await asyncio.sleep(0.01)
        learnt.gate.set()
        await mesh.outcomes(10)
    fault = turned.outcome.fault
    assert (turned.outcome.identity.id, fault.kind) == ("soon", "overloaded")
    assert "6 are before it: a wait of about 1200 ms is more than" in fault.message
    assert fault.retry_after_ms == 1_200
    assert "soon" not in learnt.calls
    assert learnt.calls.index("urgent") < learnt.calls.index("r6")
