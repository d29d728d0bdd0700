"""Where a request goes first: candidates, forbids and experiments."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.journeys import (
    DOCS,
    ENTERPRISE,
    FRONTIER,
    OWN,
    SMALL,
    TRIAL,
    a_policy,
    a_request,
    after,
    called,
    ended,
    started,
)
from trivium.core.decision import Classification, ForbiddenBy, Source
from trivium.core.outcome import (
    Answer,
    ReasonCode,
    TerminalKind,
)
from trivium.core.policy import (
    Attribute,
    Condition,
    Leg,
    Op,
    Rule,
    TaskSpec,
    TaskType,
)
from trivium.core.request import (
    Identity,
    Output,
    OutputKind,
    Priority,
    Sensitivity,
    Stakes,
    ToolSpec,
)
from trivium.core.slip import Call, Health, TargetFacts

# --- candidates ------------------------------------------------------------------------------------------------------


def test_a_rule_stands_above_the_task_and_a_pin_above_the_rule() -> None:
    policy = a_policy(rules=(ENTERPRISE,))
    assert called(started(a_request(), policy)).work.target == OWN
    by_rule = called(started(a_request(user_tier="enterprise"), policy))
    assert (by_rule.work.target, by_rule.journey.decision.rule) == (FRONTIER, "enterprise")
    pinned = called(started(a_request(user_tier="enterprise", target="cloud/small"), policy))
    assert (pinned.work.target, pinned.journey.decision.source) == (SMALL, Source.PINNED)


@pytest.mark.parametrize("fields", [{"stakes": Stakes.LOW}, {"prompt": "word " * 2000}, {"user_tier": "free"}])
def test_all_conditions_of_a_rule_must_hold(fields: dict[str, Any]) -> None:
    request = a_request(**{"user_tier": "enterprise", **fields})
    assert called(started(request, a_policy(rules=(ENTERPRISE,)))).journey.decision.source is Source.TASK


def test_complexity_meets_no_condition_when_nothing_was_classified() -> None:
    easy = Rule("easy", (Condition(Attribute.COMPLEXITY, Op.LT, 0.5),), (Leg(SMALL),))
    policy = a_policy(rules=(easy,))
    assert called(started(a_request(), policy)).journey.decision.source is Source.TASK
    said = Classification("classify", 0.9, 0.2)
    assert called(started(a_request(task_type="auto"), policy, classify=lambda _t: said)).work.target == SMALL


def test_bars_act_only_where_the_task_can_wait() -> None:
    policy = a_policy(rules=(replace(ENTERPRISE, route=(Leg(SMALL, 0.9), Leg(FRONTIER))),))
    hasty = called(started(a_request(user_tier="enterprise"), policy))
    assert ended(after(hasty, Answer("so", confidence=0.1), policy=policy)).terminal.target == "cloud/small"
    patient = called(started(a_request(user_tier="enterprise", task_type="draft"), policy))
    assert called(after(patient, Answer("so", confidence=0.1), policy=policy)).work.target == FRONTIER


# --- forbidden for good ----------------------------------------------------------------------------------------------


def test_a_restricted_request_is_refused_when_only_the_cloud_could_answer() -> None:
    end = ended(started(a_request(task_type="reason", sensitivity=Sensitivity.RESTRICTED)))
    assert end.terminal.reason is not None
    assert end.terminal.reason.code is ReasonCode.NO_ROUTE
    assert "cloud/frontier: restricted requests never reach the cloud" in end.terminal.reason.message
    assert [f.by for f in end.decision.forbidden] == [ForbiddenBy.PRIVACY]


def test_a_cloud_generator_is_replaced_by_a_local_one_for_a_restricted_request() -> None:
    cloudy = replace(DOCS, generator=SMALL)
    task = TaskType(TaskSpec("ask", corpus="docs"), (Leg(cloudy), Leg(SMALL)))
    targets = {t.name: t for t in (OWN, cloudy, SMALL, FRONTIER)}
    policy = a_policy(tasks={"ask": task}, targets=targets)
    assert called(started(a_request(task_type="ask"), policy)).work.target.generator == SMALL
    restricted = a_request(task_type="ask", sensitivity=Sensitivity.RESTRICTED)
    assert called(started(restricted, policy)).work.target.generator == OWN
    without = a_policy(tasks={"ask": task}, targets={t.name: t for t in (cloudy, SMALL, FRONTIER)})
    assert ended(started(restricted, without)).terminal.kind is TerminalKind.REFUSED


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"prompt": "word " * 8000}, "do not fit into 8192"),
        ({"tools": (ToolSpec("t", "", "{}"),)}, "does not take the caller's tools"),
    ],
)
def test_what_a_target_cannot_do_takes_it_away(fields: dict[str, Any], why: str) -> None:
    call = called(started(a_request(**fields)))
    assert call.work.target == SMALL
    assert [(f.target, f.by) for f in call.journey.decision.forbidden] == [
        ("finetuned/support", ForbiddenBy.CAPABILITY)
    ]
    assert why in call.journey.decision.forbidden[0].why


def test_a_target_that_does_not_write_json_is_taken_away() -> None:
    plain = replace(OWN, formats=("text",))
    policy = a_policy(tasks={"classify": TaskType(TaskSpec("classify"), (Leg(plain), Leg(SMALL)))})
    assert called(started(a_request(output=Output(OutputKind.JSON)), policy)).work.target == SMALL


def test_retrieval_needs_a_corpus_of_the_tenant() -> None:
    call = called(started(a_request(identity=Identity("globex", "r1"), task_type="ask")))
    assert call.work.target == SMALL
    assert call.journey.decision.forbidden[0].why == "the tenant has no corpus docs"


def test_a_longer_answer_than_a_target_gives_is_no_reason_against_it() -> None:
    call = called(started(a_request(max_output_tokens=5000)))
    assert (call.work.target, call.work.task.max_output_tokens) == (OWN, 5000)


# --- forbidden for now -----------------------------------------------------------------------------------------------


def test_open_breakers_everywhere_refuse_at_once_and_name_each() -> None:
    sick = {"finetuned/support": TargetFacts(Health.OPEN), "cloud/small": TargetFacts(Health.SILENT)}
    reason = ended(started(a_request(), targets=sick)).terminal.reason
    assert reason is not None
    assert reason.code is ReasonCode.NO_TARGET_NOW
    assert "finetuned/support: its breaker is open" in reason.message
    assert "cloud/small: no pulse" in reason.message


def test_a_retrieval_target_is_as_ill_as_its_generator() -> None:
    call = called(started(a_request(task_type="ask"), targets={"finetuned/support": TargetFacts(Health.OPEN)}))
    assert call.work.target == SMALL


def test_a_target_that_is_too_slow_for_the_deadline_is_passed_over() -> None:
    slow = {"finetuned/support": TargetFacts(queue_wait_ms=1500, p95_ms=600)}
    assert called(started(a_request(timeout_ms=2000), targets=slow)).work.target == SMALL
    assert called(started(a_request(timeout_ms=2200), targets=slow)).work.target == OWN


def test_when_forecasts_alone_are_against_all_the_quickest_is_tried() -> None:
    slow = {"finetuned/support": TargetFacts(p95_ms=9000), "cloud/small": TargetFacts(p95_ms=5000)}
    assert called(started(a_request(timeout_ms=2000), targets=slow)).work.target == SMALL
    full = {name: TargetFacts(queue_wait_ms=2000, p95_ms=1) for name in slow}
    assert ended(started(a_request(timeout_ms=2000), targets=full)).terminal.kind is TerminalKind.REFUSED


def test_as_a_queue_grows_batch_is_turned_away_first_and_interactive_last() -> None:
    def answers(wait_ms: int) -> list[str]:
        busy = {name: TargetFacts(queue_wait_ms=wait_ms, p95_ms=100) for name in ("finetuned/support", "cloud/small")}
        ends = [started(a_request(timeout_ms=2000, priority=priority), targets=busy) for priority in Priority]
        return [priority.value for priority, step in zip(Priority, ends, strict=True) if isinstance(step, Call)]

    assert [answers(wait_ms) for wait_ms in (999, 1000, 1599, 1600, 1999, 2000)] == [
        ["interactive", "normal", "batch"], ["interactive", "normal"], ["interactive", "normal"],
        ["interactive"], ["interactive"], [],
    ]  # fmt: skip


def test_who_is_turned_away_is_told_why_and_another_target_with_room_is_asked() -> None:
    busy = {"finetuned/support": TargetFacts(queue_wait_ms=1700), "cloud/small": TargetFacts(queue_wait_ms=1900)}
    end = ended(started(a_request(timeout_ms=2000), targets=busy))
    reason = end.terminal.reason
    assert reason is not None
    assert (end.terminal.kind, reason.code) == (TerminalKind.REFUSED, ReasonCode.OVERLOADED)
    assert "a wait of about 1700 ms is more than the 1600 that normal work may wait of its 2000 ms" in reason.message
    assert {taken.by for taken in end.decision.forbidden} == {ForbiddenBy.LOAD}
    room = {"finetuned/support": busy["finetuned/support"]}
    assert called(started(a_request(timeout_ms=2000), targets=room)).work.target == SMALL


def test_a_ceiling_forbids_what_may_cost_more() -> None:
    tasks = {"classify": TaskType(TaskSpec("classify"), (Leg(FRONTIER), Leg(SMALL)), ceiling_micro_dollars=4000)}
    call = called(started(a_request(), a_policy(tasks=tasks)))
    assert call.work.target == SMALL
    assert call.journey.decision.forbidden[0].by is ForbiddenBy.MONEY


# --- experiment ------------------------------------------------------------------------------------------------------


def test_arms_are_sticky_by_end_user_and_weighted() -> None:
    policy = a_policy(experiments=(TRIAL,))
    arms = []
    for user in range(2000):
        first, second = (
            called(started(a_request(identity=Identity("acme", i), end_user=f"u{user}"), policy)) for i in ("a", "b")
        )
        decision = first.journey.decision
        assert decision.arm == second.journey.decision.arm
        assert decision.probability == {"as-is": 0.75, "cloud": 0.25}[decision.arm]
        assert first.work.target == (SMALL if decision.arm == "cloud" else OWN)
        arms.append(decision.arm)
    assert 420 < arms.count("cloud") < 580


def test_arms_do_not_share_cached_answers_and_other_requests_stay_out() -> None:
    policy = a_policy(experiments=(TRIAL,), rules=(ENTERPRISE,))
    calls = [called(started(a_request(end_user=f"u{i}"), policy)) for i in range(40)]
    by_arm = {c.journey.decision.arm: c.journey.cache.hash for c in calls if c.journey.cache}
    assert len(set(by_arm.values())) == 2
    for fields in ({"target": "cloud/small"}, {"user_tier": "enterprise"}, {"task_type": "ask"}):
        assert called(started(a_request(**fields), policy)).journey.decision.experiment == ""


def test_a_request_that_an_arm_may_not_carry_is_left_out() -> None:
    policy = a_policy(experiments=(TRIAL,))
    for user in range(20):
        call = called(started(a_request(end_user=f"u{user}", sensitivity=Sensitivity.RESTRICTED), policy))
        assert (call.work.target, call.journey.decision.experiment) == (OWN, "")
