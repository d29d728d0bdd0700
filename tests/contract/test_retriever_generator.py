"""The tier that writes, asked over gRPC: deltas, deadlines, and every way in which a call can end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from opentelemetry.trace import NoOpTracer

from services.retrieval.generators import RemoteTier
from trivium import codec
from trivium.core.outcome import Answer, Fault, FaultKind, Outcome
from trivium.core.policy import Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import Work
from trivium.rpc.channels import channel
from trivium.rpc.server import RpcServer, adding
from trivium.tier.meter import now_ms
from trivium.v1 import journey_pb2, services_pb2
from trivium.v1.services_pb2_grpc import TierServicer, add_TierServicer_to_server

Act = Callable[[Work, Any], AsyncIterator[services_pb2.TierEvent]]


class Writer(TierServicer):
    """A tier whose answer a test decides."""

    def __init__(self, act: Act) -> None:
        self._act = act
        self.cancelled = asyncio.Event()

    async def GenerateStream(self, request: journey_pb2.Work, context: Any) -> AsyncIterator[services_pb2.TierEvent]:
        try:
            async for event in self._act(codec.work_from(request), context):
                yield event
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def work(left_ms: int = 5_000) -> Work:
    request = Request(Identity("acme", "1"), (Message(Role.USER, "How long?"),))
    return Work(request, 2, Target("finetuned/support", Tier.FINETUNED, "small"), TaskSpec("ask_docs"), now_ms() + left_ms)


async def asked(act: Act, given: Work, seen: list[str] | None = None) -> Outcome:
    servicer = (add_TierServicer_to_server, Writer(act))
    async with RpcServer(adding(servicer), notice_ms=0) as server, channel(f"127.0.0.1:{server.port}") as connection:
        return await RemoteTier(connection, NoOpTracer()).answer(given, (seen if seen is not None else []).append)


async def test_deltas_come_as_they_are_written_and_the_outcome_is_the_tiers() -> None:
    got: list[Work] = []

    async def act(asked_for: Work, context: Any) -> AsyncIterator[services_pb2.TierEvent]:
        got.append(asked_for)
        for delta in ("Five ", "days [1]."):
            yield services_pb2.TierEvent(delta=delta)
        outcome = Outcome(asked_for.request.identity, 2, "finetuned/support", Answer("Five days [1].", confidence=0.5), cost_micro_dollars=9)
        yield services_pb2.TierEvent(outcome=codec.outcome_to(outcome))

    seen: list[str] = []
    given = work()
    outcome = await asked(act, given, seen)
    assert seen == ["Five ", "days [1]."]
    assert got == [given]
    assert (outcome.result, outcome.cost_micro_dollars) == (Answer("Five days [1].", confidence=0.5), 9)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, FaultKind.UNAVAILABLE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, FaultKind.OVERLOADED),
        (grpc.StatusCode.INVALID_ARGUMENT, FaultKind.REJECTED),
        (grpc.StatusCode.PERMISSION_DENIED, FaultKind.FORBIDDEN),
        (grpc.StatusCode.INTERNAL, FaultKind.INTERNAL),
    ],
)
async def test_a_status_becomes_a_fault_that_names_the_generator(code: grpc.StatusCode, kind: FaultKind) -> None:
    async def act(_work: Work, context: Any) -> AsyncIterator[services_pb2.TierEvent]:
        yield services_pb2.TierEvent(delta="Half an ")
        await context.abort(code, "it broke")

    outcome = await asked(act, work())
    assert outcome.result == Fault(kind, "generator finetuned/support: it broke")
    assert outcome.attempt == 2


async def test_a_stream_without_an_outcome_is_cut() -> None:
    async def act(_work: Work, context: Any) -> AsyncIterator[services_pb2.TierEvent]:
        yield services_pb2.TierEvent(delta="Half an ")

    outcome = await asked(act, work())
    assert isinstance(outcome.result, Fault)
    assert outcome.result.kind is FaultKind.CUT


async def test_the_deadline_ends_the_call() -> None:
    async def act(_work: Work, context: Any) -> AsyncIterator[services_pb2.TierEvent]:
        yield services_pb2.TierEvent(delta="Half an ")
        await asyncio.Event().wait()

    outcome = await asked(act, work(left_ms=150))
    late = await asked(act, work(left_ms=-1))
    assert isinstance(outcome.result, Fault)
    assert outcome.result.kind is FaultKind.OVERDUE
    assert isinstance(late.result, Fault)
    assert late.result.kind is FaultKind.LATE


async def test_a_tier_that_is_not_there_is_unavailable(free_port: int) -> None:
    async with channel(f"127.0.0.1:{free_port}") as connection:
        outcome = await RemoteTier(connection, NoOpTracer()).answer(work())
    assert isinstance(outcome.result, Fault)
    assert outcome.result.kind is FaultKind.UNAVAILABLE


async def test_who_asks_no_longer_stops_the_writer() -> None:
    begun = asyncio.Event()

    async def act(_work: Work, context: Any) -> AsyncIterator[services_pb2.TierEvent]:
        yield services_pb2.TierEvent(delta="Half an ")
        begun.set()
        await asyncio.Event().wait()

    writer = Writer(act)
    servicer = (add_TierServicer_to_server, writer)
    async with RpcServer(adding(servicer), notice_ms=0) as server, channel(f"127.0.0.1:{server.port}") as connection:
        asking = asyncio.create_task(RemoteTier(connection, NoOpTracer()).answer(work()))
        await begun.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        async with asyncio.timeout(90):
            await writer.cancelled.wait()
