"""What may wait, for what and how long, and how a journey goes on when a batch was in vain."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.journeys import NOW, SMALL, a_policy, a_request, called, came, ended
from trivium.codec import journey_from, work_from
from trivium.codec.compose import work_wire
from trivium.codec.request import request_to
from trivium.core.errors import BadPolicy
from trivium.core.journey import advance, begin
from trivium.core.outcome import Answer, Fault, FaultKind, Verdict
from trivium.core.patience import DAY_MS, HOUR_MS, MINUTE_MS, opens_ms
from trivium.core.policy import Patience, Policy, Prices, Target, Tenant, Window
from trivium.core.request import Priority, Request, Sensitivity
from trivium.core.slip import Arrival, Call, Facts
from trivium.policy import parse
from trivium.v1 import journey_pb2

BY_KAFKA = Arrival(may_wait=True)
HALF = replace(SMALL, prices=Prices(input_per_million=7))
CALL_MS = 60_000
MIDNIGHT = NOW - NOW % DAY_MS


def patient(**fields: object) -> Policy:
    known = {"targets": {SMALL.name: HALF}, "call_ms": CALL_MS, "timeout_ms": 6 * HOUR_MS}
    return a_policy(patience=Patience(**{**known, **fields}), max_timeout_ms=DAY_MS)  # type: ignore[arg-type]


def batch(policy: Policy | None = None, arrival: Arrival = BY_KAFKA, **fields: object) -> Call:
    request = a_request(**{"target": SMALL.name, "priority": Priority.BATCH, "task_type": "", **fields})  # type: ignore[arg-type]
    return called(begin(request, policy or patient(), Facts(NOW), arrival))


def test_batch_work_has_batch_prices_and_ends_while_a_normal_call_still_fits() -> None:
    call = batch()
    assert call.work.wait is not None
    assert call.work.target is HALF
    assert call.work.wait.full == SMALL.prices
    assert call.journey.deadline_ms == NOW + 6 * HOUR_MS
    assert call.work.wait.until_ms == call.journey.deadline_ms - 2 * CALL_MS
    assert call.work.deadline_ms == call.journey.attempts[0].deadline_ms == call.journey.deadline_ms - CALL_MS
    assert call.journey.attempts[0].batch
    assert "patience" in [line.stage for line in call.journey.decision.lines]


@pytest.mark.parametrize(
    ("fields", "arrival"),
    [
        ({"priority": Priority.INTERACTIVE}, BY_KAFKA),
        ({"priority": Priority.NORMAL}, BY_KAFKA),
        ({"timeout_ms": 3 * CALL_MS - 1}, BY_KAFKA),
        ({}, Arrival()),
        ({"target": "cloud/frontier"}, BY_KAFKA),
    ],
    ids=["interactive", "normal", "no slack", "somebody waits", "target without batches"],
)
def test_what_may_not_wait_is_called_now(fields: dict[str, object], arrival: Arrival) -> None:
    assert batch(arrival=arrival, **fields).work.wait is None


def test_nothing_of_a_tenant_without_retention_waits() -> None:
    policy = patient()
    tenants = {**policy.tenants, "acme": Tenant("acme", ("trivium.responses",), zero_retention=True)}
    call = batch(replace(policy, tenants=tenants))
    assert call.work.wait is None
    assert any("may be kept" in line.text for line in call.journey.decision.lines)


def test_a_restricted_request_never_waits_for_the_cloud() -> None:
    step = begin(a_request(target=SMALL.name, priority=Priority.BATCH, task_type="", sensitivity=Sensitivity.RESTRICTED), patient(), Facts(NOW), BY_KAFKA)
    assert not isinstance(step, Call)


def test_slack_makes_normal_requests_wait_too() -> None:
    policy = patient(min_slack_ms=HOUR_MS)
    assert batch(policy, priority=Priority.NORMAL, timeout_ms=HOUR_MS).work.wait is not None
    assert batch(policy, priority=Priority.NORMAL, timeout_ms=HOUR_MS - 1).work.wait is None
    assert batch(policy, priority=Priority.INTERACTIVE, timeout_ms=2 * HOUR_MS).work.wait is None


def test_a_batch_in_vain_is_followed_by_a_normal_call_of_the_same_target() -> None:
    call = batch()
    assert call.work.wait is not None
    at = call.work.wait.until_ms + 50
    step = called(advance(call.journey, came(call, Fault(FaultKind.OVERDUE, "pulled back")), patient(), Facts(at)))
    assert (step.work.target, step.work.wait, step.work.attempt) == (SMALL, None, 2)
    assert step.work.deadline_ms - at > CALL_MS
    assert not step.journey.spare
    first = step.journey.attempts[0]
    assert (first.batch, first.verdict) == (True, Verdict.FELL_BACK)
    end = ended(advance(step.journey, came(step, Answer("so")), patient(), Facts(at + 100)))
    assert end.terminal.answer is not None


def test_a_batch_that_fails_early_does_not_hold_the_next_call_until_its_own_deadline() -> None:
    call = batch()
    step = called(advance(call.journey, came(call, Fault(FaultKind.UNAVAILABLE, "refused")), patient(), Facts(NOW + 500)))
    assert step.work.deadline_ms <= NOW + 500 + patient().attempt_cap_ms


def test_what_speaks_against_the_request_itself_is_not_called_again() -> None:
    call = batch()
    ended(advance(call.journey, came(call, Fault(FaultKind.REJECTED, "no")), patient(), Facts(NOW + 500)))


def test_the_wait_travels_with_the_work_and_the_slip() -> None:
    call = batch()
    message = journey_pb2.Work.FromString(work_wire(call, request_to(call.work.request).SerializeToString()))
    assert work_from(message).wait == call.work.wait
    read = journey_from(message.request, message.slip)
    assert read.patient
    assert read.attempts == call.journey.attempts


@pytest.mark.parametrize(
    ("window", "minute", "opens"),
    [
        (Window(22 * 60, 6 * 60), 12 * 60, 22 * 60),
        (Window(22 * 60, 6 * 60), 23 * 60, 23 * 60),
        (Window(22 * 60, 6 * 60), 60, 60),
        (Window(22 * 60, 6 * 60), 6 * 60, 22 * 60),
        (Window(60, 120), 180, 24 * 60 + 60),
        (Window(60, 120), 119, 119),
    ],
)
def test_off_peak_hours_may_go_over_midnight(window: Window, minute: int, opens: int) -> None:
    assert opens_ms(window, MIDNIGHT + minute * MINUTE_MS) == MIDNIGHT + opens * MINUTE_MS


def off_peak(minute: int, hours: int) -> Call:
    own = next(target for target in a_policy().targets.values() if target.name.startswith("finetuned/"))
    policy = patient(targets={own.name: own}, windows={own.name: Window(22 * 60, 6 * 60)})
    request: Request = a_request(target=own.name, priority=Priority.BATCH, task_type="", timeout_ms=hours * HOUR_MS)
    return called(begin(request, policy, Facts(MIDNIGHT + minute * MINUTE_MS), BY_KAFKA))


def test_own_hardware_is_asked_when_its_hours_begin_if_they_begin_in_time() -> None:
    waiting = off_peak(20 * 60, 12).work.wait
    assert waiting is not None
    assert waiting.from_ms == MIDNIGHT + 22 * HOUR_MS
    assert off_peak(20 * 60, 2).work.wait is None
    assert off_peak(23 * 60, 12).work.wait is None


POLICY = """\
revision: 1
max_timeout_ms: 86_400_000
targets:
  cloud/small: {tier: cloud, model: claude-x, batch: true, prices: {input: 1, output: 5, per_request: 0.000004}}
  finetuned/own: {tier: finetuned, model: own, off_peak: "22:00-06:00"}
tenants:
  acme: {reply_topics: [trivium.responses], zero_retention: true}
tasks:
  ask: {route: [cloud/small]}
novel: {route: [cloud/small]}
"""


def test_the_policy_file_says_what_is_patient() -> None:
    policy = parse(POLICY.encode(), Path("policy.yaml"))
    assert policy.patience is not None
    priced: Target = policy.patience.targets["cloud/small"]
    assert (priced.prices.input_per_million, priced.prices.output_per_million, priced.prices.per_request) == (500_000, 2_500_000, 2)
    assert policy.patience.windows == {"finetuned/own": Window(22 * 60, 6 * 60)}
    assert policy.tenants["acme"].zero_retention
    assert parse(POLICY.replace(", batch: true", "").replace(', off_peak: "22:00-06:00"', "").encode(), Path("p")).patience is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"22:00-06:00"', '"22-6"', "policy.yaml:5: targets.finetuned/own.off_peak: must be hours of UTC in quotes"),
        ('"22:00-06:00"', '"06:00-06:00"', "begins when it ends"),
        ("batch: true", 'off_peak: "22:00-06:00"', "is for the own hardware (tier finetuned), this target is cloud"),
        ('off_peak: "22:00-06:00"', "batch: true", "only a cloud target takes batches"),
        ("batch: true", "batch_prices: {input: 1}", "say `batch: true` as well"),
        ("max_timeout_ms: 86_400_000", "max_timeout_ms: 60_000", "but batch work needs 180000 ms before a deadline"),
        ("revision: 1", "revision: 1\npatience: {min_slack_ms: 1000}", "patience.min_slack_ms: is 1000, but batch work needs 180000"),
        ("revision: 1", "revision: 1\npatience: {min_slak_ms: 1000}", "did you mean min_slack_ms"),
    ],
)
def test_a_wrong_word_of_patience_is_told_with_its_place(old: str, new: str, said: str) -> None:
    with pytest.raises(BadPolicy) as told:
        parse(POLICY.replace(old, new).encode(), Path("policy.yaml"))
    assert said in str(told.value)
