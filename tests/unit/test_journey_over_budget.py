"""What becomes of a request whose next target a hard budget cannot pay."""

import dataclasses
from typing import Any

import pytest

from tests.unit.journeys import FRONTIER, NOW, OWN, SMALL, a_policy, a_request, after, called, ended, fault, started
from trivium.core.decision import Classification
from trivium.core.explain import explain, plain_dollars
from trivium.core.journey import begin
from trivium.core.outcome import Answer, Fault, FaultKind, ReasonCode, TerminalKind, Verdict
from trivium.core.over import anew
from trivium.core.policy import Budget, Leg, Over, Patience, Period, Policy, Prices, TaskSpec, TaskType
from trivium.core.slip import Arrival, Call, Facts, Health, TargetFacts
from trivium.core.whatif import Known, smallest_change

POOR = Fault(FaultKind.OVER_BUDGET, "budget acme-month has $0.001000 left, the call may cost $0.002600", budget="acme-month")
NOVEMBER_21 = 1_795_220_000_000
"""2026-11-21, 01:33 UTC"""


def with_budget(over: Over, route: tuple[Leg, ...] = (Leg(FRONTIER), Leg(SMALL), Leg(OWN)), **changes: Any) -> Policy:
    tasks = {"dear": TaskType(TaskSpec("dear"), route), "draft": a_policy().tasks["draft"], "ask": a_policy().tasks["ask"]}
    budget = Budget("acme-month", Period.MONTH, 250_000_000, over=over, tenant="acme")
    return a_policy(tasks=tasks, budgets={"acme-month": budget}, **changes)


def test_refuse_ends_it_at_once_and_names_budget_limit_and_when_it_begins_anew() -> None:
    policy = with_budget(Over.REFUSE)
    first = called(started(a_request(task_type="dear"), policy, now_ms=NOVEMBER_21))
    end = ended(after(first, POOR, NOVEMBER_21 + 5, policy))
    reason = end.terminal.reason
    assert end.terminal.kind is TerminalKind.REFUSED
    assert reason is not None
    assert reason.code is ReasonCode.OVER_BUDGET
    assert reason.message == f"cloud/frontier was not called: {POOR.message}"
    assert reason.hint.startswith("the budget acme-month is $250.00 a month and begins anew at 2026-12-01T00:00Z")
    assert end.terminal.cost_micro_dollars == 0
    assert end.write is None
    assert [a.verdict for a in end.terminal.attempts] == [Verdict.FAILED]


@pytest.mark.parametrize("over", [Over.CHEAPER, Over.BATCH])
def test_cheaper_goes_down_to_what_costs_less_and_never_up_again(over: Over) -> None:
    policy = with_budget(over, (Leg(SMALL), Leg(FRONTIER), Leg(OWN)))
    first = called(started(a_request(task_type="dear"), policy))
    second = called(after(first, POOR, policy=policy))
    assert second.work.target.name == "finetuned/support"
    assert [leg.target.name for leg in second.journey.route] == ["cloud/small", "finetuned/support"]
    end = ended(after(second, Answer("Here."), policy=policy))
    assert end.terminal.kind is TerminalKind.ANSWERED
    assert end.terminal.target == "finetuned/support"
    told = "\n".join(explain(end.decision, end.terminal))
    assert "attempt 1 at cloud/small: not called, budget acme-month has $0.001000 left" in told
    assert "on to what costs less" in told
    assert "passed over, may cost no less than" in told
    assert "cloud/frontier (" in told


def test_cheaper_refuses_when_nothing_costs_less() -> None:
    policy = with_budget(Over.CHEAPER, (Leg(SMALL), Leg(FRONTIER)))
    end = ended(after(called(started(a_request(task_type="dear"), policy)), POOR, policy=policy))
    assert end.terminal.kind is TerminalKind.REFUSED
    assert end.terminal.reason is not None
    assert end.terminal.reason.code is ReasonCode.OVER_BUDGET


def test_cheaper_that_is_ill_is_named_in_the_refusal() -> None:
    policy = with_budget(Over.CHEAPER, (Leg(SMALL), Leg(OWN)))
    first = called(started(a_request(task_type="dear"), policy))
    ill = {"finetuned/support": TargetFacts(Health.OPEN)}
    end = ended(after(first, POOR, policy=policy, targets=ill))
    assert end.terminal.reason is not None
    assert "; not tried: finetuned/support: its breaker is open" in end.terminal.reason.message


def test_a_second_budget_that_has_too_little_goes_down_once_more() -> None:
    policy = with_budget(Over.CHEAPER)
    second = called(after(called(started(a_request(task_type="dear"), policy)), POOR, policy=policy))
    third = called(after(second, POOR, policy=policy))
    assert (second.work.target.name, third.work.target.name) == ("cloud/small", "finetuned/support")


@pytest.mark.parametrize("key", ["", "gone", "acme/month"])
def test_a_budget_that_the_policy_does_not_know_refuses(key: str) -> None:
    policy = with_budget(Over.CHEAPER)
    poor = Fault(FaultKind.OVER_BUDGET, "too little", budget=key)
    end = ended(after(called(started(a_request(task_type="dear"), policy)), poor, policy=policy))
    assert end.terminal.kind is TerminalKind.REFUSED
    assert end.terminal.reason is not None
    assert "cloud/frontier was not called: too little" in end.terminal.reason.message


def test_a_budget_of_each_value_is_known_by_its_name() -> None:
    policy = with_budget(Over.CHEAPER)
    poor = Fault(FaultKind.OVER_BUDGET, "too little", budget="acme-month/support")
    second = called(after(called(started(a_request(task_type="dear"), policy)), poor, policy=policy))
    assert second.work.target.name == "cloud/small"


def test_nothing_is_tried_twice_and_the_retry_budget_is_left_alone() -> None:
    policy = with_budget(Over.CHEAPER, (Leg(SMALL),))
    first = called(started(a_request(task_type="dear"), policy))
    end = after(first, POOR, policy=policy, retry_tokens=10.0)
    assert ended(end).terminal.kind is TerminalKind.REFUSED


@pytest.mark.parametrize("over", [Over.CHEAPER, Over.REFUSE])
def test_a_cascade_that_cannot_pay_its_next_step_gives_the_answer_that_it_has(over: Over) -> None:
    policy = with_budget(over)
    first = called(started(a_request(task_type="draft"), policy))
    second = called(after(first, Answer("Perhaps.", confidence=0.4), policy=policy))
    end = ended(after(second, POOR, policy=policy))
    assert end.terminal.kind is TerminalKind.ANSWERED
    assert end.terminal.answer is not None
    assert end.terminal.answer.text == "Perhaps."
    assert end.write is None


def test_novel_work_goes_down_too_and_a_pinned_target_has_nothing_behind_it() -> None:
    policy = with_budget(Over.CHEAPER, novel_route=(Leg(FRONTIER), Leg(SMALL)))
    first = called(started(a_request(task_type="auto"), policy, classify=lambda _: Classification("dear", 0.9, 0.1, novel=True)))
    assert first.journey.task.name == "novel"
    assert called(after(first, POOR, policy=policy)).work.target is SMALL
    pinned = called(started(a_request(task_type="", target="cloud/frontier"), policy))
    assert ended(after(pinned, POOR, policy=policy)).terminal.kind is TerminalKind.REFUSED


def test_what_follows_a_fault_of_another_kind_still_obeys_the_budget() -> None:
    policy = with_budget(Over.CHEAPER)
    second = called(after(called(started(a_request(task_type="ask"), policy)), fault(FaultKind.UNAVAILABLE), policy=policy))
    end = ended(after(second, POOR, policy=policy))
    assert end.terminal.reason is not None
    assert end.terminal.reason.code is ReasonCode.OVER_BUDGET
    assert [a.fault.kind for a in end.terminal.attempts if a.fault] == [FaultKind.UNAVAILABLE, FaultKind.OVER_BUDGET]


HOUR = 3_600_000
HALF = dataclasses.replace(FRONTIER, prices=Prices(2_500_000, 12_500_000))


def patiently(policy: Policy, **fields: Any) -> Call:
    return called(begin(a_request(task_type="dear", timeout_ms=HOUR, **fields), policy, Facts(NOW), Arrival(may_wait=True)))


def test_batch_asks_the_same_target_at_half_the_price_when_the_deadline_allows() -> None:
    policy = with_budget(Over.BATCH, max_timeout_ms=HOUR, patience=Patience({"cloud/frontier": HALF}))
    first = patiently(policy)
    assert first.work.wait is None, "of normal priority: it does not wait by itself"
    second = called(after(first, POOR, policy=policy))
    assert (second.work.target, second.work.attempt) == (HALF, 2)
    assert second.work.wait is not None
    assert second.journey.attempts[-1].batch
    end = ended(after(second, Answer("Slowly."), policy=policy))
    assert [(a.batch, a.verdict) for a in end.terminal.attempts] == [(False, Verdict.FELL_BACK), (True, Verdict.ACCEPTED)]


def test_batch_that_cannot_be_paid_either_goes_down() -> None:
    policy = with_budget(Over.BATCH, max_timeout_ms=HOUR, patience=Patience({"cloud/frontier": HALF}))
    second = called(after(patiently(policy), POOR, policy=policy))
    third = called(after(second, POOR, policy=policy))
    assert third.work.target is SMALL
    assert third.work.wait is None


def test_batch_that_was_in_vain_is_not_made_again() -> None:
    policy = with_budget(Over.BATCH, max_timeout_ms=HOUR, patience=Patience({"cloud/frontier": HALF}))
    second = called(after(patiently(policy), POOR, policy=policy))
    normal = called(after(second, fault(FaultKind.OVERDUE), policy=policy))
    assert (normal.work.target.name, normal.work.wait) == ("cloud/frontier", None)
    assert called(after(normal, POOR, policy=policy)).work.target is SMALL


@pytest.mark.parametrize("why", ["the caller waits", "the deadline is near", "the target takes none"])
def test_what_cannot_be_batch_work_goes_down(why: str) -> None:
    named = "cloud/other" if why == "the target takes none" else "cloud/frontier"
    policy = with_budget(Over.BATCH, max_timeout_ms=HOUR, patience=Patience({named: HALF}))
    timeout = 20_000 if why == "the deadline is near" else HOUR
    arrival = Arrival(may_wait=why != "the caller waits")
    first = called(begin(a_request(task_type="dear", timeout_ms=timeout), policy, Facts(NOW), arrival))
    assert called(after(first, POOR, policy=policy)).work.target is SMALL


def test_the_smallest_change_is_the_policys_word_or_a_larger_budget() -> None:
    policy = with_budget(Over.REFUSE)
    known = Known("acme", "dear", tokens=10)
    end = ended(after(called(started(a_request(task_type="dear"), policy)), POOR, policy=policy))
    said = smallest_change(known, end.decision, end.terminal, policy)
    assert said == "over: cheaper instead of refuse for the budget acme-month had sent it to cloud/small."
    policy = with_budget(Over.CHEAPER, (Leg(SMALL),))
    end = ended(after(called(started(a_request(task_type="dear"), policy)), POOR, policy=policy))
    said = smallest_change(known, end.decision, end.terminal, policy)
    assert said == "cloud/small had answered it, with more left of the budget acme-month."
    told = "\n".join(explain(end.decision, end.terminal))
    assert "and nothing else was asked" in told
    assert "over_budget" in told


@pytest.mark.parametrize(
    ("period", "now_ms", "begins"),
    [
        (Period.DAY, NOVEMBER_21, "2026-11-22T00:00Z"),
        (Period.MONTH, NOVEMBER_21, "2026-12-01T00:00Z"),
        (Period.DAY, 1_798_761_599_999, "2027-01-01T00:00Z"),
        (Period.MONTH, 1_798_761_599_999, "2027-01-01T00:00Z"),
        (Period.MONTH, 1_801_353_600_000, "2027-02-01T00:00Z"),
        (Period.DAY, 1_835_308_800_000, "2028-02-29T00:00Z"),
    ],
)
def test_a_period_begins_anew_at_midnight_utc(period: Period, now_ms: int, begins: str) -> None:
    assert anew(period, now_ms) == begins


@pytest.mark.parametrize(("micro", "shown"), [(250_000_000, "$250.00"), (1234, "$0.001234"), (0, "$0.00"), (2_500_000, "$2.50")])
def test_limits_are_told_exactly(micro: int, shown: str) -> None:
    assert plain_dollars(micro) == shown


def test_the_deadline_counts_on_the_way_down() -> None:
    policy = with_budget(Over.CHEAPER)
    first = called(started(a_request(task_type="dear"), policy))
    second = called(after(first, POOR, NOW + 100, policy))
    assert second.work.deadline_ms <= first.journey.deadline_ms
