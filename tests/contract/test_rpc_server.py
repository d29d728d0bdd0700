"""What every gRPC server of the mesh promises, over a real connection."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from trivium.core.errors import BadRequest, Unreachable
from trivium.core.outcome import Reason, ReasonCode
from trivium.rpc.channels import MAX_MESSAGE_BYTES, channel
from trivium.rpc.channels import stub as typed_stub
from trivium.rpc.guard import TRAILER_FIELD, TRAILER_REASON
from trivium.rpc.server import RpcServer, adding
from trivium.v1 import journey_pb2, outcome_pb2, services_pb2, services_pb2_grpc

TIMEOUT = 5.0


class Tier(services_pb2_grpc.TierServicer):
    """Echoes, and misbehaves on command: the request's prompt says how."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.left = asyncio.Event()
        self.go = asyncio.Event()

    async def Generate(self, work: journey_pb2.Work, context: Any) -> outcome_pb2.Outcome:
        match work.request.prompt:
            case "bad":
                raise BadRequest(Reason(ReasonCode.MISSING_FIELD, "the tenant is missing", "tenant", "name it"))
            case "broken":
                raise ZeroDivisionError("secret detail")
            case "wait":
                await self._wait()
            case "late":
                await context.abort(grpc.StatusCode.ABORTED, "own words")
        return outcome_pb2.Outcome(target=work.target.name, attempt=work.attempt)

    async def GenerateStream(self, work: journey_pb2.Work, context: Any) -> AsyncIterator[services_pb2.TierEvent]:
        try:
            yield services_pb2.TierEvent(delta="a")
            if work.request.prompt == "wait":
                await self._wait()
            if work.request.prompt == "bad":
                raise BadRequest(Reason(ReasonCode.EMPTY_PROMPT, "empty"))
            yield services_pb2.TierEvent(delta="b")
        finally:
            self.left.set()

    async def _wait(self) -> None:
        self.entered.set()
        try:
            await self.go.wait()
        finally:
            self.left.set()


@pytest.fixture
async def tier() -> Tier:
    return Tier()


@pytest.fixture
async def server(tier: Tier) -> AsyncIterator[RpcServer]:
    async with RpcServer(
        adding((services_pb2_grpc.add_TierServicer_to_server, tier)), notice_ms=0, drain_ms=3_000
    ) as running:
        yield running


@pytest.fixture
async def wire(server: RpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with channel(f"127.0.0.1:{server.port}") as opened:
        yield opened


@pytest.fixture
async def stub(wire: grpc.aio.Channel) -> Any:
    return typed_stub(services_pb2_grpc.TierStub, wire)


def asking(prompt: str) -> journey_pb2.Work:
    work = journey_pb2.Work(attempt=3)
    work.request.prompt = prompt
    work.target.name = "cloud/small"
    return work


async def test_a_call_is_answered(stub: Any) -> None:
    answer = await stub.Generate(asking("x"), timeout=TIMEOUT)
    assert (answer.target, answer.attempt) == ("cloud/small", 3)


async def test_a_call_without_a_deadline_is_refused(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await stub.Generate(asking("x"))
    assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no deadline" in (told.value.details() or "")


async def test_a_stream_without_a_deadline_is_refused(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as told:
        async for _ in stub.GenerateStream(asking("x")):
            pass
    assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_bad_request_says_what_where_and_what_is_right(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await stub.Generate(asking("bad"), timeout=TIMEOUT)
    assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert told.value.details() == "the tenant is missing (tenant); name it"
    trailer = set(told.value.trailing_metadata())
    assert trailer >= {(TRAILER_REASON, "missing_field"), (TRAILER_FIELD, "tenant")}


async def test_a_bad_request_in_a_stream_is_told_too(stub: Any) -> None:
    call = stub.GenerateStream(asking("bad"), timeout=TIMEOUT)
    assert (await call.read()).delta == "a"
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await call.read()
    assert told.value.details() == "empty"


async def test_a_bug_shows_no_stack_trace_and_no_detail(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await stub.Generate(asking("broken"), timeout=TIMEOUT)
    assert told.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (told.value.details() or "")
    assert "ZeroDivisionError" in (told.value.details() or "")


async def test_a_handlers_own_abort_is_kept(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await stub.Generate(asking("late"), timeout=TIMEOUT)
    assert (told.value.code(), told.value.details()) == (grpc.StatusCode.ABORTED, "own words")


async def test_a_message_over_the_cap_is_refused_in_words(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await stub.Generate(asking("x" * (MAX_MESSAGE_BYTES + 1)), timeout=TIMEOUT)
    assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "at most 8,388,608" in (told.value.details() or "")


async def test_bytes_that_are_no_message_are_refused_in_words(wire: grpc.aio.Channel) -> None:
    call = wire.unary_unary("/trivium.v1.Tier/Generate", None, None)
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await call(b"\xff\xff\xff", timeout=TIMEOUT)
    assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "trivium.v1.Tier/Generate" in (told.value.details() or "")


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_cancelled_call_runs_the_handlers_finally(stub: Any, tier: Tier, streaming: bool) -> None:
    call = (stub.GenerateStream if streaming else stub.Generate)(asking("wait"), timeout=TIMEOUT)
    if streaming:
        assert (await call.read()).delta == "a"
    async with asyncio.timeout(TIMEOUT):
        await tier.entered.wait()
        call.cancel()
        await tier.left.wait()


async def test_health_and_reflection_are_there(wire: grpc.aio.Channel) -> None:
    checker = health_pb2_grpc.HealthStub(wire)
    answer = await checker.Check(health_pb2.HealthCheckRequest(service="trivium.v1.Tier"), timeout=TIMEOUT)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    call = reflection_pb2_grpc.ServerReflectionStub(wire).ServerReflectionInfo(timeout=TIMEOUT)
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    listed = await call.read()
    await call.done_writing()
    assert "trivium.v1.Tier" in {service.name for service in listed.list_services_response.service}


async def test_a_drain_says_not_serving_and_finishes_the_open_call(
    stub: Any, wire: grpc.aio.Channel, server: RpcServer, tier: Tier
) -> None:
    watch = health_pb2_grpc.HealthStub(wire).Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    open_call = stub.Generate(asking("wait"), timeout=TIMEOUT)
    async with asyncio.timeout(TIMEOUT):
        await tier.entered.wait()
        stopping = asyncio.create_task(server.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        tier.go.set()
        assert (await open_call).attempt == 3
        await stopping


async def test_a_port_in_use_is_one_sentence_also_when_its_owner_would_share_it() -> None:
    with socket.socket() as owner:
        owner.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        with pytest.raises(Unreachable, match=f"127.0.0.1:{port} cannot be opened"):
            await RpcServer(lambda s: None, port=port).start()
