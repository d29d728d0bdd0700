"""A tier's gRPC door, and the pulse, over a broker that speaks Kafka's wire."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from infra.broker import EmbeddedBroker
from trivium import codec
from trivium.core.outcome import Answer, Outcome, Usage
from trivium.core.policy import Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role, Sensitivity
from trivium.core.slip import Health, Work
from trivium.kafka import topics
from trivium.kafka.outbox import Outbox
from trivium.kafka.producer import Producer
from trivium.kafka.reader import Tail
from trivium.kafka.record import Delivered
from trivium.ports import Emit, emit_nothing
from trivium.pulse import PulseView, PulseWriter
from trivium.rpc.channels import channel, stub
from trivium.rpc.server import RpcServer, adding
from trivium.telemetry.metrics import Metrics
from trivium.telemetry.tracing import start
from trivium.tier.caller import Caller
from trivium.tier.meter import Meter, now_ms
from trivium.tier.records import Writer, on_refused
from trivium.tier.servicer import TierServicer
from trivium.tier.slots import Slots
from trivium.v1 import records_pb2
from trivium.v1.services_pb2_grpc import TierStub, add_TierServicer_to_server

SMALL = Target("cloud/small", Tier.CLOUD, "small", prices=Prices(1_000_000, 5_000_000))


class Speaker:
    """Says three words, then waits for `gate` when there is one; `ended` tells how a call left it."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.gate = gate
        self.spoke = asyncio.Event()
        self.ended: list[str] = []

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        meter = Meter(work, emit)
        try:
            for word in ("all ", "is ", "well"):
                meter.token(word)
            meter.usage = Usage(10, 3)
            self.spoke.set()
            if self.gate is not None:
                await self.gate.wait()
            self.ended.append("answered")
            return meter.answered(Answer("all is well"))
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise


@dataclass
class Door:
    stub: Any
    attempts: "asyncio.Queue[records_pb2.AttemptRecord]"
    caller: Caller

    async def settled(self) -> records_pb2.AttemptRecord:
        """The next `settled` record."""
        async with asyncio.timeout(90):
            while (record := await self.attempts.get()).state != "settled":
                assert record.door == "grpc"
            return record


@pytest.fixture(scope="module")
def broker() -> Any:
    with EmbeddedBroker({topics.attempts(Tier.CLOUD): 4, topics.PULSE: 1}) as running:
        yield running


Opener = Callable[..., Any]


@pytest.fixture
def door(broker: EmbeddedBroker) -> Opener:
    @asynccontextmanager
    async def opened(generator: Any, slots: int = 4) -> AsyncIterator[Door]:
        caller = Caller(Tier.CLOUD, generator, "cloud-1", Metrics(), Slots(slots))
        writer = Writer(Tier.CLOUD, "cloud-1", 4, 1_000_000)
        found: asyncio.Queue[records_pb2.AttemptRecord] = asyncio.Queue()

        def take(record: Delivered) -> None:
            found.put_nowait(records_pb2.AttemptRecord.FromString(record.value or b""))

        tail = Tail(broker.bootstrap, topics.attempts(Tier.CLOUD), take, from_beginning=False)
        async with Producer(broker.bootstrap) as producer, Outbox(producer, on_refused) as outbox, tail:
            assert await tail.wait_caught_up(10_000)
            servicer = TierServicer(caller, writer, outbox, start("trivium-cloud", "cloud-1", ""))
            async with (
                RpcServer(adding((add_TierServicer_to_server, servicer)), notice_ms=0, drain_ms=1_000) as server,
                channel(f"127.0.0.1:{server.port}") as to_server,
            ):
                yield Door(stub(TierStub, to_server), found, caller)

    return opened


def work(name: str = "one", deadline_ms: int = 0, sensitivity: Sensitivity = Sensitivity.INTERNAL) -> Any:
    request = Request(Identity("acme", name), (Message(Role.USER, "How are things?"),), sensitivity=sensitivity)
    return codec.work_to(Work(request, 1, SMALL, TaskSpec("draft"), deadline_ms or now_ms() + 20_000))


async def test_a_call_is_answered_and_leaves_its_bill(door: Opener) -> None:
    async with door(Speaker()) as tier:
        outcome = codec.outcome_from(await tier.stub.Generate(work(), timeout=20))
        settled = await tier.settled()
    assert isinstance(outcome.result, Answer)
    assert (outcome.result.text, outcome.cost_micro_dollars, outcome.instance) == ("all is well", 25, "cloud-1")
    assert (settled.cost_micro_dollars, settled.execution, settled.door) == (25, 1, "grpc")


async def test_a_stream_ends_in_the_same_outcome(door: Opener) -> None:
    async with door(Speaker()) as tier:
        events = [event async for event in tier.stub.GenerateStream(work(), timeout=20)]
    assert "".join(event.delta for event in events[:-1]) == "all is well"
    assert events[-1].outcome.answer.text == "all is well"


async def test_a_caller_that_goes_cancels_the_vendor_call_and_pays_what_was_spent(door: Opener) -> None:
    speaker = Speaker(asyncio.Event())
    async with door(speaker, slots=1) as tier:
        call = tier.stub.Generate(work(), timeout=20)
        await speaker.spoke.wait()
        call.cancel()
        settled = await tier.settled()
        assert (settled.fault, settled.cost_micro_dollars, speaker.ended) == ("cancelled", 25, ["cancelled"])
        speaker.gate = None
        outcome = await tier.stub.Generate(work("two"), timeout=20)
    assert outcome.answer.text == "all is well"


async def test_a_stream_that_nobody_reads_on_is_cancelled_too(door: Opener) -> None:
    speaker = Speaker(asyncio.Event())
    async with door(speaker) as tier:
        call = tier.stub.GenerateStream(work(), timeout=20)
        await call.read()
        call.cancel()
        settled = await tier.settled()
    assert (settled.fault, speaker.ended) == ("cancelled", ["cancelled"])


async def test_the_earlier_of_both_deadlines_counts(door: Opener) -> None:
    async with door(Speaker(asyncio.Event())) as tier:
        by_work = await tier.stub.Generate(work(deadline_ms=now_ms() + 200), timeout=20)
        by_call = await tier.stub.Generate(work("two"), timeout=0.3)
    assert [by_work.fault.kind, by_call.fault.kind] == ["overdue", "overdue"]


async def test_no_slot_in_time_is_late(door: Opener) -> None:
    speaker = Speaker(asyncio.Event())
    async with door(speaker, slots=1) as tier:
        held = tier.stub.Generate(work("held"), timeout=20)
        await speaker.spoke.wait()
        late = await tier.stub.Generate(work("late", deadline_ms=now_ms() + 100), timeout=20)
        assert (late.fault.kind, tier.caller.slots.waiting) == ("late", 0)
        held.cancel()


async def test_who_goes_while_waiting_leaves_no_queue_behind(door: Opener) -> None:
    speaker = Speaker(asyncio.Event())
    async with door(speaker, slots=1) as tier:
        held = tier.stub.Generate(work("held"), timeout=20)
        await speaker.spoke.wait()
        waiting = tier.stub.Generate(work("waiting"), timeout=20)
        async with asyncio.timeout(90):
            while not tier.caller.slots.waiting:  # noqa: ASYNC110 (a queue tells nobody)
                await asyncio.sleep(0.01)
            waiting.cancel()
            while tier.caller.slots.waiting:  # noqa: ASYNC110 (a queue tells nobody)
                await asyncio.sleep(0.01)
        held.cancel()
        await tier.settled()
        [report] = tier.caller.board.reports(now_ms() + 50_000)
    assert (report.queue_wait_ms, report.in_flight) == (0, 0)


async def test_a_restricted_request_is_refused_at_this_door(door: Opener) -> None:
    speaker = Speaker()
    async with door(speaker) as tier:
        outcome = await tier.stub.Generate(work(sensitivity=Sensitivity.RESTRICTED), timeout=20)
    assert (outcome.fault.kind, speaker.ended) == ("forbidden", [])


async def test_a_call_without_a_deadline_or_of_no_work_is_told_so(door: Opener) -> None:
    async with door(Speaker()) as tier:
        with pytest.raises(grpc.aio.AioRpcError) as no_deadline:
            await tier.stub.Generate(work())
        wrong = work()
        wrong.request.sensitivity = "secret"
        with pytest.raises(grpc.aio.AioRpcError) as no_word:
            await tier.stub.Generate(wrong, timeout=20)
    assert no_deadline.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert no_word.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "sensitivity" in (no_word.value.details() or "")


async def test_an_instance_is_up_by_its_pulse_and_silent_when_it_leaves(broker: EmbeddedBroker) -> None:
    def take() -> records_pb2.Pulse:
        return records_pb2.Pulse(
            instance="cloud-1",
            service="cloud",
            targets=[records_pb2.TargetPulse(target="cloud/small", breaker="closed")],
        )

    async def until(view: PulseView, health: Health) -> None:
        # Computed anew for every instant that is 100 ms later.
        async with asyncio.timeout(90):
            at_ms = now_ms()
            while (facts := view.facts(at_ms).get("cloud/small")) is None or facts.health is not health:
                await asyncio.sleep(0.01)
                at_ms += 100

    async with PulseView(broker.bootstrap, 60_000_000) as view, Producer(broker.bootstrap) as producer:
        async with PulseWriter(producer, take):
            await until(view, Health.UP)
        await until(view, Health.SILENT)
