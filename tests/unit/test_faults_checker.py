"""The checker of the fault harness says no when a promise is broken: each is broken here on purpose, in a run that kept all of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.checker import CHECKS, check, retries_of
from tests.faults.evidence import (
    Asked,
    AttemptRecord,
    CacheRecord,
    Call,
    Calm,
    Commit,
    DeadLetter,
    Event,
    Evidence,
    LedgerRecord,
    OutcomeRecord,
    ReplyRecord,
    RequestRecord,
    Seen,
    Span,
    Spent,
    WorkRecord,
)
from tests.faults.figures import figures, recovery_s
from tests.faults.money import ambiguous, paid_twice, unrecorded
from tests.faults.plan import ROUTER_POINTS, TIER_POINTS, What, make
from tests.faults.windows import Windows
from trivium.crash import Point
from trivium.kafka.topics import OUTCOMES, REQUESTS

BEGAN = 1_000_000
KEY, MARK, TRACE = "acme/1", "acme/1", "t1"
TARGET = "cloud/small"
STARTED = AttemptRecord("cloud", BEGAN + 20, KEY, 1, 1, "started", TARGET, "cloud-1", 0, "", "kafka", BEGAN + 19)
OUTCOME = OutcomeRecord(3, 0, BEGAN + 200, KEY, 1, TARGET, MARK, 40, "", "cloud-1", "b1", BEGAN + 8_000)
REPLY = ReplyRecord("trivium.responses", BEGAN + 300, KEY, "answered", "Answered for [mark acme/1]", 40, TRACE)


def kept() -> Evidence:
    """One request, as it should go."""
    return Evidence(
        7, 6_000, {KEY: Asked(KEY, MARK, "kafka", 10_000, BEGAN, True)},
        [Seen(KEY, "answered", "Answered for [mark acme/1]", BEGAN + 310, 40, TRACE)],
        [RequestRecord(3, 0, BEGAN, KEY, MARK, "acme")], [WorkRecord("trivium.work.cloud", 5, 0, BEGAN + 10, KEY, 1, TARGET, MARK)],
        [OUTCOME], [STARTED, replace(STARTED, state="settled", cost=40, at_ms=BEGAN + 210)],
        [LedgerRecord(BEGAN + 290, KEY, "terminal", 40, (Spent(1, TARGET, 40, ""),))], [REPLY], [], [CacheRecord("acme", MARK)],
        [Commit(BEGAN + 400, REQUESTS, 3, 1), Commit(BEGAN + 400, OUTCOMES, 3, 1), Commit(BEGAN + 400, "trivium.work.cloud", 5, 1)],
        [Call("claude", MARK, BEGAN + 30, BEGAN + 190, "")], {TRACE: [Span("a", "", "load"), Span("b", "a", "router")]},
        [Event(BEGAN + 50_000, "kill", "router-1")], Calm(BEGAN + 50_000, BEGAN + 60_000),
    )  # fmt: skip


def broken_by(**changes: Any) -> list[str]:
    """Names of the checks that say no after a change."""
    evidence = kept()
    for name, value in changes.items():
        setattr(evidence, name, value(getattr(evidence, name)) if callable(value) else value)
    return [one.__name__ for one in CHECKS if not one(evidence).held]


def other(**changes: Any) -> Callable[[Any], Any]:
    """The only record of a list, with other fields."""
    return lambda records: [replace(records[0], **changes), *records[1:]]


LATE = replace(OUTCOME, at_ms=BEGAN + 50_000, deadline_ms=BEGAN + 10_000)


@pytest.mark.parametrize(("request_ms", "late", "wrong"), [
    (BEGAN + 60_001, LATE, []),  # read again and begun anew
    (BEGAN + 59_999, LATE, ["commits_hold"]),  # lost
    (BEGAN + 60_001, replace(LATE, deadline_ms=BEGAN + 49_000), ["commits_hold"]),  # somebody still waited for it
])  # fmt: skip
def test_an_outcome_that_nobody_waits_for_needs_no_effect_as_long_as_its_request_is_read_again(
    request_ms: int, late: OutcomeRecord, wrong: list[str]
) -> None:
    commits = [Commit(request_ms, REQUESTS, 3, 1), Commit(BEGAN + 60_000, OUTCOMES, 3, 1)]
    end = {"replies": other(at_ms=BEGAN + 61_000), "works": other(at_ms=BEGAN + 59_000)}
    assert [name for name in broken_by(outcomes=[late], commits=commits, **end) if name == "commits_hold"] == wrong


def test_a_run_that_kept_everything_is_believed() -> None:
    checked = check(kept())
    assert checked.held, [verdict for verdict in checked.verdicts if not verdict.held]


@pytest.mark.parametrize(("changes", "who"), [
    ({"replies": []}, "nothing_lost"),
    ({"requests": []}, "nothing_lost"),
    ({"seen": []}, "seen_once"),
    ({"seen": other(kind="nothing")}, "seen_once"),
    ({"seen": lambda seen: [*seen, *seen]}, "seen_once"),
    ({"replies": lambda replies: [*replies, replace(REPLY, key="acme/9", text="")]}, "nobody_unknown"),
    ({"requests": other(mark="acme/2")}, "payloads_match"),
    ({"works": other(mark="acme/2")}, "payloads_match"),
    ({"outcomes": other(mark="globex/1")}, "payloads_match"),
    ({"replies": other(text="Answered for [mark acme/2]")}, "payloads_match"),
    ({"seen": other(text="another text")}, "payloads_match"),
    ({"seen": other(cost=41)}, "payloads_match"),
    ({"replies": lambda replies: [*replies, replace(REPLY, key="globex/1", text="")]}, "tenants_apart"),
    ({"cache": [CacheRecord("globex", "acme/1")]}, "tenants_apart"),
    ({"commits": [Commit(BEGAN + 9, REQUESTS, 3, 1)]}, "commits_hold"),
    ({"commits": [Commit(BEGAN + 299, OUTCOMES, 3, 1)]}, "commits_hold"),
    ({"commits": [Commit(BEGAN + 199, "trivium.work.cloud", 5, 1)]}, "commits_hold"),
    ({"outcomes": [], "commits": [Commit(BEGAN + 400, "trivium.work.cloud", 5, 1)]}, "commits_hold"),
    ({"replies": other(at_ms=BEGAN + 12_001)}, "in_time"),
    ({"ledger": other(attempts=(Spent(1, TARGET, 20, "cut"), Spent(2, TARGET, 20, "")))}, "retries_bounded"),
    ({"dead": [DeadLetter(BEGAN, KEY, "started_too_often", "trivium.work.cloud", 5, 0)]}, "dead_are_told"),
    ({"dead": [DeadLetter(BEGAN, "", "undecodable", "trivium.work.cloud", 5, 0)]}, "dead_are_told"),
    ({"calls": lambda calls: [*calls, *calls]}, "calls_match_starts"),
    ({"calls": []}, "calls_match_starts"),
    ({"calls": lambda calls: [*calls, Call("tgi", MARK, BEGAN, BEGAN, "")]}, "calls_match_starts"),
    ({"calls": lambda calls: [*calls, Call("claude", "", BEGAN, BEGAN, "")]}, "calls_match_starts"),
    ({"attempts": [STARTED, replace(STARTED, state="settled", cost=39)]}, "settled_match_outcomes"),
    ({"ledger": other(cost=41)}, "ledger_matches_outcomes"),
    ({"ledger": []}, "ledger_matches_outcomes"),
    ({"outcomes": lambda outcomes: [*outcomes, replace(OUTCOME, body="b2", cost=7)]}, "ledger_matches_outcomes"),
    ({"spans": {TRACE: [Span("a", "", "load"), Span("b", "x", "router")]}}, "traces_connect"),
    ({"spans": {TRACE: [Span("a", "", "load"), Span("b", "", "router")]}}, "traces_connect"),
    ({"spans": {}}, "traces_connect"),
    ({"calm": Calm(BEGAN, 0)}, "calm_again"),
    ({"calm": Calm(BEGAN, BEGAN + 30_001)}, "calm_again"),
])  # fmt: skip
def test_a_broken_promise_is_seen(changes: dict[str, Any], who: str) -> None:
    assert who in broken_by(**changes)


def test_every_check_was_broken_here() -> None:
    marks = next(mark for mark in test_a_broken_promise_is_seen.pytestmark if mark.name == "parametrize")
    assert {who for _, who in marks.args[1]} == {one.__name__ for one in CHECKS}


@pytest.mark.parametrize(("broken", "forgiven"), [({"calm": Calm(BEGAN, BEGAN + 30_001)}, True), ({"replies": []}, False)])
def test_only_what_the_clock_says_is_forgiven_to_a_shared_machine(broken: dict[str, Any], forgiven: bool) -> None:
    evidence = kept()
    for name, value in broken.items():
        setattr(evidence, name, value)
    checked = check(evidence)
    assert not checked.held
    assert checked.held_but_for_the_clock is forgiven


def test_what_repeats_in_the_log_is_no_harm() -> None:
    evidence = kept()
    evidence.replies = [*evidence.replies, replace(REPLY, at_ms=BEGAN + 900)]
    evidence.ledger = [*evidence.ledger, *evidence.ledger]
    evidence.outcomes = [OUTCOME, replace(OUTCOME, offset=1)]
    assert check(evidence).held


def test_a_call_of_a_tier_that_dies_in_that_moment_may_leave_no_start() -> None:
    call = Call("claude", MARK, BEGAN + 30, 0, "")
    assert "calls_match_starts" not in broken_by(calls=[call, call], events=[Event(BEGAN + 900, "crash", "cloud-1")])
    assert "calls_match_starts" in broken_by(calls=[call, call], events=[Event(BEGAN + 900, "crash", "router-1")])
    evidence = kept()
    evidence.calls = [call, call]
    assert unrecorded(evidence) == 1


def test_a_stray_that_cost_money_is_in_the_ledger() -> None:
    stray = replace(OUTCOME, body="b2", cost=7, instance="cloud-2")
    entry = LedgerRecord(BEGAN + 999, KEY, "stray", 7, (Spent(1, TARGET, 7, ""),), "b2")
    assert broken_by(outcomes=[OUTCOME, stray], ledger=lambda ledger: [*ledger, entry, entry]) == []


def test_what_was_paid_twice_is_counted_as_ambiguous() -> None:
    evidence = kept()
    again = replace(STARTED, execution=2, instance="cloud-2", begun_ms=BEGAN + 500)
    evidence.attempts, evidence.calls = [*evidence.attempts, again], [*evidence.calls, *evidence.calls]
    assert (paid_twice(evidence), ambiguous(evidence)) == (1, 1)
    assert "calls_match_starts" not in [one.__name__ for one in CHECKS if not one(evidence).held]


def test_the_deadline_is_counted_from_the_last_that_died() -> None:
    evidence = kept()
    calm = Windows(evidence).deadline_bound(BEGAN, BEGAN + 10_000)
    assert calm == BEGAN + 12_000
    evidence.events = [Event(BEGAN + 5_000, "kill", "router-1")]
    assert Windows(evidence).deadline_bound(BEGAN, BEGAN + 10_000) == BEGAN + 10_000 + 6_000 + 5_000
    evidence.events = [Event(BEGAN - 9_000, "start", "router-1"), Event(BEGAN + 11_000, "ready", "router-1")]
    assert Windows(evidence).deadline_bound(BEGAN, BEGAN + 10_000) == BEGAN + 11_000 + 6_000 + 5_000
    evidence.events = [Event(BEGAN + 5_000, "kill", "router-1"), Event(BEGAN + 15_000, "kill", "router-2")]
    assert Windows(evidence).deadline_bound(BEGAN, BEGAN + 10_000) == BEGAN + 15_000 + 6_000 + 5_000


def test_retries_are_not_escalations_and_count_outside_of_kill_windows_only() -> None:
    evidence = kept()
    up = (Spent(1, "finetuned/support", 1, ""), Spent(2, TARGET, 20, "cut"), Spent(3, TARGET, 19, ""))
    evidence.ledger = [LedgerRecord(BEGAN, KEY, "terminal", 40, up), LedgerRecord(BEGAN + 51_000, KEY, "terminal", 40, up)]
    assert retries_of(evidence) == (1, 1)
    evidence.events = [Event(BEGAN - 10, "storm", "claude"), Event(BEGAN + 10, "calm", "claude")]
    assert retries_of(evidence) == (1, 1)


def test_recovery_lasts_until_the_last_that_was_held_up() -> None:
    evidence = kept()
    evidence.replies, evidence.events = [replace(REPLY, at_ms=BEGAN + 9_000)], [Event(BEGAN + 2_000, "kill", "router-1")]
    assert recovery_s(evidence) == [7.0]
    evidence.calls = [replace(evidence.calls[0], fault="hang")]
    assert recovery_s(evidence) == [0]
    assert figures(evidence)["kills"] == 1


def test_the_same_seed_makes_the_same_plan_with_every_place_in_it() -> None:
    plan = make(7, 20, 6, 3)
    assert plan == make(7, 20, 6, 3)
    assert plan != make(8, 20, 6, 3)
    assert {step.point for step in plan if step.point} == set(Point) == {*ROUTER_POINTS, *TIER_POINTS}
    assert sum(step.kills for step in plan) >= 20
    assert {step.what for step in plan} == set(What)
    assert sum(step.kills for step in make(7, 200, 6, 3)) >= 200
