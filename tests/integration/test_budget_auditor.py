"""The auditor closes what a holder left behind, over a broker that speaks Kafka's wire."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from infra.broker import EmbeddedBroker
from services.budget.auditor import Auditor
from trivium.budget.keeper import Keeper
from trivium.budget.lease import KeeperOptions, Reservation, Waiting
from trivium.codec.budgets import RULES_KEY, rules_to
from trivium.core.budget import Rules
from trivium.core.budget_worst import worst_case
from trivium.core.outcome import Answer, Outcome, Usage
from trivium.core.policy import Budget, Period, Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import Work
from trivium.kafka import topics
from trivium.kafka.outbox import Outbox
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.tier.records import GRPC, Writer, on_refused

SMALL = Target("cloud/small", Tier.CLOUD, "small", prices=Prices(1_000_000, 5_000_000))
TASK = TaskSpec("draft", max_output_tokens=100)
MONTH = Budget("acme-month", Period.MONTH, 20_000, tenant="acme")
OPTIONS = KeeperOptions(valid_ms=1_000, tick_ms=50, idle_ms=200, report_ms=100)


class Clock:
    """A monotonic clock that only goes on when it is told to."""

    def __init__(self) -> None:
        self.s = 1_000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker({t.name: t.partitions for t in topics.all_topics([], 1)}) as running:
        yield running


@dataclass
class Holder:
    """A process that pays, as far as its budgets go."""

    keeper: Keeper
    producer: Producer
    writer: Writer

    async def begin(self, name: str) -> tuple[Work, Reservation]:
        """Reserve, and write `started`."""
        request = Request(Identity("acme", name), (Message(Role.USER, "Is it there?"),))
        work = Work(request, 1, SMALL, TASK, 0)
        answered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        got = self.keeper.take(work, time.time_ns() // 1_000_000, answered.set_result)
        async with asyncio.timeout(20):
            money = await answered if isinstance(got, Waiting) else got
        assert isinstance(money, Reservation)
        await self.producer.publish(self.writer.started(work, 1, 0, GRPC, 7, (), money), 5_000)
        return work, money

    async def end(self, work: Work, money: Reservation, tokens: int) -> None:
        """Write `settled`."""
        outcome = Outcome(work.request.identity, 1, SMALL.name, Answer("yes"), Usage(tokens), tokens)
        await self.producer.publish(self.writer.settled(work, outcome, 1, 0, GRPC, 7, (), money), 5_000)


@asynccontextmanager
async def holder(broker: EmbeddedBroker) -> AsyncIterator[Holder]:
    """One that never closes: it is killed at the end."""
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(Producer(broker.bootstrap))
        outbox = await stack.enter_async_context(Outbox(producer, on_refused))
        keeper = Keeper(broker.bootstrap, "cloud-1", outbox, OPTIONS)
        await keeper.__aenter__()
        try:
            yield Holder(keeper, producer, Writer(Tier.CLOUD, "cloud-1", 1, 1_000_000))
        finally:
            keeper._leases._own.clear()  # What is killed closes nothing.
            await keeper.__aexit__()


@asynccontextmanager
async def auditor(broker: EmbeddedBroker, clock: Clock) -> AsyncIterator[Auditor]:
    async with (
        Producer(broker.bootstrap) as producer,
        Auditor(broker.bootstrap, "budget-1", producer, clock=clock) as running,
    ):
        yield running


async def until(auditor: Auditor, spent: int, reserved: int) -> None:
    """Audit until the budget stands so."""
    async with asyncio.timeout(90):
        while True:
            await auditor.audit()
            shares = [auditor.state.share(key) for key in auditor.state.pots]
            if [(one.spent, one.reserved) for one in shares] == [(spent, reserved)]:
                return
            await asyncio.sleep(0.02)


async def test_what_a_killed_process_settled_and_started_is_what_stays_spent(broker: EmbeddedBroker) -> None:
    async with Producer(broker.bootstrap) as producer:
        value = rules_to(Rules(1, (MONTH,))).SerializeToString()
        await producer.publish(Record(topics.BUDGET, RULES_KEY, value, (), 0), 5_000)
    async with holder(broker) as paying:
        settled, money = await paying.begin("settled")
        await paying.end(settled, money, 111)
        open_, left = await paying.begin("open")
        worst = worst_case(open_)
    clock = Clock()
    async with auditor(broker, clock) as one, auditor(broker, clock) as two:
        await one.audit()
        assert one.closed == 0, "it may still live: its last record was read just now"
        clock.s += 60
        await until(one, 111 + worst, 0)
        await until(two, 111 + worst, 0)
        # The call comes back after all: it was only the process that was thought dead, or its last record was late.
        async with Producer(broker.bootstrap) as producer:
            late = Holder(paying.keeper, producer, paying.writer)
            await late.end(open_, left, 222)
        await until(one, 333, 0)
        await until(two, 333, 0)
