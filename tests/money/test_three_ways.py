"""One bill, told by three: the stand-ins' own logs of calls, the topics, and the SQL report, to the micro-dollar.

Both doors, all tiers, hits of the cache, escalations, fallbacks, generators, tools; the ledger killed in the middle, and our own
model's tier killed with calls under way."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from infra.part import RunningPart
from tests.integration.mesh.running import RunningMesh, command, program, running_mesh
from tests.money.asked import BOUND_S, BROKEN, again, answered, every_turn, of_own_model
from tests.money.bills import (
    executions,
    of_calls,
    of_report,
    of_topics,
    sorted_calls,
    told_by_the_ledger,
)
from tests.money.vendors import Vendors, vendors
from trivium.codec import request_from
from trivium.core.outcome import Terminal, TerminalKind, Verdict
from trivium.kafka.reader import ReaderOptions, end_offsets
from trivium.ledger.facts import TOPICS
from trivium.rpc.channels import channel, stub
from trivium.v1 import services_pb2
from trivium.v1.services_pb2_grpc import LedgerStub

HANG_MS = 600_000


async def test_calls_topics_and_report_agree(tmp_path: Path, ledger_database: str) -> None:
    environ = {"TRIVIUM_LEDGER_DB": ledger_database}
    async with (
        vendors() as both,
        running_mesh(tmp_path, ledger=True, environ=environ, model_url=both.tgi.url, cloud_url=both.claude.url) as mesh,
    ):
        both.tgi.faults.order("unavailable", -1, match=BROKEN)
        asked = every_turn(2)
        terminals = await answered(mesh, asked)
        await killed_and_back(mesh, "ledger", tmp_path)
        terminals += await answered(mesh, again(asked))
        every_turn_was_taken(terminals)
        terminals += await through_a_kill(mesh, both, tmp_path)
        await mesh.grpc.feedback(request_from(asked[0]).identity, "resolved", score=1.0)
        assert len({terminal.identity for terminal in terminals}) == len(terminals)
        before = await agreed(mesh, both, len(terminals))
        await rebuilt(mesh)
        assert (await agreed(mesh, both, len(terminals))).cost >= before.cost


def every_turn_was_taken(terminals: list[Terminal]) -> None:
    """What this test would not be worth much without."""
    verdicts = {attempt.verdict for terminal in terminals for attempt in terminal.attempts}
    assert {Verdict.ACCEPTED, Verdict.ESCALATED, Verdict.FELL_BACK} <= verdicts
    assert {"finetuned", "retrieval", "cloud", "cache"} <= {terminal.tier for terminal in terminals}
    assert any(use.calls for terminal in terminals for attempt in terminal.attempts for use in attempt.tool_uses), "no search as a tool"
    assert any(terminal.answer and terminal.answer.tool_calls for terminal in terminals), "no call of the caller's own tool"
    assert all(terminal.kind is TerminalKind.ANSWERED for terminal in terminals)


async def through_a_kill(mesh: RunningMesh, both: Vendors, folder: Path) -> list[Terminal]:
    """Our own model hangs, its tier is killed with calls under way, and comes back."""
    both.tgi.faults.pace.ttft_ms = HANG_MS
    asked = of_own_model(4)
    marks = {request.id for request in asked}
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(answered(mesh, asked))

        async def begun() -> bool:
            recorded = {one.begun.identity.id for one in await executions(mesh.local.addresses.kafka) if one.tier == "finetuned"}
            return marks <= both.under_way() & recorded

        assert await until(begun), "not every call was under way"
        mesh.local.parts["finetuned"].process.kill()
        both.tgi.faults.pace.ttft_ms = 0
        await killed_and_back(mesh, "finetuned", folder)
    return waiting.result()


async def killed_and_back(mesh: RunningMesh, name: str, folder: Path) -> None:
    part = mesh.local.parts[name]
    if part.process.returncode is None:
        part.process.kill()
    await part.stop()
    again = mesh.local.parts[name] = await RunningPart.start(part.part, folder / "logs")
    await again.until_ready()


async def agreed(mesh: RunningMesh, both: Vendors, requests: int) -> services_pb2.ReportLine:
    """The report's total, once the three say the same while nothing was written in between. A work record that comes again after
    the kill may still be called when its request has ended long since."""
    ends = time.monotonic() + BOUND_S
    while True:
        before = await written(mesh)
        try:
            total = await compared(mesh, both, requests)
        except AssertionError:
            if time.monotonic() > ends:
                raise
        else:
            if await written(mesh) == before:
                return total
        await asyncio.sleep(1)


async def compared(mesh: RunningMesh, both: Vendors, requests: int) -> services_pb2.ReportLine:
    found = await executions(mesh.local.addresses.kafka)
    settled, open_ = [one for one in found if one.settled], [one for one in found if not one.settled]
    *lines, total = await report(mesh, by=["paid"])
    assert (total.requests, total.judged, total.resolved) == (requests, 1, 1)
    assert of_report(lines) == of_topics(settled)
    assert sorted_calls(found, both.logs) == []
    assert [one.told() for one in settled if one.own_cost != one.called().cost + one.searched] == []
    assert of_calls(settled) == of_topics(settled)
    assert sum(one.searched for one in settled) > 0
    # What was begun and never settled may be on a vendor's bill: the report says how many there are.
    assert total.open_attempts == sum(not one.begun.part_of for one in open_) > 0
    assert any(one.calls for one in open_)
    told = await told_by_the_ledger(mesh.local.addresses.kafka)
    assert total.told + total.stray_cost == told == total.cost
    assert await the_command_says(mesh) == [total.cost] * 2
    return total


async def written(mesh: RunningMesh) -> int:
    """Records in the topics that the ledger is made of."""
    kafka = mesh.local.addresses.kafka
    ends = [await end_offsets(kafka, topic, ReaderOptions("trivium-test")) for topic in TOPICS]
    return sum(sum(one.values()) for one in ends)


async def report(mesh: RunningMesh, **asked: object) -> list[services_pb2.ReportLine]:
    """By Ledger.Report."""
    async with channel(mesh.local.addresses.ledger) as wire:
        client = stub(LedgerStub, wire)
        return [line async for line in client.Report(services_pb2.ReportRequest(**asked), timeout=BOUND_S)]


async def the_command_says(mesh: RunningMesh) -> list[int]:
    """`trivium report` through the process, and through the database; by days, and from every record."""
    said = []
    for arguments in (("--by", "team,tier,day"), ("--by", "end_user,paid", "--db", mesh.local.environ()["TRIVIUM_LEDGER_DB"])):
        done = await command("report", "--json", *arguments, environ=mesh.local.environ(), timeout_s=BOUND_S)
        assert done.status == 0, done.err
        *lines, total = done.lines
        assert sum(line["cost"] for line in lines) == total["cost"]
        said.append(total["cost"])
    return said


async def rebuilt(mesh: RunningMesh) -> None:
    """The same database, filled again from the topics."""
    done = await program("services.ledger", "--rebuild", environ=mesh.local.environ(), timeout_s=BOUND_S)
    assert done.status == 0, done.err


async def until(true: Callable[[], Awaitable[bool]]) -> bool:
    """Looks again and again for a generous while."""
    ends = time.monotonic() + BOUND_S
    while not (done := await true()) and time.monotonic() < ends:  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    return done
