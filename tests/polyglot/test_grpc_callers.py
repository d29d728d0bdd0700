"""What a caller in each language sees of the gateway."""

import pytest

from tests.integration.mesh.running import RunningMesh, new_id
from tests.integration.mesh.watching import watching
from tests.polyglot.asking import call, run, started
from tests.polyglot.building import Example
from trivium.kafka.topics import LEDGER
from trivium.v1 import records_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")


def question(about: str) -> str:
    """One that only the fine-tuned tier may answer, in more than a word."""
    return f"Account {about} owes 12 euros since May and pays by card. What is owed?"


async def test_a_question_is_answered(mesh: RunningMesh, example: Example) -> None:
    request_id = new_id()
    said = await run(example, *call(mesh, example, "ask"), "--endpoint", "/classify", "--id", request_id, "Where is my order?")
    assert (said.status, said.only["kind"]) == (0, "answered"), said
    assert said.only["identity"] == {"tenant": "acme", "id": request_id}
    assert said.only["answer"]["text"] == "shipping"
    assert said.only["task_type"] == "classify_ticket"


async def test_the_pieces_of_a_stream_are_its_answer(mesh: RunningMesh, example: Example) -> None:
    await mesh.control("model", tpot_ms=50)
    said = await run(example, *call(mesh, example, "stream"), "--endpoint", "/account", question(new_id()))
    *pieces, terminal = said.lines
    assert (said.status, terminal["kind"]) == (0, "answered"), said
    assert len(pieces) > 1, "the answer came in one piece"
    assert "".join(piece["delta"] for piece in pieces) == terminal["answer"]["text"]


async def test_time_that_is_over_is_a_terminal(mesh: RunningMesh, example: Example) -> None:
    await mesh.control("model", ttft_ms=20_000)
    asking = (*call(mesh, example, "ask", example.start_s), "--endpoint", "/account")
    said = await run(example, *asking, question(new_id()))
    assert (said.status, said.only["kind"], said.only["reason"]["code"]) == (1, "expired", "deadline"), said


async def test_a_deadline_is_a_status(mesh: RunningMesh, example: Example) -> None:
    """Through the log, the gateway only waits: the question goes on when the caller's time is over."""
    await mesh.control("model", ttft_ms=20_000)
    asking = (*call(mesh, example, "ask", 1.0), "--durable", "--endpoint", "/account")
    said = await run(example, *asking, f"What do I owe, {new_id()}?")
    assert (said.status, said.only["status"]) == (2, "DEADLINE_EXCEEDED"), said


async def test_what_may_not_be_asked_is_a_terminal_with_its_reason(mesh: RunningMesh, example: Example) -> None:
    said = await run(example, *call(mesh, example, "ask"), "--endpoint", "/clasify", "Where is my order?")
    assert (said.status, said.only["kind"]) == (1, "refused"), said
    reason = said.only["reason"]
    assert (reason["code"], reason["field"]) == ("unknown_endpoint", "endpoint")
    assert "/classify" in reason["hint"]


async def test_what_has_no_identity_is_a_status_with_its_reason(mesh: RunningMesh, example: Example) -> None:
    said = await run(example, *call(mesh, example, "ask"), "--tenant", "", "Where is my order?")
    assert said.status == 2
    told = {name: said.only[name] for name in ("status", "reason", "field")}
    assert told == {"status": "INVALID_ARGUMENT", "reason": "missing_field", "field": "tenant"}


async def test_a_gateway_that_is_not_there_is_a_status(mesh: RunningMesh, example: Example) -> None:
    said = await run(example, *call(mesh, example, "ask"), "--gateway", "127.0.0.1:1", "Where is my order?")
    assert (said.status, said.only["status"]) == (2, "UNAVAILABLE"), said


async def test_an_interrupted_stream_stops_the_model(mesh: RunningMesh, example: Example) -> None:
    await mesh.control("model", tpot_ms=8_000)
    request_id = new_id()
    asking = (*call(mesh, example, "stream"), "--id", request_id, "--endpoint", "/account")
    async with watching(mesh, LEDGER) as ledger, started(example, *asking, question(request_id)) as running:
        assert (await running.line())["delta"]
        running.interrupt()
        said = await running.end()
        assert said.status in (2, 130), said
        written = await ledger.until(lambda record: request_id.encode() in (record.value or b""))
    terminal = records_pb2.LedgerRecord.FromString(written.value or b"").terminal
    assert (terminal.kind, terminal.reason.code) == ("failed", "cancelled")


async def test_somebody_else_cancels(mesh: RunningMesh, example: Example) -> None:
    await mesh.control("model", tpot_ms=8_000)
    request_id = new_id()
    asking = (*call(mesh, example, "stream"), "--id", request_id, "--endpoint", "/account")
    async with started(example, *asking, question(request_id)) as running:
        assert (await running.line())["delta"]
        async with started(example, *call(mesh, example, "cancel"), request_id) as cancelling:
            out, _ = await cancelling.process.communicate()
        assert out.decode().strip() == "cancelled"
        said = await running.end()
    assert (said.status, said.lines[-1]["kind"], said.lines[-1]["reason"]["code"]) == (1, "failed", "cancelled")
