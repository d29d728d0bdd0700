"""The gRPC door over real connections: tiers that do as they are told, and an embedded broker for what is written down."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from tests.integration.gateway_mesh import TIMEOUT, GatewayMesh, Ledger, asking, gateway_mesh
from trivium.v1 import request_pb2, services_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayMesh]:
    async with gateway_mesh(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def mesh(shared: GatewayMesh) -> GatewayMesh:
    """The mesh of this module, its tiers as new."""
    shared.renew()
    return shared


async def told(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), error.value.details() or ""


async def streamed(mesh: GatewayMesh, message: request_pb2.Request) -> tuple[list[str], list[Any]]:
    deltas: list[str] = []
    terminals: list[Any] = []
    async for event in mesh.stub.CompleteStream(message, timeout=TIMEOUT):
        if event.WhichOneof("event") == "delta":
            assert not terminals
            deltas.append(event.delta)
        else:
            terminals.append(event.terminal)
    return deltas, terminals


# --- complete ------------------------------------------------------------------------------------------------------


async def test_a_request_is_answered_by_the_first_target_and_written_down(mesh: GatewayMesh) -> None:
    async with Ledger(mesh) as ledger:
        terminal = await mesh.stub.Complete(asking(id="r1", team="desk"), timeout=TIMEOUT)
        record = await ledger.of("r1")
    assert (terminal.kind, terminal.tier, terminal.answer.text) == ("answered", "finetuned", "finetuned: an answer")
    assert terminal.identity.id == "r1"
    assert terminal.cost_micro_dollars == 7
    assert (record.role, record.door, record.team, record.terminal.identity.id) == ("terminal", "grpc", "desk", "r1")
    assert record.terminal.answer.text == ""
    assert record.decision.task_type == "one"
    assert 'trivium_terminals_total{door="grpc",kind="answered"' in mesh.metrics()


async def test_batch_work_says_to_its_tier_that_idle_slots_will_do(mesh: GatewayMesh) -> None:
    for priority in ("batch", "normal"):
        await mesh.stub.Complete(asking(priority=priority, cache="bypass"), timeout=TIMEOUT)
    assert [work.slip.spare for work in mesh.finetuned.works] == [True, False]


async def test_an_id_is_made_for_who_has_none(mesh: GatewayMesh) -> None:
    one = await mesh.stub.Complete(asking(), timeout=TIMEOUT)
    other = await mesh.stub.Complete(asking(), timeout=TIMEOUT)
    assert len(one.identity.id) == 32
    assert one.identity.id != other.identity.id


@pytest.mark.parametrize("script", ["fault", "drop"])
async def test_a_target_without_an_answer_is_followed_by_the_next(mesh: GatewayMesh, script: str) -> None:
    mesh.finetuned.script = script
    terminal = await mesh.stub.Complete(asking(), timeout=TIMEOUT)
    assert (terminal.kind, terminal.target) == ("answered", "cloud/small")
    assert [a.verdict for a in terminal.attempts] == ["fell_back", "accepted"]


async def test_a_tier_that_is_not_there_is_a_fault_like_any_other(tmp_path: Path) -> None:
    async with gateway_mesh(tmp_path, TRIVIUM_FINETUNED="127.0.0.1:1") as mesh:
        terminal = await mesh.stub.Complete(asking(), timeout=TIMEOUT)
    assert terminal.target == "cloud/small"
    assert terminal.attempts[0].fault.kind == "unavailable"
    assert "127.0.0.1:1" in terminal.attempts[0].fault.message


async def test_an_answer_below_the_bar_goes_up(mesh: GatewayMesh) -> None:
    mesh.finetuned.script = "low"
    terminal = await mesh.stub.Complete(asking(endpoint="/cascade"), timeout=TIMEOUT)
    assert terminal.target == "cloud/small"
    assert [a.verdict for a in terminal.attempts] == ["escalated", "accepted"]
    assert terminal.cost_micro_dollars == 14


async def test_a_restricted_request_never_reaches_the_cloud(mesh: GatewayMesh) -> None:
    mesh.finetuned.script = "fault"
    terminal = await mesh.stub.Complete(asking(sensitivity="restricted"), timeout=TIMEOUT)
    assert terminal.kind == "failed"
    assert mesh.cloud.works == []


async def test_a_slow_target_leaves_time_for_the_next(mesh: GatewayMesh) -> None:
    mesh.finetuned.script = "wait"
    terminal = await mesh.stub.Complete(asking(timeout_ms=1_000), timeout=TIMEOUT)
    assert (terminal.kind, terminal.target) == ("answered", "cloud/small")
    assert terminal.attempts[0].fault.kind == "overdue"
    async with asyncio.timeout(TIMEOUT):
        await mesh.finetuned.left.wait()


async def test_the_callers_deadline_bounds_the_journey_and_the_end_is_still_told(mesh: GatewayMesh) -> None:
    mesh.cloud.script = "wait"
    terminal = await mesh.stub.Complete(asking(endpoint="/only"), timeout=2.0)
    assert (terminal.kind, terminal.reason.code) == ("expired", "deadline")
    work = mesh.cloud.works[0]
    assert work.deadline_ms <= terminal.arrived_ms + 2_000


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        (asking(endpoint="/onne"), "unknown_endpoint", "endpoint"),
        (asking(" "), "empty_prompt", "messages"),
        (asking(timeout_ms=0), "bad_timeout", "timeout_ms"),
        (asking(tenant="a'b"), "unknown_tenant", "tenant"),
        (asking(stakes="huge"), "unknown_word", "stakes"),
        (asking(reply_to="trivium.replies.globex"), "bad_reply_topic", "reply_to"),
        (asking(corpus="secret"), "unknown_corpus", "corpus"),
    ],
)
async def test_a_bad_request_is_refused_as_a_terminal(
    mesh: GatewayMesh, message: request_pb2.Request, code: str, field: str
) -> None:
    terminal = await mesh.stub.Complete(message, timeout=TIMEOUT)
    assert (terminal.kind, terminal.reason.code, terminal.reason.field) == ("refused", code, field)
    assert terminal.reason.hint
    assert mesh.finetuned.works == []


async def test_a_request_without_a_tenant_is_no_terminal(mesh: GatewayMesh) -> None:
    code, said = await told(mesh.stub.Complete(asking(tenant=""), timeout=TIMEOUT))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "tenant is missing (tenant)" in said


async def test_the_same_request_at_the_same_time_is_answered_once(mesh: GatewayMesh) -> None:
    mesh.finetuned.script = "wait"
    one = mesh.stub.Complete(asking(id="twice"), timeout=TIMEOUT)
    async with asyncio.timeout(TIMEOUT):
        await mesh.finetuned.entered.wait()
    other = mesh.stub.Complete(asking(id="twice"), timeout=TIMEOUT)
    code, said = await told(mesh.stub.Complete(asking("something else", id="twice"), timeout=TIMEOUT))
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert "acme/twice is under way with another body" in said
    mesh.finetuned.go.set()
    assert (await one) == (await other)
    assert len(mesh.finetuned.works) == 1


async def test_a_caller_who_leaves_stops_the_call_and_leaves_a_record(mesh: GatewayMesh) -> None:
    mesh.finetuned.script = "wait"
    async with Ledger(mesh) as ledger:
        call = mesh.stub.Complete(asking(id="gone"), timeout=TIMEOUT)
        async with asyncio.timeout(TIMEOUT):
            await mesh.finetuned.entered.wait()
            call.cancel()
            await mesh.finetuned.left.wait()
        record = await ledger.of("gone")
    assert (record.terminal.kind, record.terminal.reason.code) == ("failed", "cancelled")


async def test_an_answer_is_kept_and_serves_the_next_who_asks(mesh: GatewayMesh) -> None:
    question = "When do you open on Sundays?"
    first = await mesh.stub.Complete(asking(question, "/known", id="first"), timeout=TIMEOUT)
    assert (first.tier, len(mesh.finetuned.works)) == ("finetuned", 1)
    async with asyncio.timeout(TIMEOUT):
        while (again := await mesh.stub.Complete(asking(question, "/known"), timeout=TIMEOUT)).tier != "cache":
            mesh.finetuned.renew()
    assert again.answer.text == first.answer.text
    assert (again.cache.kind, again.cache.question, again.cost_micro_dollars) == ("exact", question, 0)
    deltas, (streamed_again,) = await streamed(mesh, asking(question, "/known"))
    assert (deltas, streamed_again.tier) == ([first.answer.text], "cache")


async def test_the_policy_is_taken_anew_without_a_restart(tmp_path: Path) -> None:
    async with gateway_mesh(tmp_path) as mesh, asyncio.timeout(TIMEOUT):
        text = mesh.policy.read_text().replace("revision: 1", "revision: 2")
        mesh.policy.write_text(text.replace("one: {route: [finetuned/a, ", "one: {route: ["))
        while (await mesh.stub.Complete(asking(), timeout=TIMEOUT)).target != "cloud/small":
            mesh.finetuned.renew()


# --- stream --------------------------------------------------------------------------------------------------------


async def test_an_answer_that_cannot_be_taken_back_comes_as_it_is_made(mesh: GatewayMesh) -> None:
    deltas, (terminal,) = await streamed(mesh, asking())
    assert deltas == ["finetuned: ", "an ", "answer"]
    assert terminal.answer.text == "".join(deltas)
    unary = await mesh.stub.Complete(asking(), timeout=TIMEOUT)
    assert unary.answer == terminal.answer


@pytest.mark.parametrize("endpoint", ["/cascade", "/docs", "/json"])
async def test_an_answer_that_is_checked_comes_whole_after_the_check(mesh: GatewayMesh, endpoint: str) -> None:
    deltas, (terminal,) = await streamed(mesh, asking(endpoint=endpoint))
    assert deltas == [terminal.answer.text]


async def test_the_last_of_a_cascade_with_an_earlier_answer_may_not_be_shown_before_it_is_chosen(
    mesh: GatewayMesh,
) -> None:
    mesh.finetuned.script = "low"
    deltas, (terminal,) = await streamed(mesh, asking(endpoint="/cascade"))
    assert "".join(deltas) == terminal.answer.text == "cloud: an answer"


async def test_a_fault_before_the_first_piece_falls_back(mesh: GatewayMesh) -> None:
    mesh.finetuned.script = "fault"
    deltas, (terminal,) = await streamed(mesh, asking())
    assert deltas == ["cloud: ", "an ", "answer"]
    assert terminal.target == "cloud/small"


@pytest.mark.parametrize("script", ["cut", "fault after a piece"])
async def test_after_the_first_piece_a_fault_is_the_end(mesh: GatewayMesh, script: str) -> None:
    mesh.finetuned.script = script
    deltas, (terminal,) = await streamed(mesh, asking())
    assert deltas == ["finetuned:"]
    assert terminal.kind == "failed"
    assert not terminal.HasField("answer")
    assert mesh.cloud.works == []


async def test_a_refusal_in_a_stream_is_its_terminal(mesh: GatewayMesh) -> None:
    deltas, (terminal,) = await streamed(mesh, asking(endpoint="/nowhere"))
    assert (deltas, terminal.kind) == ([], "refused")


async def test_a_reader_who_leaves_a_stream_stops_the_call(mesh: GatewayMesh) -> None:
    mesh.finetuned.script = "wait after a piece"
    async with Ledger(mesh) as ledger:
        call = mesh.stub.CompleteStream(asking(id="left"), timeout=TIMEOUT)
        async with asyncio.timeout(TIMEOUT):
            assert (await call.read()).delta == "finetuned:"
            await mesh.finetuned.entered.wait()
            call.cancel()
            await mesh.finetuned.left.wait()
        record = await ledger.of("left")
    assert record.terminal.reason.code == "cancelled"


# --- cancel --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_cancel_stops_what_runs_here(mesh: GatewayMesh, streaming: bool) -> None:
    mesh.finetuned.script = "wait"
    message = asking(id="stop")
    call: Any = (
        asyncio.create_task(streamed(mesh, message)) if streaming else mesh.stub.Complete(message, timeout=TIMEOUT)
    )
    async with asyncio.timeout(TIMEOUT):
        await mesh.finetuned.entered.wait()
    asked = services_pb2.CancelRequest(identity=request_pb2.Identity(tenant="acme", id="stop"))
    assert (await mesh.stub.Cancel(asked, timeout=TIMEOUT)).state == "cancelled"
    answer = await call
    terminal = answer[1][0] if streaming else answer
    assert (terminal.kind, terminal.reason.code) == ("failed", "cancelled")
    assert mesh.cloud.works == []
    async with asyncio.timeout(TIMEOUT):
        await mesh.finetuned.left.wait()
