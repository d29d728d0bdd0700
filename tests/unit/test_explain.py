"""`trivium why`: a decision in words, and the smallest change that had sent it elsewhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.journeys import ENTERPRISE, NOW, a_policy, a_request, after, called, came, ended, fault, started
from trivium.codec import ledger_record, ledger_wire, terminal_to
from trivium.core.explain import dollars, explain
from trivium.core.journey import advance
from trivium.core.outcome import Answer, FaultKind, ToolUse, Usage
from trivium.core.policy import Attribute, Condition, Leg, Op, Policy, Rule
from trivium.core.request import Knowledge, Priority, Request, Sensitivity, Stakes, ToolSpec
from trivium.core.slip import End, Facts, Health, TargetFacts
from trivium.core.whatif import Known, destination, smallest_change
from trivium.policy import load
from trivium.v1.records_pb2 import LedgerRecord

EXAMPLE = load(Path(__file__).parents[2] / "examples/support/policy.yaml")


def known_of(request: Request, end: End, **more: Any) -> Known:
    known = Known(
        request.identity.tenant, end.decision.task_type, user_tier=request.user_tier,
        sensitivity=request.sensitivity, tokens=end.decision.prompt_tokens,
    )  # fmt: skip
    return replace(known, **more)


def change(request: Request, end: End, policy: Policy | None = None) -> str:
    return smallest_change(known_of(request, end), end.decision, end.terminal, policy or a_policy())


def test_every_stage_attempt_and_cent_is_told() -> None:
    call = called(started(a_request(task_type="draft")))
    weak = came(
        call, Answer("weak", confidence=0.61), usage=Usage(900, 50, context_tokens=300), cost_micro_dollars=1234,
        tool_uses=(ToolUse("search_documents", 1, 300, 5, 12),), started_ms=NOW, ended_ms=NOW + 90,
    )  # fmt: skip
    second = called(advance(call.journey, weak, a_policy(), Facts(NOW + 100)))
    end = ended(after(second, Answer("good", confidence=0.8), NOW + 300))
    lines = "\n".join(explain(end.decision, end.terminal))
    for part in (
        "acme/r1: answered by cloud/small, after 300 ms",
        "candidates: task: finetuned/support (bar 0.70) -> cloud/small (bar 0.50) -> cloud/frontier",
        "attempt 1 at finetuned/support: not good enough, up, confidence 0.61",
        "90 ms, 900 tokens in, 50 out, 300 of them retrieved, $0.001234",
        "tool search_documents: 1 calls, 300 tokens, $0.000005, 12 ms",
        "attempt 2 at cloud/small: accepted, confidence 0.80",
        "cost $0.001234",
    ):
        assert part in lines
    assert change(a_request(task_type="draft"), end) == (
        "a bar of 0.61 instead of 0.70 at finetuned/support had let its answer pass."
    )


def test_a_refusal_says_what_would_be_right() -> None:
    end = ended(started(a_request(timeout_ms=0)))
    assert explain(end.decision, end.terminal)[0] == (
        "acme/r1: refused after 0 ms, bad_timeout in timeout_ms: timeout_ms is 0 "
        "(from 1 to 600000, or leave it out for the task type's own)"
    )
    assert change(a_request(), end).startswith("timeout_ms as it should be: from 1 to 600000")


@pytest.mark.parametrize(("micro", "shown"), [(0, "$0.000000"), (1_234_567, "$1.234567"), (-5, "-$0.000005")])
def test_dollars_are_exact(micro: int, shown: str) -> None:
    assert dollars(micro) == shown


def answered(request: Request, policy: Policy | None = None, **facts: Any) -> End:
    return ended(after(called(started(request, policy, **facts)), Answer("x", confidence=0.9), policy=policy))


def test_a_threshold_that_was_just_missed_is_the_smallest_change() -> None:
    long = Rule("long", (Condition(Attribute.TOKENS, Op.GT, 20),), (Leg(a_policy().targets["cloud/small"]),))
    policy = a_policy(rules=(long, ENTERPRISE))
    request = a_request("word " * 10)
    end = answered(request, policy)
    tokens = end.decision.prompt_tokens
    assert tokens < 30
    found = change(
        request, end, a_policy(rules=(replace(long, when=(Condition(Attribute.TOKENS, Op.GT, 30),)), ENTERPRISE))
    )
    assert found == f"tokens 31 instead of {tokens} had sent it to cloud/small."


def test_a_word_of_a_rule_and_what_the_applied_rule_tells() -> None:
    policy = a_policy(
        rules=(replace(ENTERPRISE, when=(ENTERPRISE.when[0], Condition(Attribute.STAKES, Op.EQ, "high"))),)
    )
    request = a_request(user_tier="enterprise", stakes=Stakes.HIGH)
    assert "stakes" not in change(a_request(), answered(a_request(), policy), policy)
    found = change(request, answered(request, policy), policy)
    assert found == "user_tier none instead of enterprise had sent it to finetuned/support."


def test_health_and_faults_are_named() -> None:
    request = a_request()
    end = answered(request, targets={"finetuned/support": TargetFacts(Health.OPEN)})
    assert change(request, end) == "finetuned/support had been asked first, but its breaker is open."
    second = called(after(called(started(request)), fault(FaultKind.OVERLOADED)))
    assert "it was overloaded" in change(request, ended(after(second, Answer("x"))))


def test_restricted_and_pins() -> None:
    request = a_request(task_type="reason", sensitivity=Sensitivity.RESTRICTED)
    assert "had sent it to cloud/frontier" in change(request, ended(started(request)))
    pinned = a_request(target="cloud/small")
    assert change(pinned, answered(pinned)) == "without the pinned target it had gone to finetuned/support."


def test_another_revision_is_said() -> None:
    request = a_request(target="cloud/small")
    later = a_policy(revision=9)
    assert change(request, answered(request), later).endswith("(Searched in policy revision 9; revision 3 decided.)")


@pytest.mark.parametrize("task_type", sorted(EXAMPLE.tasks))
def test_the_search_starts_from_where_the_request_really_goes(task_type: str) -> None:
    request = a_request(task_type=task_type)
    call = called(started(request, EXAMPLE))
    known = Known("acme", task_type, tokens=call.journey.decision.prompt_tokens)
    if not call.journey.decision.experiment:
        assert destination(known, EXAMPLE) == call.work.target.name


def test_what_the_ledger_keeps_is_not_guessed_from_the_rule() -> None:
    either = replace(ENTERPRISE, when=(Condition(Attribute.STAKES, Op.IN, ("low", "high")),))
    policy = a_policy(rules=(either,))
    request = a_request(stakes=Stakes.HIGH)
    end = answered(request, policy)
    found = smallest_change(known_of(request, end, stakes=Stakes.HIGH), end.decision, end.terminal, policy)
    assert found == "stakes normal instead of high had sent it to finetuned/support."


def test_the_ledger_keeps_the_unusual_and_nothing_of_the_usual() -> None:
    tool = ToolSpec("refund", "", "{}")
    fields = {"stakes": Stakes.HIGH, "priority": Priority.BATCH, "knowledge": Knowledge.WORLD, "tools": (tool, tool)}
    for request in (a_request(), a_request(**fields, replays="acme/r1 trivium.requests-3-17")):
        end = ended(started(replace(request, timeout_ms=0)))
        live = LedgerRecord.FromString(ledger_wire(end, "kafka", terminal_to(end.terminal)))
        assert live == ledger_record(end, "kafka")
        said = (live.stakes, live.priority, live.knowledge, live.tools, live.replays)
        unusual = ("high", "batch", "world", 2, "acme/r1 trivium.requests-3-17")
        assert said == (unusual if request.tools else ("", "", "", 0, ""))
