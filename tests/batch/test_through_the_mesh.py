"""Patient work through the whole embedded mesh: half price, a process that dies, a batch whose name nobody noted, no deadline missed."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from infra.local import POLICY
from tests.integration.mesh.running import RunningMesh, asking, running_mesh
from trivium.core.outcome import FaultKind, Terminal, TerminalKind, Verdict
from trivium.core.policy import Policy
from trivium.core.price import MILLION
from trivium.policy import load

COUNT = 40
SETTINGS = {
    "TRIVIUM_BATCH_WINDOW_MS": "1000", "TRIVIUM_BATCH_POLL_MS": "300", "TRIVIUM_BATCH_POLL_MOST_MS": "1000",
    "TRIVIUM_BATCH_UNSURE_MS": "2000",
}  # fmt: skip


def patient_policy(folder: Path) -> Path:
    """The example's policy with patience: a normal call takes 3 s at most."""
    text = POLICY.read_text()
    for old, new in (
        ("max_timeout_ms: 600_000", "max_timeout_ms: 86_400_000\npatience: {call_ms: 3_000, timeout_ms: 3_600_000}"),
        ("    model: claude-haiku-4-5\n", "    model: claude-haiku-4-5\n    batch: true\n"),
        ("path: classifier.json", f"path: {(POLICY.parent / 'classifier.json').resolve()}"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    made = folder / "policy.yaml"
    made.write_text(text)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningMesh]:
    folder = tmp_path_factory.mktemp("patient")
    async with running_mesh(folder, policy=patient_policy(folder), ledger=True, environ=SETTINGS) as running:
        yield running


async def asked(mesh: RunningMesh, number: int, **fields: Any) -> Terminal:
    prompt = f"Customer {number} asks where order {number * 7} is and when it will arrive."
    known = {"endpoint": "/draft-reply", "target": "cloud/small", "priority": "batch", "prompt": prompt}
    return await mesh.by_kafka(**{**known, **fields})


def paid(mesh: RunningMesh, call: Mapping[str, Any]) -> int:
    """What a call of the stand-in's log comes to, by the policy's own prices: nothing of it was in a prompt cache."""
    policy: Policy = load(mesh.local.options.policy)
    prices = policy.targets["cloud/small"].prices
    whole = call["prompt_tokens"] * prices.input_per_million + call["output_tokens"] * prices.output_per_million
    part = 2 if call["half_price"] else 1
    return int((whole + part * MILLION // 2) // (part * MILLION))


async def calls(mesh: RunningMesh) -> list[dict[str, Any]]:
    def ask() -> Any:
        with urllib.request.urlopen(f"{mesh.local.addresses.cloud_url}/calls?last=10000", timeout=5) as response:
            return json.load(response)["calls"]

    found: list[dict[str, Any]] = await asyncio.to_thread(ask)
    return found


async def batch_is_made(mesh: RunningMesh) -> None:
    log = mesh.local.options.data / "logs" / "batch-cloud.log"
    async with asyncio.timeout(60):
        while "nobody knows" not in log.read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.asyncio(loop_scope="module")
async def test_work_that_may_wait_costs_half_whoever_dies_meanwhile(mesh: RunningMesh) -> None:
    await mesh.control("cloud", batch={"delay_ms": 4_000, "lose": 1, "expire": 2})
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(asked(mesh, number)) for number in range(COUNT)]
        await batch_is_made(mesh)
        part = mesh.local.parts["batch-cloud"]
        part.process.kill()
        await part.process.wait()
        await mesh.local._run(part.part)
    terminals = [task.result() for task in waiting]
    assert {terminal.kind for terminal in terminals} == {TerminalKind.ANSWERED}
    in_batches = [t for t in terminals if len(t.attempts) == 1 and t.attempts[0].batch]
    called = [t for t in terminals if len(t.attempts) == 2]
    # What expired in its batch was asked once more, at the full price.
    assert (len(in_batches), len(called)) == (COUNT - 2, 2)
    assert all([a.batch for a in t.attempts] == [True, False] for t in called)
    made = await calls(mesh)
    assert sum(call["half_price"] for call in made) == COUNT - 2
    assert len(made) == COUNT
    assert sum(t.cost_micro_dollars for t in terminals) == sum(paid(mesh, call) for call in made)
    await the_ledger_says_so(mesh, terminals)


async def the_ledger_says_so(mesh: RunningMesh, terminals: list[Terminal]) -> None:
    spent = sum(t.cost_micro_dollars for t in terminals)
    halves = sum(t.cost_micro_dollars for t in terminals if t.attempts[-1].batch)
    async with asyncio.timeout(60):
        while True:
            said = await mesh.trivium("report", "--by", "target", "--json")
            rows = said.lines_of(target="cloud/small") if said.status == 0 else []
            if rows and int(rows[0]["requests"]) == len(terminals):
                break
            await asyncio.sleep(0.5)
    assert int(rows[0]["cost"]) == spent
    assert (int(rows[0]["patient"]), int(rows[0]["missed"])) == (len(terminals), 0)
    # Each call is rounded by itself.
    assert abs(int(rows[0]["batch_saved"]) - halves) <= len(terminals)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_waits_is_pulled_back_while_a_normal_call_still_fits(mesh: RunningMesh) -> None:
    await mesh.control("cloud", batch={"delay_ms": 600_000})
    terminal = await asked(mesh, 1, timeout_ms=20_000)
    assert terminal.kind is TerminalKind.ANSWERED
    first, second = terminal.attempts
    assert (first.batch, first.verdict, second.batch) == (True, Verdict.FELL_BACK, False)
    assert first.fault is not None
    assert (first.fault.kind, "pulled back" in first.fault.message) == (FaultKind.OVERDUE, True)
    assert second.started_ms < terminal.arrived_ms + 20_000


@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_who_waits_on_the_line_is_made_to_wait(mesh: RunningMesh) -> None:
    prompt = "Customer 9 asks for a refund of order 63."
    known = {"endpoint": "/draft-reply", "target": "cloud/small", "priority": "batch"}
    terminal = await mesh.by_grpc(prompt=prompt, **known)
    through_the_log = await mesh.grpc.complete(asking(prompt=prompt, **known), timeout_s=60, idempotent=True)
    assert [[attempt.batch for attempt in one.attempts] for one in (terminal, through_the_log)] == [[False], [False]]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_time_in_a_batch_is_a_span_of_the_requests_one_trace(mesh: RunningMesh) -> None:
    await mesh.control("cloud", batch={"delay_ms": 0})
    terminal = await asked(mesh, 77)
    async with asyncio.timeout(60):
        while True:
            said = await mesh.trivium("trace", terminal.identity.id)
            if "trivium.work batch" in said.out:
                break
            await asyncio.sleep(0.5)
    assert "trivium.requests process" in said.out


@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_misses_a_deadline_because_nobody_makes_batches(mesh: RunningMesh) -> None:
    """The last test: the process stays dead."""
    part = mesh.local.parts["batch-cloud"]
    part.process.kill()
    await part.process.wait()
    terminal = await asked(mesh, 99, timeout_ms=15_000)
    assert terminal.kind is TerminalKind.ANSWERED
    first, second = terminal.attempts
    assert first.fault is not None
    assert (first.batch, first.fault.message, second.batch) == (True, "nothing came back in time", False)
