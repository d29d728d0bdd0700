"""What the log of budgets comes to: grants in its order, doubles, gaps, closings, limits that change; and who comes under what."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.unit.budget_world import Process, World
from trivium.budget.keeper import Keeper
from trivium.budget.lease import Lease
from trivium.budget.leases import Leases
from trivium.codec.budgets import account_to, budget_record_from, rules_to
from trivium.core.budget import DAY_MS, AccountRecord, Labels, Rules, keys_of, period_end_ms, period_of, values_of
from trivium.core.budget_fold import Share, State
from trivium.core.budget_worst import most_answer_tokens, worst_case
from trivium.core.policy import EACH, Budget, Period, Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Output, OutputKind, Request, Role, ToolSpec
from trivium.core.slip import Work
from trivium.tier.prompting import most_output_tokens

NOW = 1_795_000_000_000
MONTH = period_of(Period.MONTH, NOW)
KEY = ("all", MONTH)
ALL = Budget("all", Period.MONTH, 100)


def record(holder: str, have: int, upto: int, number: int, spent: int = 0, **more: object) -> AccountRecord:
    return replace(AccountRecord(holder, "all", MONTH, have, upto, spent, number, valid_ms=60_000), **more)  # type: ignore[arg-type]


def fold(*records: AccountRecord | Rules) -> State:
    state = State()
    for one in records:
        if isinstance(one, Rules):
            state.take_rules(one, NOW)
        else:
            state.take_account(one, NOW)
    return state


def held(state: State) -> dict[str, int]:
    return {holder: account.most for holder, account in state.pots[KEY].accounts.items()}


RULES = Rules(1, (ALL,))


def test_grants_go_in_the_order_of_the_log_as_far_as_the_limit_has_it() -> None:
    state = fold(RULES, record("a", 0, 60, 1), record("b", 0, 60, 1), record("c", 0, 10, 1))
    assert held(state) == {"a": 60, "b": 40, "c": 0}
    state.take_account(record("a", 60, 20, 2, spent=15), NOW)
    state.take_account(record("c", 0, 50, 2), NOW)
    assert held(state) == {"a": 20, "b": 40, "c": 40}
    assert state.share(KEY) == Share(100, 15, 85)


def test_doubles_older_numbers_and_what_cannot_be_are_passed_over() -> None:
    first, second = record("a", 0, 60, 1), record("a", 60, 20, 2)
    state = fold(RULES, first, first, second, first, second)
    assert held(state) == {"a": 20}
    for wrong in (record("a", 0, -5, 3), record("", 0, 5, 3), record("b", 0, 5, 1, spent=-1)):
        assert not state.take_account(wrong, NOW)
    assert not state.take_account(record("b", 0, 5, 1, period="2026-13"), NOW)
    assert held(state) == {"a": 20}


def test_a_limit_below_what_is_held_grants_nothing_more_and_an_older_revision_is_passed_over() -> None:
    state = fold(RULES, record("a", 0, 60, 1), Rules(3, (replace(ALL, limit_micro_dollars=40),)), Rules(2, (ALL,)))
    state.take_account(record("b", 0, 10, 1), NOW)
    assert held(state) == {"a": 60, "b": 0}
    assert state.free(KEY) == -20
    state.take_rules(Rules(4, (ALL,)), NOW)
    state.take_account(record("b", 0, 10, 2), NOW)
    assert held(state) == {"a": 60, "b": 10}


def test_a_closed_account_is_granted_nothing_and_only_becomes_less() -> None:
    closed = record("a", 60, 50, 1, spent=50, closed=True, by="auditor")
    state = fold(RULES, record("a", 0, 60, 1), closed, record("a", 60, 90, 2))
    assert held(state) == {"a": 50}
    state.take_account(replace(closed, upto=30, spent=30), NOW)
    state.take_account(replace(closed, upto=55, spent=55), NOW)
    assert held(state) == {"a": 30}
    assert state.share(KEY) == Share(100, 30, 0)


def test_a_closing_by_somebody_who_did_not_see_the_last_record_means_nothing() -> None:
    state = fold(RULES, record("a", 0, 60, 1), record("a", 60, 70, 2))
    state.take_account(record("a", 60, 0, 1, closed=True, by="auditor"), NOW)
    assert held(state) == {"a": 70}
    assert not state.pots[KEY].accounts["a"].closed


def test_what_compaction_took_is_counted_at_what_it_may_have_been() -> None:
    whole = (RULES, record("e", 0, 70, 1), record("d", 0, 100, 1), record("e", 70, 0, 2), record("f", 0, 70, 1))
    assert held(fold(*whole)) == {"e": 0, "d": 30, "f": 70}
    compacted = fold(*(one for one in whole if one != whole[1]))
    assert held(compacted) == {"e": 0, "d": 100, "f": 70}, "f would have nothing here, and d give what f has to another"
    compacted.take_account(record("d", 30, 30, 1, closed=True, by="auditor"), NOW)
    compacted.take_account(record("g", 0, 70, 1), NOW)
    assert compacted.pots[KEY].accounts["g"].sure == 0
    compacted.take_account(record("f", 70, 70, 2), NOW)
    assert (held(compacted)["f"], compacted.pots[KEY].doubtful) == (70, 1)
    unruled = fold(record("a", 0, 60, 1), RULES, record("b", 0, 90, 1))
    assert unruled.pots[KEY].accounts["b"].sure == 40


def test_periods_that_are_over_are_forgotten_by_the_brokers_time() -> None:
    state = fold(RULES, record("a", 0, 60, 1))
    state.take_rules(Rules(2, ()), period_end_ms(MONTH) + DAY_MS)
    assert KEY in state.pots
    state.take_rules(Rules(3, ()), period_end_ms(MONTH) + 4 * DAY_MS)
    assert KEY not in state.pots


def test_who_comes_under_what() -> None:
    rules = (
        Budget("acme", Period.MONTH, 1, tenant="acme"),
        Budget("users", Period.DAY, 1, tenant=EACH, end_user=EACH),
        Budget("desk", Period.DAY, 1, team="desk"),
    )
    found = [key for key, _ in keys_of(rules, Labels("acme", "care", end_user="a/b|c"), 1_795_305_600_000)]
    assert found == [("acme", "2026-11"), ("users/acme/a%2Fb%7Cc", "2026-11-22")]
    assert values_of(found[1][0]) == ("acme", "a/b|c")
    assert [key for key, _ in keys_of(rules, Labels("x"), 0)] == [("users/x/", "1970-01-01")]


@pytest.mark.parametrize(
    ("period", "ends"),
    [("2026-12", "2027-01-01"), ("2028-02-29", "2028-03-01"), ("2026-11-30", "2026-12-01"), ("1970-01", "1970-02-01")],
)
def test_a_period_ends_where_the_next_begins(period: str, ends: str) -> None:
    at_ms = period_end_ms(period)
    assert period_of(Period.DAY, at_ms) == ends
    assert period_of(Period.DAY if len(period) > 7 else Period.MONTH, at_ms - 1) == period


@pytest.mark.parametrize("wrong", ["2026-13", "2026-02-30", "2026", "", "2026-1-1", "²⁰²⁶-11"])
def test_what_is_no_period_is_told(wrong: str) -> None:
    with pytest.raises(ValueError, match="day"):
        period_end_ms(wrong)


def test_the_records_come_back_as_they_went() -> None:
    account = record("cloud-1/1-a", 3, 4, 5, spent=2, closed=True, at_ms=7, by="x")
    assert budget_record_from(account_to(account).SerializeToString()) == account
    assert budget_record_from(rules_to(RULES).SerializeToString()) == RULES
    assert [budget_record_from(value) for value in (None, b"", b"\xff\xff")] == [None] * 3


# --- the worst case ------------------------------------------------------------------------------------------------------

PRICES = Prices(1_000_000, 5_000_000, cache_write_per_million=2_000_000, embedding_per_million=1_000_000, per_request=7)


def work(tier: Tier, text: str = "é" * 100, task: TaskSpec | None = None, **more: object) -> Work:
    request = replace(Request(Identity("acme", "1"), (Message(Role.USER, text),)), **more)  # type: ignore[arg-type]
    return Work(request, 1, Target(f"{tier.value}/x", tier, "x", prices=PRICES), task or TaskSpec("draft"), 0)


def test_the_worst_case_counts_bytes_at_the_dearest_price_and_the_longest_answer() -> None:
    short, long = (worst_case(work(Tier.CLOUD, "é" * n)) for n in (100, 300))
    assert long - short == 200 * 2 * 2
    assert short > 200 * 2 + 512 * 5 + 7
    assert worst_case(work(Tier.CLOUD, max_output_tokens=10)) == short - 502 * 5
    assert worst_case(work(Tier.CLOUD, tools=(ToolSpec("t", "d" * 10, "{}"),))) > short + 2 * 10


def test_rounds_of_searches_are_in_it_and_a_retrieval_attempt_pays_its_own_search_alone() -> None:
    plain, searching = (worst_case(work(Tier.FINETUNED, task=TaskSpec("d", search_documents=on))) for on in (False, True))
    assert searching > 3 * plain
    as_json = TaskSpec("d", search_documents=True, output=Output(OutputKind.JSON))
    assert worst_case(work(Tier.FINETUNED, task=as_json)) > searching + plain
    assert worst_case(work(Tier.RETRIEVAL)) == 200 + 7


def test_without_prices_there_is_nothing_to_reserve_and_negative_ones_are_nothing() -> None:
    for prices in (Prices(), Prices(-5, -5, -5, -5, -5, -5)):
        one = work(Tier.CLOUD)
        assert worst_case(replace_target(one, replace(one.target, prices=prices))) == 0


def test_the_longest_answer_is_the_one_that_the_tiers_ask_for() -> None:
    for wished in (0, 10, 5_000):
        one = work(Tier.CLOUD, max_output_tokens=wished)
        assert most_answer_tokens(one.request, one.task, one.target) == most_output_tokens(one)


def replace_target(one: Work, target: Target) -> Work:
    return Work(one.request, one.attempt, target, one.task, one.deadline_ms)


# --- holders that are taken for dead, and money that is given back ----------------------------------------------------


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.rules(1, replace(ALL, tenant="acme"))
    yield made
    made.close()


def zombie(world: World) -> None:
    """It reserves, sleeps until it is taken for dead, and calls when it wakes."""
    process = world.start(False)
    world.take(process, 60, "")
    world.write(process, 9)
    world.read(process, 9)
    world.audit()
    world.now_ms += 80_000
    world.audit()
    world.begin(process, process.calls[0])
    world.call(process, process.calls[0])
    world.check()


def given_back(world: World) -> None:
    """It gives back; before it has read that, another has it."""
    one, two = world.start(False), world.start(False)
    world.take(one, 100, "")
    world.write(one, 9)
    world.read(one, 9)
    world.settle(one, one.calls[0], 0)
    world.now_ms += 6_000
    world.tick(one)
    world.write(one, 9)
    world.read(two, 9)
    world.take(two, 60, "")
    world.write(two, 9)
    world.read(two, 9)
    world.take(one, 60, "")
    for process in (one, two):
        for call in process.calls[-1:]:
            world.begin(process, call)
            world.call(process, call)
    world.check()


def never_lapses(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Keeper, "lapsed", lambda _self, _reservation: None)


def used_until_read(patch: pytest.MonkeyPatch) -> None:
    write = Leases._write

    def later(self: Leases, lease: Lease, upto: int, closed: bool = False) -> None:
        before = lease.held
        write(self, lease, upto, closed)
        lease.held = before

    patch.setattr(Leases, "_write", later)


@pytest.mark.parametrize(("story", "wrong"), [(zombie, never_lapses), (given_back, used_until_read)])
def test_a_story_goes_well_and_would_not_without_its_guard(
    story: Callable[[World], None], wrong: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for guarded in (True, False):
        world = World()
        world.rules(1, replace(ALL, tenant="acme"))
        if guarded:
            story(world)
        else:
            wrong(monkeypatch)
            with pytest.raises(AssertionError):
                story(world)
        world.close()


def test_after_midnight_another_account_pays_and_a_clock_that_was_set_back_finds_its_own(world: World) -> None:
    process = world.start(False)
    for _ in range(3):
        reserve_one(world, process)
        world.tick(process)
        world.now_ms += DAY_MS
    world.now_ms -= 10 * DAY_MS
    reserve_one(world, process)
    world.check()
    holders = {call.money.holder for call in process.calls}
    assert len(process.calls) == 4
    assert len(holders) == 3, "a holder lives for a day"


def test_a_process_that_was_taken_for_dead_goes_on_under_another_name(world: World) -> None:
    process = world.start(False)
    world.take(process, 60, "")
    world.write(process, 9)
    world.read(process, 9)
    world.audit()
    world.now_ms += 80_000
    world.audit()
    world.read(process, 9)
    world.take(process, 60, "")
    world.write(process, 9)
    world.read(process, 9)
    assert len({call.money.holder for call in process.calls}) == 2
    world.check()


def test_a_rule_that_goes_and_comes_back_pays_again(world: World) -> None:
    process = world.start(False)
    reserve_one(world, process)
    world.settle(process, process.calls[0], 5)
    for revision, budgets in ((2, ()), (3, (replace(ALL, tenant="acme"),))):
        world.rules(revision, *budgets)
        world.read(process, 9)
        assert process.keeper.active is bool(budgets)
        world.tick(process)
        world.write(process, 9)
        world.read(process, 9)
    reserve_one(world, process)
    assert len(process.calls) == 2
    world.check()


def test_who_waits_over_midnight_is_paid_by_the_next_holder(world: World) -> None:
    process = world.start(False)
    world.tick(process)
    world.take(process, 10, "")
    world.now_ms += DAY_MS
    world.tick(process)
    world.write(process, 9)
    world.read(process, 9)
    world.write(process, 9)
    world.read(process, 9)
    assert [call.money.holder for call in process.calls] == [process.keeper._leases._holder]
    world.check()


def reserve_one(world: World, process: Process) -> None:
    """What was written long before it is read is worth nothing: then it asks once more."""
    world.take(process, 10, "")
    for _ in range(2):
        world.write(process, 9)
        world.read(process, 9)
