"""The whole mesh with that server behind both of its vendors' wires."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from infra.local import LocalMesh, MeshOptions
from tests.integration.mesh.running import asking
from trivium.client import TriviumClient
from trivium.core.outcome import FaultKind, Finish, Terminal, TerminalKind, Verdict
from trivium.v1 import request_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARCEL = (
    "Thank you for writing. Your parcel was handed to the carrier on Monday, "
    "and you get a refund when it does not come by Friday."
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(other_server: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TriviumClient]:
    options = MeshOptions(
        data=tmp_path_factory.mktemp("mesh"), policy=Path("examples/support/policy.yaml"), model_url=other_server,
        cloud_url=other_server, environ={"TRIVIUM_FINETUNED_WIRE": "openai"},
    )  # fmt: skip
    async with LocalMesh(options) as mesh, TriviumClient(mesh.addresses.gateway, timeout_s=30) as connected:
        yield connected
        mesh.check()


async def streamed(client: TriviumClient, request: request_pb2.Request) -> tuple[list[str], Terminal]:
    pieces: list[str] = []
    async for event in client.stream(request):
        if isinstance(event, Terminal):
            return pieces, event
        pieces.append(event)
    raise AssertionError("no terminal came")


async def test_the_fine_tuned_tier_answers_over_the_openai_wire(client: TriviumClient) -> None:
    pieces, terminal = await streamed(client, asking("Where is my parcel?", endpoint="/account"))
    assert (terminal.kind, terminal.target) == (TerminalKind.ANSWERED, "finetuned/support"), terminal.reason
    assert "".join(pieces) == PARCEL
    assert len(pieces) > 5
    assert (terminal.usage.input_tokens, terminal.usage.output_tokens) == (40, 30)


async def test_the_cloud_tier_answers_over_anthropics_wire(client: TriviumClient) -> None:
    pieces, terminal = await streamed(client, asking("Where is my parcel?", endpoint="/translate"))
    assert (terminal.kind, terminal.target) == (TerminalKind.ANSWERED, "cloud/small"), terminal.reason
    assert "".join(pieces) == PARCEL
    assert terminal.cost_micro_dollars == 40 + 5 * 30


async def test_a_callers_tool_goes_through_the_mesh(client: TriviumClient) -> None:
    tool = request_pb2.ToolSpec(name="get_order", description="Looks up an order.", parameters_json='{"type": "object"}')
    request = asking("What is the status of order 4711?", endpoint="/translate", tools=[tool])
    terminal = await client.complete(request)
    assert terminal.answer is not None
    assert terminal.answer.finish is Finish.TOOL_CALLS
    [call] = terminal.answer.tool_calls
    assert (call.id, call.name, json.loads(call.arguments_json)) == ("call_order", "get_order", {"order_id": "4711"})


async def test_the_model_looks_into_the_documents(client: TriviumClient) -> None:
    """The tier runs the tool search_documents and gives the model what it found; here, that there is nothing."""
    terminal = await client.complete(asking("Please look it up: what is never cached?", endpoint="/troubleshoot"))
    assert (terminal.kind, terminal.target) == (TerminalKind.ANSWERED, "finetuned/support"), terminal.reason
    assert terminal.answer is not None
    assert terminal.answer.text == "Restricted requests are never cached, the documents say."
    (use,) = terminal.attempts[-1].tool_uses
    assert (use.name, use.calls) == ("search_documents", 1)


async def test_what_one_wire_refuses_is_asked_of_the_other(client: TriviumClient) -> None:
    terminal = await client.complete(asking("Please be limited.", endpoint="/sentiment"))
    assert terminal.kind is TerminalKind.FAILED
    kinds = [(a.target, a.verdict, a.fault.kind if a.fault else None) for a in terminal.attempts]
    assert kinds[0] == ("finetuned/support", Verdict.FELL_BACK, FaultKind.RATE_LIMITED), kinds
    assert kinds[-1] == ("cloud/small", Verdict.FAILED, FaultKind.RATE_LIMITED), kinds
