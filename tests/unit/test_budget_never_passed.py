"""However the log is written, read, doubled and compacted, and whoever dies: no budget is passed. And a fold that is wrong is caught."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.unit.budget_world import HOUR_MS, Process, World
from trivium.budget.lease import Lease
from trivium.budget.leases import Leases
from trivium.core.budget import AccountRecord
from trivium.core.budget_fold import Account, Pot, State
from trivium.core.policy import EACH, Budget, Period
from trivium.kafka.record import Record

quickly = settings(
    max_examples=30, stateful_step_count=30, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
LIMIT = 100
ALL, TEAMS = "all", "teams"


def budgets(limit: int) -> tuple[Budget, Budget]:
    return Budget(ALL, Period.MONTH, limit, tenant="acme"), Budget(TEAMS, Period.DAY, limit // 2, team=EACH)


class Machine(RuleBasedStateMachine):
    """Hypothesis picks what happens next."""

    state: Callable[[], State] = State

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.state)
        self.revision = 0

    def teardown(self) -> None:
        self.world.close()

    @initialize()
    def begin(self) -> None:
        self.change(LIMIT)
        for _ in range(2):
            self.world.start(False)

    @rule(limit=st.sampled_from([0, 40, LIMIT, 150]))
    def change(self, limit: int) -> None:
        self.revision += 1
        self.world.rules(self.revision, *budgets(limit))

    @precondition(lambda self: len(self.world.processes) < 4)
    @rule(compacted=st.booleans())
    def start(self, compacted: bool) -> None:
        self.world.start(compacted)

    @rule(data=st.data(), cost=st.sampled_from([1, 10, 30, 60]), team=st.sampled_from(["a", "b", ""]))
    def take(self, data: st.DataObject, cost: int, team: str) -> None:
        if (process := self.awake(data)) is not None:
            self.world.take(process, cost, team)

    @rule(data=st.data(), count=st.sampled_from([1, 9]))
    def write(self, data: st.DataObject, count: int) -> None:
        if self.world.processes:
            self.world.write(data.draw(st.sampled_from(self.world.processes)), count)

    @rule(data=st.data(), count=st.sampled_from([1, 2, 99]))
    def read(self, data: st.DataObject, count: int) -> None:
        if (process := self.awake(data)) is not None:
            self.world.read(process, count)

    @rule()
    def everybody_writes_and_reads(self) -> None:
        for process in [one for one in self.world.processes if not one.asleep]:
            self.world.write(process, 99)
        for process in [one for one in self.world.processes if not one.asleep]:
            self.world.read(process, 99)

    @rule(data=st.data())
    def double(self, data: st.DataObject) -> None:
        """A producer that got no answer has written once more."""
        young = self.world.log[-20:]
        told = data.draw(st.sampled_from(young))
        self.world.append(Record(told.topic, told.key, told.value, (), 0))

    @rule(data=st.data(), cost=st.sampled_from([0, 5, 60]))
    def call_and_settle(self, data: st.DataObject, cost: int) -> None:
        process = self.awake(data)
        calls = [call for call in process.calls if call.cost is None] if process is not None else []
        if process is None or not calls:
            return
        call = data.draw(st.sampled_from(calls))
        if not call.begun:
            self.world.begin(process, call)
        elif call.called:
            self.world.settle(process, call, cost)
        else:
            self.world.call(process, call)

    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        if self.world.processes:
            self.world.kill(data.draw(st.sampled_from(self.world.processes)))

    @rule(data=st.data())
    def freeze_or_wake(self, data: st.DataObject) -> None:
        if self.world.processes:
            process = data.draw(st.sampled_from(self.world.processes))
            process.asleep = not process.asleep

    @rule(ms=st.sampled_from([1_000, 20_000, 80_000, 2 * HOUR_MS, 24 * HOUR_MS]))
    def wait(self, ms: int) -> None:
        self.world.now_ms += ms

    @rule()
    def tick(self) -> None:
        for process in self.world.processes:
            if not process.asleep:
                self.world.tick(process)

    @rule()
    def audit(self) -> None:
        self.world.audit()

    @rule()
    def audit_anew(self) -> None:
        self.world.new_auditor()

    @invariant()
    def nothing_is_passed(self) -> None:
        self.world.check()

    def awake(self, data: st.DataObject) -> Process | None:
        able = [process for process in self.world.processes if not process.asleep]
        return data.draw(st.sampled_from(able)) if able else None


def test_no_budget_is_passed() -> None:
    run_state_machine_as_test(Machine, settings=quickly)


class Generous(State):
    """Gives what is asked for, not what is free."""

    def _grant(self, pot: Pot, had: int, doubted: bool, record: AccountRecord) -> None:
        pot.put(Account(record.upto, record.upto, record, False))


def written_is_granted(patch: pytest.MonkeyPatch) -> None:
    """A holder acts on what it has written, not on what it has read."""
    write = Leases._write

    def at_once(self: Leases, lease: Lease, upto: int, closed: bool = False) -> None:
        write(self, lease, upto, closed)
        lease.held, lease.valid_until_s = max(lease.held, upto), lease.sent_s + 60

    patch.setattr(Leases, "_write", at_once)


def generous(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Machine, "state", Generous)


@pytest.mark.parametrize("wrong", [generous, written_is_granted])
def test_what_is_wrong_is_caught(wrong: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    wrong(monkeypatch)
    # The same examples every time: the first that fails ends it.
    thorough = settings(quickly, max_examples=2_000, derandomize=True, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Machine, settings=thorough)
