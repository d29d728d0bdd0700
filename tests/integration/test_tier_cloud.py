"""Work records through a running cloud tier: the real adapter, a server on Anthropic's wire, a broker on Kafka's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from infra.broker import EmbeddedBroker
from infra.standins.claude import ClaudeStandin
from infra.standins.mind import Mind
from trivium import codec
from trivium.claude.api import Claude
from trivium.core.decision import Decision, Source
from trivium.core.outcome import Answer
from trivium.core.policy import Leg, Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import Call, Health, Journey, Work
from trivium.kafka import topics
from trivium.kafka.producer import Producer
from trivium.kafka.reader import Tail
from trivium.kafka.record import Delivered, Record
from trivium.process import Process
from trivium.pulse import PulseView
from trivium.settings import CloudSettings, KafkaSettings, ProcessSettings, TierSettings
from trivium.telemetry import names
from trivium.telemetry.tracing import start
from trivium.tier.meter import now_ms
from trivium.tier.records import Headers
from trivium.tier.run import run_tier
from trivium.v1 import journey_pb2, records_pb2

PARTITIONS = 4
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE = (("traceparent", f"00-{TRACE_ID}-b7ad6b7169203331-01".encode()),)
SMALL = Target("cloud/small", Tier.CLOUD, "claude-haiku-5-5", prices=Prices(1_000_000, 5_000_000))


@dataclass
class Running:
    """A tier in this process and what is around it."""

    standin: ClaudeStandin
    producer: Producer
    outcomes: "asyncio.Queue[Delivered]"
    spans: InMemorySpanExporter
    pulses: PulseView
    process: Process
    tier: asyncio.Task[None]

    async def ask(self, name: str, trace: Headers = TRACE) -> tuple[Delivered, journey_pb2.OutcomeRecord]:
        await self.producer.publish(Record(topics.work(Tier.CLOUD), b"k", work(name), trace, 1), 5_000)
        async with asyncio.timeout(90):
            record = await self.outcomes.get()
        return record, journey_pb2.OutcomeRecord.FromString(record.value or b"")


def work(name: str) -> bytes:
    request = Request(Identity("acme", name), (Message(Role.USER, "My order 4711 is late."),))
    task = TaskSpec("draft_reply", system="You draft replies.")
    deadline = now_ms() + 8_000
    journey = Journey(request, task, (Leg(SMALL),), Decision(1, "f", Source.TASK, "draft_reply"), now_ms(), deadline)
    return codec.call_to_work(Call(journey, Work(request, 1, SMALL, task, deadline))).SerializeToString()


@pytest.fixture(scope="module")
def mind() -> Mind:
    return Mind.train()


@pytest.fixture
async def running(mind: Mind) -> AsyncIterator[Running]:
    exporter = InMemorySpanExporter()
    found: asyncio.Queue[Delivered] = asyncio.Queue()
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(
            EmbeddedBroker({t.name: 1 if t.partitions == 1 else PARTITIONS for t in topics.all_topics([])})
        )
        standin = await stack.enter_async_context(ClaudeStandin(mind=mind))
        kafka = KafkaSettings(bootstrap=broker.bootstrap, partitions=PARTITIONS)
        tracing = start("trivium-cloud", "cloud-1", "", exporter)
        process = Process("cloud", {}, ProcessSettings(instance="cloud-1", drain_ms=2_000), tracing=tracing)
        claude = await stack.enter_async_context(Claude(CloudSettings(key="key", url=standin.url), process.tracer))
        producer = await stack.enter_async_context(Producer(broker.bootstrap))
        await stack.enter_async_context(Tail(broker.bootstrap, topics.OUTCOMES, found.put_nowait))
        pulses = await stack.enter_async_context(PulseView(broker.bootstrap))
        tier = asyncio.create_task(run_tier(process, Tier.CLOUD, claude, kafka, TierSettings(slots=4), 0))
        yield Running(standin, producer, found, exporter, pulses, process, tier)
        process.stopping.set()
        await tier
        await process.close()


async def test_a_work_record_becomes_an_outcome_in_one_trace(running: Running) -> None:
    record, found = await running.ask("one")
    outcome = codec.outcome_from(found.outcome)
    assert isinstance(outcome.result, Answer)
    assert "4711" in outcome.result.text
    assert outcome.cost_micro_dollars == outcome.usage.input_tokens + 5 * outcome.usage.output_tokens
    assert TRACE_ID in (record.header("traceparent") or b"").decode()
    running.process.stopping.set()
    await running.tier
    spans = {span.name: span for span in running.spans.get_finished_spans()}
    tier, chat = spans[names.SPAN_WORK], spans["chat claude-haiku-5-5"]
    assert tier.context is not None
    assert chat.parent is not None
    assert chat.parent.span_id == tier.context.span_id
    assert f"{tier.context.trace_id:032x}" == TRACE_ID
    assert (record.header("traceparent") or b"").decode().split("-")[2] == f"{tier.context.span_id:016x}"
    assert dict(chat.attributes or {})[names.GEN_AI_OUTPUT_TOKENS] == outcome.usage.output_tokens
    assert dict(tier.attributes or {})[names.TARGET] == "cloud/small"


async def test_work_of_a_trace_that_is_not_sent_makes_no_span_and_its_traceparent_travels(running: Running) -> None:
    (key, value), *_ = TRACE
    unsent = value[:-1] + b"0"
    record, found = await running.ask("one", ((key, unsent),))
    assert isinstance(codec.outcome_from(found.outcome).result, Answer)
    assert record.header("traceparent") == unsent
    assert running.spans.get_finished_spans() == ()


async def test_an_overloaded_vendor_opens_the_breaker_which_the_pulse_tells(running: Running) -> None:
    running.standin.faults.control({"fault": "unavailable", "count": -1, "retry_after_s": 0})
    kinds = [(await running.ask(f"r{number}"))[1].outcome.fault for number in range(7)]
    assert [fault.kind for fault in kinds] == ["unavailable"] * 7
    assert running.standin.calls.count == 5
    assert kinds[-1].message == "the breaker of cloud/small is open"
    async with asyncio.timeout(90):
        while running.pulses.facts(now_ms())["cloud/small"].health is not Health.OPEN:  # noqa: ASYNC110 (a view tells nobody)
            await asyncio.sleep(0.05)


async def test_a_request_that_can_wait_as_long_as_the_vendor_asks_is_answered(running: Running) -> None:
    running.standin.faults.control({"fault": "rate_limited", "count": 1, "retry_after_s": 1})
    refused = (await running.ask("first"))[1].outcome
    assert (refused.fault.kind, refused.fault.retry_after_ms) == ("rate_limited", 1_000)
    answered = [(await running.ask(name))[1].outcome for name in ("second", "third")]
    assert [outcome.WhichOneof("result") for outcome in answered] == ["answer", "answer"]
    assert answered[0].started_ms - refused.ended_ms >= 900


async def test_while_a_vendor_asks_to_wait_it_is_left_alone_and_the_queue_says_so(running: Running) -> None:
    running.standin.faults.control({"fault": "rate_limited", "count": -1, "retry_after_s": 60})
    first, *others = [(await running.ask(f"r{number}"))[1].outcome.fault for number in range(6)]
    assert running.standin.calls.count == 1
    assert (first.kind, first.retry_after_ms) == ("rate_limited", 60_000)
    assert [fault.kind for fault in others] == ["rate_limited"] * 5
    assert all(50_000 < fault.retry_after_ms <= 60_000 for fault in others), others
    async with asyncio.timeout(90):
        while not running.pulses.facts(now_ms())["cloud/small"].queue_wait_ms > 40_000:  # noqa: ASYNC110 (a view tells nobody)
            await asyncio.sleep(0.05)


async def test_a_probe_of_another_instance_closes_this_ones_breaker(running: Running) -> None:
    running.standin.faults.control({"fault": "unavailable", "count": -1, "retry_after_s": 0})
    for number in range(6):
        _, found = await running.ask(f"r{number}")
    assert found.outcome.fault.message == "the breaker of cloud/small is open"
    running.standin.faults.control({"clear": True})
    async with asyncio.timeout(90):
        while not found.outcome.HasField("answer"):
            for state in ("half_open", "closed"):
                small = records_pb2.TargetPulse(target="cloud/small", breaker=state)
                told = records_pb2.Pulse(instance="cloud-2", service="cloud", targets=[small])
                await running.producer.publish(Record(topics.PULSE, b"cloud-2", told.SerializeToString(), (), 0), 5_000)
            _, found = await running.ask(f"again-{now_ms()}")
