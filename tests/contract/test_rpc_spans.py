"""Spans around gRPC calls end in every case, on both sides, and are one trace."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from trivium.rpc.channels import channel
from trivium.rpc.channels import stub as stub_of
from trivium.rpc.server import RpcServer, adding
from trivium.rpc.spans import call_stream, call_unary, metadata_of, serving
from trivium.telemetry.names import ERROR_TYPE, RPC_STATUS, SPAN_ATTEMPT, SPAN_GENERATE
from trivium.telemetry.tracing import Tracing, context_from_traceparent, start
from trivium.v1 import journey_pb2, outcome_pb2, services_pb2, services_pb2_grpc

TIMEOUT = 5.0
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Tier(services_pb2_grpc.TierServicer):
    def __init__(self, tracing: Tracing) -> None:
        self.tracer = tracing.tracer
        self.entered = asyncio.Event()
        self.left = asyncio.Event()

    async def Generate(self, work: journey_pb2.Work, context: Any) -> outcome_pb2.Outcome:
        with serving(self.tracer, SPAN_GENERATE, metadata_of(context)):
            if work.request.prompt == "wait":
                await self._wait()
            if work.request.prompt == "error":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            return outcome_pb2.Outcome()

    async def GenerateStream(self, work: journey_pb2.Work, context: Any) -> AsyncIterator[services_pb2.TierEvent]:
        with serving(self.tracer, SPAN_GENERATE, metadata_of(context)):
            yield services_pb2.TierEvent(delta="a")
            if work.request.prompt == "wait":
                await self._wait()
            if work.request.prompt == "error":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    async def _wait(self) -> None:
        self.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()


class Spans(InMemorySpanExporter):
    """Keeps spans, and lets a test wait for the next one."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._more.set()
        return super().export(spans)

    async def one_more(self) -> None:
        await self._more.wait()
        self._more.clear()


class Rig:
    """A server and a stub whose spans are kept."""

    def __init__(self, tier: Tier, stub: Any, tracing: Tracing, spans: Spans) -> None:
        self.tier, self.stub, self.tracing, self.exporter = tier, stub, tracing, spans

    def unary(self, prompt: str, timeout_s: float = TIMEOUT) -> Any:
        return call_unary(
            self.tracing.tracer, SPAN_ATTEMPT, self.stub.Generate, asking(prompt),
            timeout_s=timeout_s, parent=context_from_traceparent(PARENT),
        )  # fmt: skip

    def stream(self, prompt: str, timeout_s: float = TIMEOUT) -> Any:
        return call_stream(
            self.tracing.tracer, SPAN_ATTEMPT, self.stub.GenerateStream, asking(prompt),
            timeout_s=timeout_s, parent=context_from_traceparent(PARENT),
        )  # fmt: skip

    async def ended(self, count: int = 2) -> dict[SpanKind, ReadableSpan]:
        """The spans by kind, once so many have ended."""
        async with asyncio.timeout(TIMEOUT):
            while len(self.exporter.get_finished_spans()) < count:
                await self.exporter.one_more()
        return {span.kind: span for span in self.exporter.get_finished_spans()}


def asking(prompt: str) -> journey_pb2.Work:
    work = journey_pb2.Work()
    work.request.prompt = prompt
    return work


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    exporter = Spans()
    tracing = start("test", "1", "", exporter)
    tier = Tier(tracing)
    add = adding((services_pb2_grpc.add_TierServicer_to_server, tier))
    async with (
        RpcServer(add, notice_ms=0, drain_ms=200) as server,
        channel(f"127.0.0.1:{server.port}") as wire,
    ):
        yield Rig(tier, stub_of(services_pb2_grpc.TierStub, wire), tracing, exporter)
    tracing.close()


async def test_client_and_server_are_one_trace_from_the_callers_traceparent(rig: Rig) -> None:
    await rig.unary("x")
    spans = await rig.ended()
    client, server = spans[SpanKind.CLIENT], spans[SpanKind.SERVER]
    assert client.context is not None
    assert client.parent is not None
    assert server.parent is not None
    assert f"{client.parent.span_id:016x}" == PARENT[36:52]
    assert server.parent.span_id == client.context.span_id
    assert f"{client.context.trace_id:032x}" == PARENT[3:35]
    assert client.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_an_error_ends_both_spans_with_it(rig: Rig, kind: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await consumed(rig, kind, "error")
    client = (await rig.ended())[SpanKind.CLIENT]
    assert client.attributes is not None
    assert client.attributes[RPC_STATUS] == grpc.StatusCode.UNAVAILABLE.value[0]
    assert client.status.status_code is StatusCode.ERROR
    assert client.status.description == "gone"


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_a_cancelled_call_ends_both_spans_and_is_felt_as_cancelled(rig: Rig, kind: str) -> None:
    task = asyncio.create_task(consumed(rig, kind, "wait"))
    async with asyncio.timeout(TIMEOUT):
        await rig.tier.entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await rig.tier.left.wait()
    spans = await rig.ended()
    assert spans[SpanKind.CLIENT].status.status_code is StatusCode.ERROR
    server = spans[SpanKind.SERVER]
    assert server.attributes is not None
    assert server.attributes[ERROR_TYPE] == "CancelledError"


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_a_call_that_hangs_ends_at_its_deadline(rig: Rig, kind: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await consumed(rig, kind, "wait", timeout_s=0.2)
    client = (await rig.ended())[SpanKind.CLIENT]
    assert client.attributes is not None
    assert client.attributes[ERROR_TYPE] == "DEADLINE_EXCEEDED"


async def test_a_call_that_is_never_sent_ends_at_once(rig: Rig) -> None:
    tracer, unsendable = rig.tracing.tracer, (("Not A Key", "x"),)
    with pytest.raises((grpc.aio.AioRpcError, ValueError, grpc.aio.InternalError, grpc.aio.UsageError)):
        await call_unary(
            tracer, SPAN_ATTEMPT, rig.stub.Generate, asking("x"), timeout_s=TIMEOUT, metadata=unsendable
        )
    assert (await rig.ended(1))[SpanKind.CLIENT].status.status_code is StatusCode.ERROR


async def test_a_stream_that_nobody_reads_ends_at_its_deadline(rig: Rig) -> None:
    call = rig.stream("x", timeout_s=0.3)
    assert (await rig.ended())[SpanKind.CLIENT].context is not None
    call.cancel()


async def test_a_stream_that_nobody_reads_ends_when_it_is_cancelled(rig: Rig) -> None:
    rig.stream("wait").cancel()
    assert (await rig.ended(1))[SpanKind.CLIENT].status.status_code is StatusCode.ERROR


async def consumed(rig: Rig, kind: str, prompt: str, timeout_s: float = TIMEOUT) -> None:
    if kind == "unary":
        await rig.unary(prompt, timeout_s)
        return
    call = rig.stream(prompt, timeout_s)
    async for _ in call:
        pass
