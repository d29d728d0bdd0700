"""Batches under every interleaving of arrivals, crashes, the vendor's faults and clocks that jump."""

import os

from hypothesis import HealthCheck, settings
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

    @rule(
        count=st.integers(0, 4),
        waits_ms=st.sampled_from([500, 2_000, 8_000, 100_000]),
        takes_ms=st.sampled_from([0, 3_000, 30_000]),
        wrong=st.sampled_from(["", "", "refused", "rejected", "never came", "lost", "lost"]),
        effects=st.sampled_from([-1, -1, *range(12)]),
        pauses_ms=st.lists(st.sampled_from([0, 300, 1_000, 6_000]), min_size=1, max_size=4),
    )
    def time_goes_on(
        self, count: int, waits_ms: int, takes_ms: int, wrong: str, effects: int, pauses_ms: list[int]
    ) -> None:
        """Requests come, perhaps the next submission goes wrong, perhaps the process dies after so many effects."""
        world = self.world
        for _ in range(count):
            self.number += 1
            world.asked(self.number, waits_ms)
        world.takes_ms, world.fuse = takes_ms, effects
        world.next_submits = [wrong] if wrong else []
        for pause_ms in pauses_ms:
            world.now += pause_ms
            if world.turn():
                self.nothing_is_late()

    @precondition(lambda self: self.number)
    @rule(data=st.data())
    def a_router_writes_work_once_more(self, data: st.DataObject) -> None:
        self.world.asked(data.draw(st.integers(1, self.number)), 0)

    @rule(jump_ms=st.sampled_from([-20_000, -700, 9_000]), deaf=st.booleans(), others=st.integers(0, 3))
    def the_world_is_hostile(self, jump_ms: int, deaf: bool, others: int) -> None:
        """The clock jumps, the vendor does not answer, somebody else makes a batch of the same account."""
        self.world.now += jump_ms
        self.world.deaf += 2 * deaf
        if others:
            self.world.makes([f"others-{len(self.world.made)}-{n}" for n in range(others)])

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
        settled, started = world.executions("settled"), world.executions("started")
        assert started.keys() <= settled.keys()
        assert {key for key, one in settled.items() if one.cost_micro_dollars} <= started.keys()
        paid = [one for one in settled.values() if one.cost_micro_dollars]
        assert sorted(one.identity.id for one in paid) == sorted(key.decode()[5:].partition("#")[0] for key in billed)
        assert all(one.cost_micro_dollars == cost(TARGET.prices, BILLED) == one.saved_micro_dollars for one in paid)
        assert all(one.batch for one in paid)


EXAMPLES = int(os.environ.get("BATCH_EXAMPLES", "60"))
"""`make test-batch` plays many more."""
Batches.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))
TestBatches = Batches.TestCase
