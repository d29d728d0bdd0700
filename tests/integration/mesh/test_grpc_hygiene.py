"""What a gRPC caller in any language expects of every server, and what stops when somebody leaves."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from infra.part import Part, RunningPart
from tests.integration.mesh.running import TIMEOUT_S, RunningMesh, asking, new_id
from trivium.client import TriviumClient
from trivium.core.request import Identity
from trivium.rpc.channels import channel, stub
from trivium.v1 import services_pb2_grpc

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def until_called(mesh: RunningMesh, standin: str, status: int, more_than: int) -> None:
    """Until the stand-in has more calls of this status (0: still running) than so many."""
    async with asyncio.timeout(TIMEOUT_S):
        while (await mesh.calls(standin))["by_status"].get(str(status), 0) <= more_than:
            continue


@pytest.mark.parametrize(
    ("part", "services"),
    [
        ("gateway", {"trivium.v1.Gateway"}),
        ("finetuned", {"trivium.v1.Tier"}),
        ("retrieval", {"trivium.v1.Tier", "trivium.v1.Retrieval"}),
        ("cloud", {"trivium.v1.Tier"}),
    ],
)
async def test_every_server_is_healthy_and_describes_itself(mesh: RunningMesh, part: str, services: set[str]) -> None:
    async with channel(getattr(mesh.local.addresses, part)) as wire:
        health = stub(health_pb2_grpc.HealthStub, wire)
        for name in ("", *services):
            reply = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        reflection = stub(reflection_pb2_grpc.ServerReflectionStub, wire)
        async for reply in reflection.ServerReflectionInfo(iter([asked]), timeout=5):
            assert services <= {service.name for service in reply.list_services_response.service}


async def test_a_cancel_stops_the_call_at_the_vendor(mesh: RunningMesh) -> None:
    name = new_id()
    running, gone = [(await mesh.calls("model"))["by_status"].get(status, 0) for status in ("0", "499")]
    await mesh.control("model", fault="hang", count=1, match=name)
    call = asyncio.create_task(mesh.by_grpc(id=name, prompt=f"{name}: hello", endpoint="/account"))
    await until_called(mesh, "model", 0, running)
    assert await mesh.grpc.cancel(Identity("acme", name)) == "cancelled"
    terminal = await call
    assert terminal.reason is not None
    assert (terminal.kind.value, terminal.reason.code.value) == ("failed", "cancelled")
    await until_called(mesh, "model", 499, gone)


async def test_a_cancel_of_a_request_in_the_log_ends_it(mesh: RunningMesh) -> None:
    name = new_id()
    running = (await mesh.calls("model"))["by_status"].get("0", 0)
    await mesh.control("model", fault="hang", count=1, delay_ms=3_000, match=name)
    identity = await mesh.grpc.submit(asking(f"{name}: hello", id=name, endpoint="/account"))
    await until_called(mesh, "model", 0, running)
    assert await mesh.grpc.cancel(identity) == "requested"
    terminal = await mesh.grpc.wait(identity, timeout_s=TIMEOUT_S)
    assert terminal.reason is not None
    assert (terminal.kind.value, terminal.reason.code.value) == ("failed", "cancelled")


async def test_what_was_submitted_is_awaited_by_many_and_again(mesh: RunningMesh) -> None:
    identity = await mesh.grpc.submit(asking("I am so happy!", endpoint="/sentiment"))
    one, other = await asyncio.gather(mesh.grpc.wait(identity), mesh.grpc.wait(identity))
    assert one.answer is not None
    assert one.answer.text == "positive"
    assert other == one == await mesh.grpc.wait(identity)


async def test_an_idempotency_key_is_asked_once_however_often_it_comes(mesh: RunningMesh) -> None:
    name = new_id()
    request = asking(f"{name}: I am so happy!", id=name, endpoint="/sentiment", cache="bypass")
    before = (await mesh.calls("model"))["count"]
    first, second = await asyncio.gather(*(mesh.grpc.complete(request, idempotent=True, timeout_s=TIMEOUT_S) for _ in range(2)))
    third = await mesh.grpc.complete(request, idempotent=True, timeout_s=TIMEOUT_S)
    assert first == second == third
    assert (await mesh.calls("model"))["count"] == before + 1


async def test_the_callers_deadline_reaches_the_tier_and_is_told(mesh: RunningMesh) -> None:
    name = new_id()
    await mesh.control("model", fault="hang", count=-1, match=name)
    gone = (await mesh.calls("model"))["by_status"].get("499", 0)
    terminal = await mesh.grpc.complete(asking(f"{name}: hello", id=name, endpoint="/account"), timeout_s=4)
    assert terminal.kind.value == "expired"
    assert terminal.attempts[0].deadline_ms <= terminal.arrived_ms + 4_000
    await until_called(mesh, "model", 499, gone)


async def test_a_gateway_that_is_told_to_leave_finishes_what_it_has(mesh: RunningMesh, tmp_path: Path) -> None:
    environ = mesh.local.environ() | {"TRIVIUM_GATEWAY_PORT": "0", "TRIVIUM_INSTANCE": "second"}
    part = await RunningPart.start(Part("second", "services.gateway", (), environ), tmp_path)
    try:
        ready: dict[str, Any] = await part.until_ready()
        async with TriviumClient(f"127.0.0.1:{ready['port']}") as client:
            name = new_id()
            running = (await mesh.calls("model"))["by_status"].get("0", 0)
            await mesh.control("model", fault="slow", count=1, delay_ms=3_000, match=name)
            call = asyncio.create_task(client.complete(asking(f"{name}: I am so happy!", endpoint="/sentiment")))
            await until_called(mesh, "model", 0, running)
            part.process.send_signal(signal.SIGTERM)
            terminal = await call
        async with asyncio.timeout(TIMEOUT_S):
            assert await part.process.wait() == 0
    finally:
        await part.stop()
    assert terminal.kind.value == "answered"
    assert "Traceback" not in part.log.read_text()


async def test_a_call_without_a_deadline_is_refused_at_every_door(mesh: RunningMesh) -> None:
    async with channel(mesh.local.addresses.gateway) as wire:
        gateway = stub(services_pb2_grpc.GatewayStub, wire)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await gateway.Complete(asking("hello", endpoint="/sentiment"))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "deadline" in (error.value.details() or "")
