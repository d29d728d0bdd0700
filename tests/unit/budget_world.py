"""A log of budgets with everybody who reads and writes it: the keepers of several processes and an auditor, as they are, and
in their midst what a test decides: who writes, reads, sleeps, dies, and what compaction takes away."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from services.budget.auditor import Auditor
from trivium.budget.keeper import Keeper
from trivium.budget.lease import KeeperOptions, Refusal, Reservation, Waiting
from trivium.codec.budgets import RULES_KEY, budget_record_from, rules_to
from trivium.core.budget import AccountRecord, Key, Rules, rule_name
from trivium.core.budget_fold import State
from trivium.core.outcome import Answer, Outcome
from trivium.core.policy import Budget, Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import Work
from trivium.kafka.record import Delivered, Record
from trivium.tier.records import GRPC, Writer

HOUR_MS = 3_600_000
OPTIONS = KeeperOptions(ask_ms=HOUR_MS * 24)


class Queue:
    """An outbox whose records go when they are told to."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Record, Callable[[], Any]]] = deque()

    def put(self, stages: Any, done: Callable[[], Any]) -> None:
        ((record,),) = stages
        self.waiting.append((record, done))


@dataclass
class Call:
    """One execution: what it reserved, and how far it is."""

    work: Work
    money: Reservation
    number: int
    begun: bool = False
    called: bool = False
    cost: int | None = None


@dataclass(eq=False)
class Process:
    """One that pays."""

    name: str
    keeper: Keeper
    queue: Queue
    inbox: deque[Delivered]
    asleep: bool = False
    calls: list[Call] = field(default_factory=list)
    asked: list[Waiting] = field(default_factory=list)


class World:
    """The log in the middle. Time goes by only by `wait`."""

    def __init__(self, state: Callable[[], State] = State) -> None:
        self.now_ms = 1_767_225_600_000
        self.log: list[Delivered] = []
        self.attempts: list[bytes] = []
        self.processes: list[Process] = []
        self.dead: list[Process] = []
        self.truth = State()
        """The fold of the whole log."""
        self.most: dict[Key, int] = {}
        """The highest limit that each budget has had."""
        self._make_state, self._count, self._names = state, 0, 0
        self._runner = asyncio.Runner()
        self.auditor = self._audited()

    def close(self) -> None:
        self._runner.close()

    # --- the log -----------------------------------------------------------------------------------------------------

    def append(self, record: Record) -> None:
        """At the end of the log."""
        told = Delivered(record.topic, 0, len(self.log), self.now_ms, record.key, record.value)
        before = {key: pot.most for key, pot in self.truth.pots.items()}
        self._fold(told)
        for key, pot in self.truth.pots.items():
            rule = self.truth.rules.get(rule_name(key[0]))
            if rule is None:
                continue
            limit = rule.limit_micro_dollars
            self.most[key] = max(self.most.get(key, 0), limit)
            assert pot.most <= max(limit, before.get(key, 0)), f"{key}: {pot.most} granted of {limit}"
        self.log.append(told)
        for process in self.processes:
            process.inbox.append(told)
        self.auditor.inbox.append(told)

    def rules(self, revision: int, *budgets: Budget) -> None:
        value = rules_to(Rules(revision, budgets)).SerializeToString()
        self.append(Record("trivium.budget", RULES_KEY, value, (), 0))

    def kept(self, compacted: bool) -> deque[Delivered]:
        """What a reader finds that begins now."""
        if not compacted:
            return deque(self.log)
        young = [told for told in self.log if told.timestamp_ms >= self.now_ms - HOUR_MS]
        old = {told.key: told for told in self.log if told.timestamp_ms < self.now_ms - HOUR_MS}
        return deque([*sorted(old.values(), key=lambda told: told.offset), *young])

    def _fold(self, told: Delivered) -> None:
        record = budget_record_from(told.value)
        if isinstance(record, Rules):
            self.truth.take_rules(record, told.timestamp_ms)
        elif isinstance(record, AccountRecord):
            self.truth.take_account(record, told.timestamp_ms)

    # --- processes ---------------------------------------------------------------------------------------------------

    def start(self, compacted: bool) -> Process:
        """A process that has read the log up to its end."""
        self._names += 1
        queue = Queue()
        keeper: Any = Keeper("", f"cloud-{self._names}", queue, OPTIONS, clock=lambda: self.now_ms / 1000)  # type: ignore[arg-type]
        keeper.state = keeper._leases._state = self._make_state()
        process = Process(f"cloud-{self._names}", keeper, queue, self.kept(compacted))
        self.processes.append(process)
        self.read(process, len(process.inbox))
        return process

    def read(self, process: Process, count: int) -> None:
        async def reading() -> None:
            for _ in range(min(count, len(process.inbox))):
                process.keeper.read(process.inbox.popleft())

        self._runner.run(reading())

    def write(self, process: Process, count: int) -> None:
        """What it has handed over reaches the log."""
        async def writing() -> None:
            for _ in range(min(count, len(process.queue.waiting))):
                record, done = process.queue.waiting.popleft()
                self.append(record)
                done()

        self._runner.run(writing())

    def tick(self, process: Process) -> None:
        async def ticking() -> None:
            process.keeper.tick(self.now_ms)

        self._runner.run(ticking())

    def take(self, process: Process, cost: int, team: str) -> None:
        """Ask for a call of this price."""
        self._count += 1
        request = Request(Identity("acme", f"r{self._count}"), (Message(Role.USER, "?"),), team=team)
        target = Target("cloud/small", Tier.CLOUD, "small", prices=Prices(per_request=cost))
        work, number = Work(request, 1, target, TaskSpec("draft"), 0), self._count

        def got(answer: Reservation | Refusal) -> None:
            if isinstance(answer, Reservation) and answer.leases:
                process.calls.append(Call(work, answer, number))

        async def taking() -> None:
            answer = process.keeper.take(work, self.now_ms, got)
            if isinstance(answer, Waiting):
                process.asked.append(answer)
            else:
                got(answer)

        self._runner.run(taking())

    def begin(self, process: Process, call: Call) -> None:
        """Its start is in the log."""
        call.begun = True
        value = self._writer(process).started(call.work, 1, 0, GRPC, call.number, (), call.money).value
        self.attempts.append(value or b"")

    def call(self, process: Process, call: Call) -> None:
        """The money is spent from here on, unless the lease has ended."""
        if process.keeper.lapsed(call.money) is None:
            call.called = True
        else:
            self.settle(process, call, 0)

    def settle(self, process: Process, call: Call, cost: int) -> None:
        call.cost = min(cost, call.money.worst)
        outcome = Outcome(call.work.request.identity, 1, "cloud/small", Answer("!"), cost_micro_dollars=call.cost)
        value = self._writer(process).settled(call.work, outcome, 1, 0, GRPC, call.number, (), call.money).value
        self.attempts.append(value or b"")

        async def settling() -> None:
            process.keeper.settle(call.money, call.cost or 0)

        self._runner.run(settling())

    def kill(self, process: Process) -> None:
        """Nothing of it is heard again; what it called goes on."""
        self.processes.remove(process)
        self.dead.append(process)

    def audit(self) -> None:
        """The auditor reads everything and closes what is due."""
        self._runner.run(self.auditor.step())

    def new_auditor(self) -> None:
        """It was killed and started again."""
        self.auditor = self._audited()

    def _audited(self) -> "Audited":
        audited = Audited(self, self._make_state())
        self._runner.run(audited.step())
        return audited

    def _writer(self, process: Process) -> Writer:
        return Writer(Tier.CLOUD, process.name, 1, 1_000_000)

    # --- what must hold ----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What was called, and what may still be, is no more than the log has granted; nor than any limit was."""
        spent: dict[Key, int] = {}
        for process in [*self.processes, *self.dead]:
            of_account: dict[tuple[str, Key], int] = {}
            for call in process.calls:
                for lease in call.money.leases:
                    amount = call.money.worst if call.called and call.cost is None else call.cost or 0
                    name = (lease.holder, lease.key)
                    of_account[name] = of_account.get(name, 0) + amount
                    spent[lease.key] = spent.get(lease.key, 0) + amount
            for (holder, key), amount in of_account.items():
                account = self.truth.account(key, holder)
                assert account is not None
                assert amount <= account.most, f"{holder} has spent {amount} of {account.most} on {key}"
            for lease in process.keeper._leases._own.values():
                account = self.truth.account(lease.key, lease.holder)
                assert lease.closed or lease.held <= (0 if account is None else account.most) or (account and account.closed)
        for key, amount in spent.items():
            assert amount <= self.most[key], f"{amount} spent on {key}"


class Audited:
    """The auditor over this log."""

    def __init__(self, world: World, state: State) -> None:
        self._world, self._read = world, 0
        self.inbox = deque(world.log)

        class Producer:
            async def publish(self, record: Record, _timeout_ms: int) -> None:
                world.append(record)

        self.auditor: Any = Auditor("", "budget-1", Producer(), clock=lambda: world.now_ms / 1000)  # type: ignore[arg-type]
        self.auditor.state = state

        async def has_read_all() -> bool:
            return True

        self.auditor._has_read_all = has_read_all
        # Holders are named by the machine's clock, which is not the world's.
        self.auditor._knows_all_of = lambda _holder: True

    async def step(self) -> None:
        while self.inbox:
            self.auditor.read(self.inbox.popleft())
        for value in self._world.attempts[self._read :]:
            self.auditor.read_attempt(Delivered("trivium.attempts.cloud", 0, 0, 0, b"", value))
        self._read = len(self._world.attempts)
        await self.auditor.audit()
