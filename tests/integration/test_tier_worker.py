"""A tier's worker over a broker that speaks Kafka's wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from infra.broker import EmbeddedBroker
from tests.wire_versions import mark, newer, older
from trivium import codec
from trivium.core.decision import Decision, Source
from trivium.core.outcome import Answer, Outcome, Usage
from trivium.core.partition import home
from trivium.core.policy import Leg, OnAmbiguous, Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Priority, Request, Role, Sensitivity
from trivium.core.slip import Call, Journey, Work
from trivium.kafka import topics
from trivium.kafka.claim import GroupOptions
from trivium.kafka.outbox import Outbox
from trivium.kafka.producer import Producer
from trivium.kafka.reader import Tail
from trivium.kafka.record import Delivered, Record
from trivium.ports import Emit, Generator, emit_nothing
from trivium.telemetry.metrics import Metrics
from trivium.telemetry.names import COMPLETION, PROMPT, REQUEST_ID
from trivium.telemetry.tracing import start
from trivium.tier.caller import Caller
from trivium.tier.meter import Meter, now_ms
from trivium.tier.records import Writer, on_refused
from trivium.tier.slots import Slots
from trivium.tier.worker import Worker, WorkerOptions
from trivium.v1 import journey_pb2, records_pb2

PARTITIONS = 4
TRACE = (("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)
PRICES = Prices(input_per_million=1_000_000, output_per_million=5_000_000)
SMALL = Target("cloud/small", Tier.CLOUD, "small", prices=PRICES)


class Parrot:
    """A generator that says the question again and counts its calls."""

    def __init__(self, wait: asyncio.Event | None = None, text: str = "") -> None:
        self.calls: list[str] = []
        self.wait = wait
        self.text = text

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        meter = Meter(work, emit)
        self.calls.append(work.request.identity.id)
        meter.usage = Usage(10, 2)
        if self.wait is not None:
            await self.wait.wait()
        return meter.answered(Answer(self.text or work.request.question, model="parrot"))


class Seen:
    """Everything that a topic has, as it comes."""

    def __init__(self) -> None:
        self.records: list[Delivered] = []
        self._more = asyncio.Event()

    def __call__(self, record: Delivered) -> None:
        self.records.append(record)
        self._more.set()

    async def wait(self, count: int) -> list[Delivered]:
        """Waits until so many are there."""
        async with asyncio.timeout(90):
            while len(self.records) < count:
                self._more.clear()
                await self._more.wait()
        return self.records


@dataclass
class Mesh:
    """A broker and what is needed to publish work and look at what comes of it."""

    broker: EmbeddedBroker
    producer: Producer
    seen: dict[str, Seen]

    async def publish(self, record: Record) -> None:
        await self.producer.publish(record, 5_000)

    async def outcomes(self, count: int) -> list[tuple[Delivered, journey_pb2.OutcomeRecord]]:
        found = await self.seen[topics.OUTCOMES].wait(count)
        return [(record, journey_pb2.OutcomeRecord.FromString(record.value or b"")) for record in found]

    async def attempts(self, count: int) -> list[records_pb2.AttemptRecord]:
        found = await self.seen[topics.attempts(Tier.CLOUD)].wait(count)
        return [records_pb2.AttemptRecord.FromString(record.value or b"") for record in found]

    async def dead(self, count: int) -> list[records_pb2.DeadLetter]:
        found = await self.seen[topics.DEADLETTER].wait(count)
        return [records_pb2.DeadLetter.FromString(record.value or b"") for record in found]


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    names = {t.name: PARTITIONS for t in topics.all_topics([])}
    with EmbeddedBroker(names) as broker:
        seen = {topic: Seen() for topic in (topics.OUTCOMES, topics.attempts(Tier.CLOUD), topics.DEADLETTER)}
        async with Producer(broker.bootstrap) as producer, AsyncExitStack() as stack:
            for topic, collect in seen.items():
                await stack.enter_async_context(Tail(broker.bootstrap, topic, collect))
            yield Mesh(broker, producer, seen)


@asynccontextmanager
async def worker(
    mesh: Mesh,
    generator: Generator,
    slots: int = 4,
    max_bytes: int = 1_000_000,
    drain_ms: int = 2_000,
    spans: InMemorySpanExporter | None = None,
    capture: bool = False,
    metrics: Metrics | None = None,
) -> AsyncIterator[Worker]:
    """A running cloud worker."""
    caller = Caller(Tier.CLOUD, generator, "cloud-1", metrics or Metrics(), Slots(slots), capture)
    writer = Writer(Tier.CLOUD, "cloud-1", PARTITIONS, max_bytes)
    options = WorkerOptions(
        mesh.broker.bootstrap,
        GroupOptions(commit_every_ms=20, session_timeout_ms=1_500, heartbeat_ms=300),
        drain_ms=drain_ms,
    )
    async with (
        Producer(mesh.broker.bootstrap) as producer,
        Outbox(producer, on_refused) as outbox,
        Worker(caller, writer, outbox, start("trivium-cloud", "cloud-1", "", spans), options) as running,
    ):
        yield running


def work(
    name: str,
    deadline_ms: int = 0,
    target: Target = SMALL,
    sensitivity: Sensitivity = Sensitivity.INTERNAL,
    priority: Priority = Priority.NORMAL,
) -> journey_pb2.Work:
    request = Request(
        Identity("acme", name), (Message(Role.USER, f"Is {name} there?"),), team="desk", sensitivity=sensitivity,
        priority=priority,
    )  # fmt: skip
    task = TaskSpec("draft", system="Task: draft")
    deadline = deadline_ms or now_ms() + 30_000
    decision = Decision(1, "f", Source.TASK, "draft")
    journey = Journey(request, task, (Leg(target),), decision, now_ms(), deadline)
    return codec.call_to_work(Call(journey, Work(request, 1, target, task, deadline)))


def record(message: journey_pb2.Work, partition: int = 1, topic: str = topics.work(Tier.CLOUD)) -> Record:
    return Record(topic, b"acme", message.SerializeToString(), TRACE, partition)


def start_of(message: journey_pb2.Work, execution: int, partition: int = 1) -> Record:
    writer = Writer(Tier.CLOUD, "cloud-0", PARTITIONS, 1_000_000)
    return writer.started(codec.work_from(message), execution, partition, "kafka", now_ms(), ())


async def test_work_that_follows_an_attempt_is_linked_to_it(mesh: Mesh) -> None:
    spans, before = InMemorySpanExporter(), b"00-0af7651916cd43dd8448eb211c80319c-00000000000000aa-01"
    async with worker(mesh, Parrot(), spans=spans):
        for name, follows in (("first", ()), ("second", (("follows", before),)), ("odd", (("follows", b"\xff"),))):
            asked = record(work(name))
            await mesh.publish(replace(asked, headers=asked.headers + follows))
        await mesh.attempts(6)
    links = {str((span.attributes or {})[REQUEST_ID]): span.links for span in spans.get_finished_spans()}
    assert {name: [f"{link.context.span_id:x}" for link in found] for name, found in links.items()} == {
        "first": [], "second": ["aa"], "odd": [],
    }  # fmt: skip


async def test_texts_are_in_spans_when_asked_for(mesh: Mesh) -> None:
    spans = InMemorySpanExporter()
    async with worker(mesh, Parrot(), spans=spans, capture=True):
        await mesh.publish(record(work("public")))
        await mesh.attempts(2)
    (said,) = (dict(span.attributes or {}) for span in spans.get_finished_spans())
    assert said[PROMPT] == "Is public there?"
    assert said[COMPLETION]


async def test_before_partitions_go_what_was_begun_is_finished_and_nothing_is_begun(mesh: Mesh) -> None:
    """Else whoever gets them finds a start without an end, and pays for it again."""
    parrot = Parrot(asyncio.Event())
    async with worker(mesh, parrot, slots=1) as running:
        for name in ("first", "second"):
            await mesh.publish(record(work(name, target=replace(SMALL, on_ambiguous=OnAmbiguous.FAIL))))
        await mesh.attempts(1)
        member = running._consumer
        ours = list(member._lanes)
        going = asyncio.create_task(member._revoked())
        assert parrot.wait is not None
        parrot.wait.set()
        await going
        assert [(one.identity.id, one.state) for one in await mesh.attempts(2)] == [("first", "started"), ("first", "settled")]
        assert parrot.calls == ["first"]
        member._assigned(ours)
        assert [outcome.outcome.identity.id for _, outcome in await mesh.outcomes(2)] == ["first", "second"]


async def test_work_comes_back_as_an_outcome_in_the_home_partition(mesh: Mesh) -> None:
    message = work("one")
    await mesh.publish(record(message))
    async with worker(mesh, Parrot()):
        [(found, outcome)] = await mesh.outcomes(1)
        attempts = await mesh.attempts(2)
    assert found.partition == home("acme/one", PARTITIONS)
    assert found.header("traceparent") == TRACE[0][1]
    assert outcome.slip == message.slip
    assert outcome.request == message.request
    answer = codec.outcome_from(outcome.outcome)
    assert isinstance(answer.result, Answer)
    assert (answer.result.text, answer.cost_micro_dollars, answer.instance) == ("Is one there?", 20, "cloud-1")
    assert [(a.state, a.execution, a.cost_micro_dollars, a.team, a.door) for a in attempts] == [
        ("started", 1, 0, "desk", "kafka"),
        ("settled", 1, 20, "desk", "kafka"),
    ]


async def test_settled_work_is_acknowledged_without_a_call(mesh: Mesh) -> None:
    first, again = Parrot(), Parrot()
    await mesh.publish(record(work("one")))
    async with worker(mesh, first):
        await mesh.outcomes(1)
        await mesh.attempts(2)
    await mesh.publish(record(work("one")))
    await mesh.publish(record(work("two")))
    async with worker(mesh, again):
        found = await mesh.outcomes(2)
    assert (first.calls, again.calls) == (["one"], ["two"])
    assert sorted(outcome.outcome.identity.id for _, outcome in found) == ["one", "two"]


async def test_the_same_work_twice_is_called_once(mesh: Mesh) -> None:
    gate, parrot = asyncio.Event(), Parrot()
    parrot.wait = gate
    await mesh.publish(record(work("one")))
    await mesh.publish(record(work("one")))
    async with worker(mesh, parrot) as running:
        await mesh.attempts(1)
        gate.set()
        await mesh.outcomes(1)
        await mesh.attempts(2)
    assert running.in_hand == 0
    assert parrot.calls == ["one"]


@pytest.mark.parametrize(
    ("starts", "target", "calls", "fault"),
    [
        (1, SMALL, ["one"], ""),
        (1, replace(SMALL, on_ambiguous=OnAmbiguous.FAIL), [], "ambiguous"),
        (3, SMALL, [], "started_too_often"),
    ],
)
async def test_work_that_was_started_and_never_settled(
    mesh: Mesh, starts: int, target: Target, calls: list[str], fault: str
) -> None:
    message, parrot, metrics = work("one", target=target), Parrot(), Metrics()
    for execution in range(1, starts + 1):
        await mesh.publish(start_of(message, execution))
    await mesh.publish(record(message))
    async with worker(mesh, parrot, metrics=metrics):
        [(_, outcome)] = await mesh.outcomes(1)
        attempts = await mesh.attempts(starts + 1 + len(calls))
    assert parrot.calls == calls
    assert outcome.outcome.fault.kind == fault
    assert attempts[-1].state == "settled"
    assert attempts[-1].execution == (starts + 1 if calls else starts)
    then = "called" if calls else "failed"
    assert f'trivium_ambiguous_spend_total{{target="cloud/small",then="{then}"}} 1.0' in metrics.render().decode()
    assert [d.reason.code for d in await mesh.dead(starts // 3)] == (["started_too_often"] if starts == 3 else [])


async def test_late_and_restricted_work_is_answered_without_a_call(mesh: Mesh) -> None:
    parrot = Parrot()
    await mesh.publish(record(work("late", deadline_ms=now_ms() - 5)))
    await mesh.publish(record(work("secret", sensitivity=Sensitivity.RESTRICTED)))
    async with worker(mesh, parrot):
        found = await mesh.outcomes(2)
    assert {o.outcome.identity.id: o.outcome.fault.kind for _, o in found} == {"late": "late", "secret": "forbidden"}
    assert parrot.calls == []
    assert await mesh.attempts(0) == []


async def test_no_answer_in_time_is_overdue_with_what_was_spent(mesh: Mesh) -> None:
    await mesh.publish(record(work("slow", deadline_ms=now_ms() + 1_500)))
    async with worker(mesh, Parrot(wait=asyncio.Event())):
        [(_, outcome)] = await mesh.outcomes(1)
    assert (outcome.outcome.fault.kind, outcome.outcome.cost_micro_dollars) == ("overdue", 20)


async def test_what_cannot_be_read_is_put_aside_and_its_neighbours_go_on(mesh: Mesh) -> None:
    topic = topics.work(Tier.CLOUD)
    await mesh.publish(Record(topic, b"k", b"\xff\xff not a work record", TRACE, 1))
    await mesh.publish(record(work("one")))
    async with worker(mesh, Parrot()):
        await mesh.outcomes(1)
        [dead] = await mesh.dead(1)
    assert (dead.reason.code, dead.topic, dead.partition, dead.offset) == ("undecodable", topic, 1, 0)
    assert dead.value == b"\xff\xff not a work record"


async def test_an_answer_that_does_not_fit_becomes_a_fault_with_its_cost(mesh: Mesh) -> None:
    await mesh.publish(record(work("one")))
    async with worker(mesh, Parrot(text="long " * 4_000), max_bytes=20_000):
        [(_, outcome)] = await mesh.outcomes(1)
    assert (outcome.outcome.fault.kind, outcome.outcome.cost_micro_dollars) == ("too_large", 20)


async def test_a_generator_that_breaks_its_promise_is_a_fault(mesh: Mesh) -> None:
    class Broken:
        async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
            raise ZeroDivisionError("no")

    await mesh.publish(record(work("one")))
    await mesh.publish(record(work("two")))
    async with worker(mesh, Broken()):
        found = await mesh.outcomes(2)
    assert [o.outcome.fault.kind for _, o in found] == ["internal", "internal"]


async def test_many_records_all_come_back(mesh: Mesh) -> None:
    for number in range(300):
        await (await mesh.producer.send(record(work(f"r{number}"), number % PARTITIONS)))
    async with worker(mesh, Parrot(), slots=16):
        found = await mesh.outcomes(300)
    assert len({outcome.outcome.identity.id for _, outcome in found}) == 300


@pytest.mark.parametrize(("on_ambiguous", "starts"), [(OnAmbiguous.RETRY, 3), (OnAmbiguous.FAIL, 1)])
async def test_starts_run_ahead_only_where_a_start_without_a_call_does_no_harm(
    mesh: Mesh, on_ambiguous: OnAmbiguous, starts: int
) -> None:
    gate, parrot = asyncio.Event(), Parrot()
    parrot.wait = gate
    for number in range(3):
        await mesh.publish(record(work(f"r{number}", target=replace(SMALL, on_ambiguous=on_ambiguous))))
    async with worker(mesh, parrot, slots=1) as running:
        await mesh.attempts(starts)
        async with asyncio.timeout(90):
            while running.in_hand < 3 or not parrot.calls:  # noqa: ASYNC110 (a worker tells nobody)
                await asyncio.sleep(0.01)
        assert len(await mesh.attempts(starts)) == starts
        assert parrot.calls == ["r0"]
        gate.set()
        await mesh.outcomes(3)
    assert [attempt.state for attempt in await mesh.attempts(6)].count("settled") == 3


async def test_a_newer_routers_slip_comes_back_whole_and_an_older_ones_work_is_done(mesh: Mesh) -> None:
    to_come, first_version = newer(), older()
    marked = mark(to_come.read(work("newer")))
    stripped = first_version.without_the_rest(work("older"))
    async with worker(mesh, Parrot()):
        for value in (marked, stripped):
            await mesh.publish(Record(topics.work(Tier.CLOUD), b"acme", value.SerializeToString(), TRACE, 1))
        found = {outcome.outcome.identity.id: outcome for _, outcome in await mesh.outcomes(2)}
    back = to_come.read(found["newer"])
    assert back.slip == marked.slip
    assert back.request == marked.request
    assert found["older"].slip == stripped.slip  # type: ignore[attr-defined]
    assert {name: outcome.outcome.WhichOneof("result") for name, outcome in found.items()} == {"newer": "answer", "older": "answer"}
    assert first_version.read(found["newer"]).outcome.answer.text == "Is newer there?"
