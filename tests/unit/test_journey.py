"""The journey as a whole: what travels along, what it costs, how it walks its route."""

from dataclasses import replace

import pytest

from tests.unit.journeys import (
    DOCS,
    FRONTIER,
    NOW,
    OWN,
    SMALL,
    TRIAL,
    a_policy,
    a_request,
    after,
    called,
    came,
    ended,
    fault,
    started,
)
from trivium.core.decision import ForbiddenBy
from trivium.core.journey import advance, begin, cancel
from trivium.core.outcome import (
    Answer,
    Fault,
    FaultKind,
    Finish,
    Reason,
    ReasonCode,
    TerminalKind,
    Usage,
    Verdict,
)
from trivium.core.policy import (
    Leg,
    TaskSpec,
    TaskType,
    Tier,
)
from trivium.core.request import (
    Identity,
    Sensitivity,
)
from trivium.core.slip import Arrival, End, Facts, Health, TargetFacts

# --- the journey as a whole ------------------------------------------------------------------------------------------


def test_what_the_door_knows_travels_along() -> None:
    arrival = Arrival(body_hash="b", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01", deadline_ms=NOW + 500)
    call = called(begin(a_request(), a_policy(), Facts(NOW, over_quota=True), arrival))
    journey = call.journey
    assert (journey.body_hash, journey.spare, journey.deadline_ms) == ("b", True, NOW + 500)
    assert journey.reply_topic == "trivium.responses"
    assert ended(after(call, Answer("x"))).terminal.trace_id == "a" * 32


def test_a_door_that_no_longer_waits_ends_the_journey_at_once() -> None:
    end = ended(begin(a_request(), a_policy(), Facts(NOW), Arrival(deadline_ms=NOW - 1)))
    assert (end.terminal.kind, end.terminal.attempts) == (TerminalKind.EXPIRED, ())


def test_the_same_goes_in_and_the_same_comes_out() -> None:
    policy = a_policy(experiments=(TRIAL,))
    assert started(a_request(end_user="u"), policy) == started(a_request(end_user="u"), policy)


def test_cancelling_closes_the_open_attempt() -> None:
    end = cancel(called(started(a_request())).journey, Facts(NOW + 40))
    assert end.terminal.kind is TerminalKind.FAILED
    assert end.terminal.reason == Reason(ReasonCode.CANCELLED, "cancelled by the caller")
    (attempt,) = end.terminal.attempts
    assert (attempt.verdict, attempt.duration_ms) == (Verdict.FAILED, 40)


def test_money_and_times_of_the_terminal() -> None:
    call = called(started(a_request(task_type="ask")))
    failed_one = came(call, fault(FaultKind.CUT), cost_micro_dollars=7, usage=Usage(10, 5))
    second = called(advance(call.journey, failed_one, a_policy(), Facts(NOW + 100)))
    usage = Usage(1000, 100, context_tokens=600, tool_tokens=100)
    good = came(
        second, Answer("x"), cost_micro_dollars=1500, usage=usage,
        started_ms=NOW + 150, ended_ms=NOW + 400, ttft_ms=50, tpot_us=900,
    )  # fmt: skip
    terminal = ended(advance(second.journey, good, a_policy(), Facts(NOW + 420))).terminal
    assert terminal.cost_micro_dollars == 1507
    assert terminal.usage == usage + Usage(10, 5)
    assert terminal.all_cloud_micro_dollars == 300 * 5 + 100 * 25
    assert (terminal.ttft_ms, terminal.tpot_us) == (200, 900)
    assert [a.duration_ms for a in terminal.attempts] == [100, 250]
    assert terminal.ended_ms - terminal.arrived_ms == 420


# --- the walk --------------------------------------------------------------------------------------------------------


def test_an_answer_below_its_bar_goes_up_until_one_passes() -> None:
    first = called(started(a_request(task_type="draft")))
    second = called(after(first, Answer("weak", confidence=0.69)))
    assert second.work.target == SMALL
    end = ended(after(second, Answer("good", confidence=0.5)))
    assert [a.verdict for a in end.terminal.attempts] == [Verdict.ESCALATED, Verdict.ACCEPTED]
    assert (end.terminal.answer, end.terminal.target) == (Answer("good", confidence=0.5), "cloud/small")
    assert (end.terminal.tier, second.journey.earlier) == ("cloud", came(first, Answer("weak", confidence=0.69)))


@pytest.mark.parametrize("weak", [Answer("?"), Answer("no", confidence=0.9, finish=Finish.REFUSAL)])
def test_no_confidence_and_a_models_refusal_pass_no_bar(weak: Answer) -> None:
    assert called(after(called(started(a_request(task_type="draft"))), weak)).work.target == SMALL


def test_the_last_target_of_a_cascade_is_believed() -> None:
    call = called(started(a_request(task_type="draft")))
    for _ in range(2):
        call = called(after(call, Answer("weak", confidence=0.2)))
    end = ended(after(call, Answer("last")))
    assert (end.terminal.target, end.terminal.answer) == ("cloud/frontier", Answer("last"))


def test_an_earlier_answer_is_given_when_what_follows_fails() -> None:
    first = called(started(a_request(task_type="draft")))
    second = called(after(first, Answer("better", confidence=0.6)))
    third = called(after(second, Answer("worse", confidence=0.3)))
    end = ended(after(third, fault(FaultKind.OVERDUE)))
    assert end.terminal.kind is TerminalKind.ANSWERED
    assert end.terminal.answer == Answer("better", confidence=0.6)
    assert [a.verdict for a in end.terminal.attempts] == [Verdict.ACCEPTED, Verdict.ESCALATED, Verdict.FAILED]
    assert "nothing better came" in end.terminal.attempts[0].why
    assert "below its bar" in end.decision.lines[-1].text
    assert end.write is None


def test_an_answer_below_its_bar_is_given_when_nothing_above_can_be_asked() -> None:
    first = called(started(a_request(task_type="draft", timeout_ms=1000)))
    slow = {"cloud/small": TargetFacts(p95_ms=900), "cloud/frontier": TargetFacts(Health.OPEN)}
    end = ended(after(first, Answer("weak", confidence=0.1), NOW + 500, targets=slow))
    assert (end.terminal.target, end.write) == ("finetuned/support", None)


def test_a_fault_moves_on_and_the_last_one_fails_with_all_faults_in_order() -> None:
    first = called(started(a_request()))
    second = called(after(first, fault(FaultKind.OVERLOADED, "busy")))
    assert second.work.target == SMALL
    terminal = ended(after(second, fault(FaultKind.UNAVAILABLE, "gone"))).terminal
    assert terminal.kind is TerminalKind.FAILED
    assert terminal.reason is not None
    assert terminal.reason.code is ReasonCode.ATTEMPTS_FAILED
    assert terminal.reason.message == "finetuned/support: overloaded (busy); cloud/small: unavailable (gone)"
    assert [a.verdict for a in terminal.attempts] == [Verdict.FELL_BACK, Verdict.FAILED]
    assert [a.fault and a.fault.kind for a in terminal.attempts] == [FaultKind.OVERLOADED, FaultKind.UNAVAILABLE]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FaultKind.CANCELLED, ReasonCode.CANCELLED),
        (FaultKind.STARTED_TOO_OFTEN, ReasonCode.STARTED_TOO_OFTEN),
    ],
)
def test_some_faults_end_the_journey_though_something_follows(kind: FaultKind, code: ReasonCode) -> None:
    terminal = ended(after(called(started(a_request())), fault(kind))).terminal
    assert terminal.reason is not None
    assert (terminal.kind, terminal.reason.code) == (TerminalKind.FAILED, code)


def test_too_large_is_its_own_reason_when_it_is_the_last() -> None:
    call = called(started(a_request(task_type="account")))
    reason = ended(after(call, fault(FaultKind.TOO_LARGE))).terminal.reason
    assert reason is not None
    assert reason.code is ReasonCode.TOO_LARGE


def test_past_its_deadline_a_request_without_an_answer_expires() -> None:
    call = called(started(a_request(timeout_ms=1000)))
    terminal = ended(after(call, fault(FaultKind.OVERDUE), NOW + 1000)).terminal
    assert terminal.kind is TerminalKind.EXPIRED
    assert terminal.reason is not None
    assert terminal.reason.message.startswith("no answer within 1000 ms: finetuned/support: overdue")


def test_an_answer_that_the_log_has_before_the_overdue_counts_though_late() -> None:
    call = called(started(a_request(timeout_ms=1000)))
    assert ended(after(call, Answer("late"), NOW + 1500)).terminal.kind is TerminalKind.ANSWERED


def test_an_attempt_gets_sixty_percent_while_something_follows_and_all_when_nothing_does() -> None:
    first = called(started(a_request(timeout_ms=10_000)))
    assert first.work.deadline_ms == NOW + 6_000
    second = called(after(first, fault(FaultKind.OVERDUE), NOW + 6_000))
    assert second.work.deadline_ms == NOW + 10_000
    capped = called(started(a_request(timeout_ms=600_000)))
    assert capped.work.deadline_ms == NOW + 120_000


def test_an_outcome_that_is_not_of_the_open_attempt_changes_nothing() -> None:
    call = called(started(a_request()))
    second = called(after(call, fault(FaultKind.CUT)))
    good = came(second, Answer("x"))
    for stray in (
        came(call, Answer("late")),
        replace(good, attempt=3),
        replace(good, target="finetuned/support"),
        replace(good, identity=Identity("globex", "r1")),
        replace(good, identity=Identity("acme", "r1", 1)),
    ):
        assert advance(second.journey, stray, a_policy(), Facts(NOW + 200)) is None
    assert ended(advance(second.journey, good, a_policy(), Facts(NOW + 200))).terminal.answer == Answer("x")


def test_a_transient_fault_of_the_last_target_is_tried_once_more_out_of_a_budget() -> None:
    call = called(started(a_request(task_type="account")))
    assert isinstance(after(call, fault(FaultKind.UNAVAILABLE)), End)
    again = called(after(call, fault(FaultKind.UNAVAILABLE), retry_tokens=0.8))
    assert (again.work.target, again.work.attempt, again.journey.retry_tokens) == (OWN, 2, 0.0)
    assert isinstance(after(again, fault(FaultKind.UNAVAILABLE), retry_tokens=5.0), End)
    assert isinstance(after(call, fault(FaultKind.REJECTED), retry_tokens=5.0), End)
    assert isinstance(after(call, Fault(FaultKind.RATE_LIMITED, "wait", 500), retry_tokens=5.0), End)


def test_what_the_policy_has_become_can_only_narrow() -> None:
    first = called(started(a_request(task_type="draft")))
    without_small = a_policy(targets={t.name: t for t in (OWN, FRONTIER)})
    second = called(after(first, Answer("weak", confidence=0.1), policy=without_small))
    assert second.work.target == FRONTIER
    assert "the policy in force has no cloud/small any more" in second.journey.decision.forbidden[0].why
    moved = a_policy(targets={t.name: t for t in (replace(OWN, tier=Tier.CLOUD), DOCS, SMALL, FRONTIER)})
    task = {"classify": TaskType(TaskSpec("classify"), (Leg(replace(OWN, name="finetuned/other")), Leg(OWN)))}
    other = a_policy(tasks=task, targets={**a_policy().targets, "finetuned/other": OWN})
    restricted = called(started(a_request(sensitivity=Sensitivity.RESTRICTED), other))
    end = ended(after(restricted, fault(FaultKind.CUT), policy=moved))
    assert end.decision.forbidden[-1].by is ForbiddenBy.PRIVACY
