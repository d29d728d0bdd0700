"""Hard budgets at both doors of a tier, over a broker that speaks Kafka's wire."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from infra.broker import EmbeddedBroker
from trivium import codec
from trivium.budget.keeper import Keeper
from trivium.budget.lease import KeeperOptions
from trivium.codec.budgets import RULES_KEY, budget_record_from, rules_to
from trivium.core.budget import Rules
from trivium.core.budget_fold import State
from trivium.core.budget_worst import worst_case
from trivium.core.decision import Decision, Source
from trivium.core.outcome import Answer, Fault, FaultKind, Outcome, Usage
from trivium.core.policy import EACH, Budget, Leg, Period, Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import Call, Journey, Work
from trivium.kafka import topics
from trivium.kafka.claim import GroupOptions
from trivium.kafka.outbox import Outbox
from trivium.kafka.producer import Producer
from trivium.kafka.reader import Tail
from trivium.kafka.record import Delivered, Record
from trivium.ports import Emit, emit_nothing
from trivium.rpc.channels import channel, stub
from trivium.rpc.server import RpcServer, adding
from trivium.telemetry.metrics import Metrics
from trivium.telemetry.tracing import start
from trivium.tier.caller import Caller
from trivium.tier.meter import Meter, now_ms
from trivium.tier.records import Writer, on_refused
from trivium.tier.servicer import TierServicer
from trivium.tier.slots import Slots
from trivium.tier.worker import Worker, WorkerOptions
from trivium.v1 import journey_pb2, records_pb2
from trivium.v1.services_pb2_grpc import TierStub, add_TierServicer_to_server

PARTITIONS = 2
SMALL = Target("cloud/small", Tier.CLOUD, "small", prices=Prices(1_000_000, 5_000_000))
TASK = TaskSpec("draft", system="Task: draft", max_output_tokens=100)
COST = 100 + 5 * 40
"""Of one call, micro-dollars."""
MONTH = Budget("acme-month", Period.MONTH, 20_000, tenant="acme")

PATIENT = KeeperOptions(ask_ms=30_000, idle_ms=200, tick_ms=50)
"""However slow the machine is, the log answers in time."""


class Payer:
    """Answers, and adds up what it was paid."""

    def __init__(self) -> None:
        self.paid = 0
        self.calls = 0

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        meter = Meter(work, emit)
        self.calls += 1
        self.paid += COST
        meter.usage = Usage(100, 40)
        return meter.answered(Answer("yes", model="payer"))


@dataclass
class Log:
    """What stands in a topic, as it comes."""

    records: list[Delivered] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, record: Delivered) -> None:
        self.records.append(record)
        self.more.set()

    async def until(self, enough: Any) -> None:
        async with asyncio.timeout(90):
            while not enough():
                self.more.clear()
                await self.more.wait()


@dataclass
class Mesh:
    broker: EmbeddedBroker
    producer: Producer
    outcomes: Log
    attempts: Log
    budget: Log

    async def rules(self, *budgets: Budget, revision: int = 1) -> None:
        value = rules_to(Rules(revision, budgets)).SerializeToString()
        await self.producer.publish(Record(topics.BUDGET, RULES_KEY, value, (), 0), 5_000)

    async def ask(self, name: str, **labels: str) -> None:
        value = work(name, **labels).SerializeToString()
        await self.producer.publish(Record(topics.work(Tier.CLOUD), name.encode(), value, (), 0), 5_000)

    async def results(self, count: int) -> list[Outcome]:
        await self.outcomes.until(lambda: len(self.outcomes.records) >= count)
        messages = [journey_pb2.OutcomeRecord.FromString(one.value or b"") for one in self.outcomes.records]
        return [codec.outcome_from(message.outcome) for message in messages]

    def told(self, state: str) -> list[records_pb2.AttemptRecord]:
        every = [records_pb2.AttemptRecord.FromString(one.value or b"") for one in self.attempts.records]
        return [one for one in every if one.state == state]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    names = {t.name: t.partitions for t in topics.all_topics([], PARTITIONS)}
    with EmbeddedBroker(names) as running:
        yield running


@pytest.fixture
async def mesh(broker: EmbeddedBroker) -> AsyncIterator[Mesh]:
    logs = {name: Log() for name in (topics.OUTCOMES, topics.attempts(Tier.CLOUD), topics.BUDGET)}
    async with Producer(broker.bootstrap) as producer, AsyncExitStack() as stack:
        for name, log in logs.items():
            await stack.enter_async_context(Tail(broker.bootstrap, name, log.take))
        yield Mesh(broker, producer, *logs.values())


@dataclass
class Door:
    """One process: its generator, its gRPC door and its leases."""

    payer: Payer
    stub: Any
    keeper: Keeper

    async def ask(self, name: str, **labels: str) -> Outcome:
        message = codec.work_to(codec.work_from(work(name, **labels)))
        return codec.outcome_from(await self.stub.Generate(message, timeout=180))


@asynccontextmanager
async def tier(mesh: Mesh, instance: str, kafka: bool, options: KeeperOptions = PATIENT) -> AsyncIterator[Door]:
    """One process of the cloud tier, with its Kafka door or with its gRPC door alone."""
    payer = Payer()
    caller = Caller(Tier.CLOUD, payer, instance, Metrics(), Slots(16))
    writer, tracing = Writer(Tier.CLOUD, instance, PARTITIONS, 1_000_000), start("trivium-cloud", instance, "")
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(Producer(mesh.broker.bootstrap))
        outbox = await stack.enter_async_context(Outbox(producer, on_refused))
        keeper = await stack.enter_async_context(Keeper(mesh.broker.bootstrap, instance, outbox, options))
        if kafka:
            group = GroupOptions(commit_every_ms=20, session_timeout_ms=1_500, heartbeat_ms=300)
            reading = WorkerOptions(mesh.broker.bootstrap, group, drain_ms=2_000)
            await stack.enter_async_context(Worker(caller, writer, outbox, tracing, reading, keeper))
        servicer = TierServicer(caller, writer, outbox, tracing, keeper)
        served = RpcServer(adding((add_TierServicer_to_server, servicer)), notice_ms=0, drain_ms=1_000)
        server = await stack.enter_async_context(served)
        to_server = await stack.enter_async_context(channel(f"127.0.0.1:{server.port}"))
        yield Door(payer, stub(TierStub, to_server), keeper)


def work(name: str, team: str = "desk", end_user: str = "") -> journey_pb2.Work:
    request = Request(Identity("acme", name), (Message(Role.USER, f"Is {name} there?"),), team=team, end_user=end_user)
    deadline = now_ms() + 60_000
    journey = Journey(request, TASK, (Leg(SMALL),), Decision(1, "f", Source.TASK, "draft"), now_ms(), deadline)
    return codec.call_to_work(Call(journey, Work(request, 1, SMALL, TASK, deadline)))


WORST = worst_case(codec.work_from(work("x00")))


def over(outcome: Outcome) -> Fault | None:
    result = outcome.result
    return result if isinstance(result, Fault) and result.kind is FaultKind.OVER_BUDGET else None


async def test_the_kafka_door_spends_no_more_than_the_limit_and_says_why_it_stops(mesh: Mesh) -> None:
    await mesh.rules(MONTH)
    async with tier(mesh, "cloud-1", kafka=True) as door:
        for number in range(90):
            await mesh.ask(f"x{number:02}")
        outcomes = await mesh.results(90)
    refused = [fault for outcome in outcomes if (fault := over(outcome)) is not None]
    assert len(refused) > 0
    assert door.payer.calls == 90 - len(refused)
    assert 0 < door.payer.paid <= MONTH.limit_micro_dollars
    assert refused[0].budget == "acme-month"
    assert "limit $0.02, spent $0" in refused[0].message
    started = mesh.told("started")
    assert {one.reserved_micro_dollars for one in started} == {WORST}
    assert len(started) == door.payer.calls
    assert all(one.holder.startswith("cloud-1/") for one in started)
    assert {tuple(one.budgets) for one in started} == {(f"acme-month|{started[0].budgets[0].partition('|')[2]}",)}


async def test_two_processes_and_both_doors_share_one_limit(mesh: Mesh) -> None:
    await mesh.rules(MONTH)
    async with tier(mesh, "cloud-1", kafka=True) as one, tier(mesh, "cloud-2", kafka=False) as two:
        asked = [asyncio.create_task(two.ask(f"g{number:02}")) for number in range(60)]
        for number in range(60):
            await mesh.ask(f"k{number:02}")
        await asyncio.gather(*asked)
        await mesh.results(60)
        assert 0 < one.payer.paid + two.payer.paid <= MONTH.limit_micro_dollars
    state = State()
    await folded(mesh, state)
    (share,) = [state.share(key) for key in state.pots]
    assert (share.spent, share.reserved) == (one.payer.paid + two.payer.paid, 0)


async def test_a_call_waits_until_its_start_is_in_the_log_under_a_hard_budget(mesh: Mesh) -> None:
    await mesh.rules(MONTH)
    async with tier(mesh, "cloud-1", kafka=False) as door:
        first = await door.ask("warm")
        assert isinstance(first.result, Answer)
        async with silent(mesh.broker):
            asked = asyncio.create_task(door.ask("x01"))
            done, _ = await asyncio.wait((asked,), timeout=0.3)
            assert not done
            assert door.payer.calls == 1
        assert isinstance((await asked).result, Answer)


async def test_each_value_has_a_budget_of_its_own_and_all_hold_or_none(mesh: Mesh) -> None:
    users = Budget("per-user", Period.DAY, WORST + COST, end_user=EACH)
    teams = Budget("teams", Period.DAY, 100 * WORST, team=EACH)
    await mesh.rules(users, teams)
    async with tier(mesh, "cloud-1", kafka=False) as door:
        outcomes = [await door.ask(f"x{n:02}", end_user=user) for n, user in enumerate(["a"] * 4 + ["b", ""])]
        refused = [fault.budget if (fault := over(outcome)) is not None else "" for outcome in outcomes]
        assert refused == ["", "", "per-user/a", "per-user/a", "", ""]
    state = State()
    await folded(mesh, state)
    spent = {key[0]: state.share(key).spent for key in state.pots}
    assert spent == {"per-user/a": 2 * COST, "per-user/b": COST, "per-user/": COST, "teams/desk": 4 * COST}


async def test_a_soft_budget_counts_and_never_refuses(mesh: Mesh) -> None:
    await mesh.rules(replace(MONTH, limit_micro_dollars=1, hard=False))
    async with tier(mesh, "cloud-1", kafka=False) as door:
        outcomes = [await door.ask(f"x{number:02}") for number in range(3)]
        assert all(isinstance(outcome.result, Answer) for outcome in outcomes)
    state = State()
    await folded(mesh, state)
    assert [state.share(key).spent for key in state.pots] == [3 * COST]


async def test_when_the_log_does_not_answer_the_refusal_says_so(mesh: Mesh) -> None:
    await mesh.rules(MONTH)
    async with tier(mesh, "cloud-1", kafka=False, options=KeeperOptions(ask_ms=100)) as door:
        async with silent(mesh.broker):
            fault = over(await door.ask("x01"))
        assert fault is not None
        assert "did not answer in 100 ms" in fault.message
        assert door.payer.calls == 0


async def test_without_budgets_nothing_is_reserved_and_a_rule_holds_from_when_it_is_read(mesh: Mesh) -> None:
    async with tier(mesh, "cloud-1", kafka=False) as door:
        assert isinstance((await door.ask("x01")).result, Answer)
        await mesh.attempts.until(lambda: len(mesh.told("settled")) == 1)
        assert [(one.holder, one.reserved_micro_dollars) for one in mesh.told("started")] == [("", 0)]
        await mesh.rules(replace(MONTH, limit_micro_dollars=0))
        async with asyncio.timeout(90):
            while over(await door.ask("x02")) is None:
                continue
        assert door.keeper.active


async def test_work_that_comes_again_is_reserved_anew_and_what_is_given_up_reserves_nothing(mesh: Mesh) -> None:
    await mesh.rules(MONTH)
    dead = Writer(Tier.CLOUD, "cloud-0", PARTITIONS, 1_000_000)
    for name, starts in (("x01", 1), ("x02", 3)):
        asked = codec.work_from(work(name))
        for execution in range(1, starts + 1):
            await mesh.producer.publish(dead.started(asked, execution, 0, "kafka", now_ms(), ()), 5_000)
    async with tier(mesh, "cloud-1", kafka=True) as door:
        for name in ("x01", "x02"):
            await mesh.ask(name)
        outcomes = {outcome.identity.id: outcome.result for outcome in await mesh.results(2)}
        await mesh.attempts.until(lambda: len(mesh.told("settled")) == 2)
    assert isinstance(outcomes["x01"], Answer)
    assert door.payer.calls == 1
    own = {one.identity.id: one for one in mesh.told("started") if one.instance == "cloud-1"}
    assert [(one.execution, one.reserved_micro_dollars) for one in own.values()] == [(2, WORST)]
    given_up = next(one for one in mesh.told("settled") if one.identity.id == "x02")
    assert (given_up.fault, given_up.holder, given_up.reserved_micro_dollars) == ("started_too_often", "", 0)


async def test_what_cannot_be_read_in_the_log_is_passed_over(mesh: Mesh) -> None:
    await mesh.rules(MONTH)
    for value in (b"\xff\xff\xff", b"", None):
        await mesh.producer.publish(Record(topics.BUDGET, b"odd", value, (), 0), 5_000)
    async with tier(mesh, "cloud-1", kafka=False) as door:
        assert isinstance((await door.ask("x01")).result, Answer)
        await mesh.attempts.until(lambda: mesh.told("started"))
    assert [one.reserved_micro_dollars for one in mesh.told("started")] == [WORST]


@asynccontextmanager
async def silent(broker: EmbeddedBroker) -> AsyncIterator[None]:
    """Nobody reaches it. A real one takes seconds to come back."""
    await asyncio.to_thread(broker.set_down)
    try:
        yield
    finally:
        await asyncio.to_thread(broker.set_up)


async def folded(mesh: Mesh, state: State) -> None:
    """The log of budgets, once every holder has closed."""
    def closed() -> bool:
        last = {record.key: budget_record_from(record.value) for record in mesh.budget.records}
        accounts = [one for one in last.values() if one is not None and not isinstance(one, Rules)]
        return bool(accounts) and all(one.closed for one in accounts)

    await mesh.budget.until(closed)
    for record in mesh.budget.records:
        told = budget_record_from(record.value)
        if isinstance(told, Rules):
            state.take_rules(told, record.timestamp_ms)
        elif told is not None:
            state.take_account(told, record.timestamp_ms)
