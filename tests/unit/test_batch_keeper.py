"""Batches under every interleaving of arrivals, crashes, the vendor's faults and clocks that jump."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.batch.book import custom_id
from tests.unit.batch_world import BILLED, TARGET, World
from trivium.core.price import cost


class Batches(RuleBasedStateMachine):
    """Whatever happens: one attempt, one outcome that counts, one submission, one bill."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.number = 0
        self.gone_wrong = 0

    @rule(count=st.integers(1, 5), waits_ms=st.sampled_from([500, 4_000, 20_000, 100_000]))
    def requests_come(self, count: int, waits_ms: int) -> None:
        for _ in range(count):
            self.number += 1
            self.world.asked(self.number, waits_ms)

    @precondition(lambda self: self.number)
    @rule(data=st.data())
    def a_router_writes_work_once_more(self, data: st.DataObject) -> None:
        self.world.asked(data.draw(st.integers(1, self.number)), 0)

    @rule(pause_ms=st.sampled_from([0, 300, 1_000, 6_000, 30_000]))
    def time_goes_on(self, pause_ms: int) -> None:
        self.world.now += pause_ms
        if self.world.turn():
            self.nothing_is_late()

    @rule(jump_ms=st.sampled_from([-20_000, -700, 9_000]))
    def the_clock_jumps(self, jump_ms: int) -> None:
        self.world.now += jump_ms

    @rule(effects=st.integers(0, 12))
    def it_is_about_to_die(self, effects: int) -> None:
        self.world.fuse = effects

    @rule()
    def it_dies_now(self) -> None:
        self.world.fuse = 0

    @rule(how=st.sampled_from(["refused", "rejected", "never came", "lost"]))
    def the_next_submission_goes_wrong(self, how: str) -> None:
        self.world.next_submits.append(how)

    @rule()
    def the_vendor_is_deaf(self) -> None:
        self.world.deaf += 2

    @rule(size=st.integers(1, 3))
    def somebody_else_makes_a_batch(self, size: int) -> None:
        self.world.makes([f"others-{size}-{n}" for n in range(size)])

    def nothing_is_late(self) -> None:
        """Who may wait no longer has its outcome, while a normal call still fits."""
        done = self.world.outcomes()
        late = [key for key, asked in self.world.works.items() if asked.wait and asked.wait.until_ms <= self.world.now]
        assert [key for key in late if key not in done] == []

    @invariant()
    def nobody_is_submitted_twice(self) -> None:
        names = [name for made in self.world.made for name in made.names if not name.startswith("others")]
        ours = [name.partition("-")[2] for name in names]
        assert len(ours) == len(set(ours))

    @invariant()
    def nothing_is_submitted_before_its_start_is_in_the_log(self) -> None:
        started = {f"acme/{key[0]}#0#1".encode() for key in self.world.executions("started")}
        submitted = {name.partition("-")[2] for made in self.world.made for name in made.names}
        known = {custom_id("", key)[1:] for key in started}
        assert {name for name in submitted if len(name) == 40} <= known

    def teardown(self) -> None:
        world = self.world
        world.fuse, world.deaf, world.next_submits = -1, 0, []
        for _ in range(60):
            world.now += 5_000
            assert world.turn()
        self.nothing_is_late()
        done = world.outcomes()
        assert done.keys() == world.works.keys()
        for key, told in done.items():
            # A second one follows a crash between two writes, or is the bill of what was pulled back.
            bills = [one for one in told[1:] if one.outcome.cost_micro_dollars]
            assert len(told) - len(bills) <= 1 + world.crashes, key
        self.every_bill_is_counted_once()
        left = world.left()
        assert (left.items, left.batches, left.held_bytes) == ({}, {}, 0)

    def every_bill_is_counted_once(self) -> None:
        world = self.world
        names = {custom_id("", key)[1:]: key for key in world.works}
        billed = [
            names[name.partition("-")[2]] for made in world.made for name in made.names
            if not name.startswith("others") and world.came_to(made, name) == "succeeded"
        ]  # fmt: skip
        settled = world.executions("settled")
        assert settled.keys() <= world.executions("started").keys()
        paid = [one for one in settled.values() if one.cost_micro_dollars]
        assert sorted(one.identity.id for one in paid) == sorted(key.decode()[5:].partition("#")[0] for key in billed)
        assert all(one.cost_micro_dollars == cost(TARGET.prices, BILLED) == one.saved_micro_dollars for one in paid)
        assert all(one.batch for one in paid)


Batches.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestBatches = Batches.TestCase
