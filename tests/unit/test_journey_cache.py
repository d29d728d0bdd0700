"""What may be reused for whom, and what is never written."""

from typing import Any

import pytest

from tests.unit.journeys import NOW, a_request, after, called, ended, fault, started
from trivium.core.outcome import (
    Answer,
    CacheNote,
    FaultKind,
    Finish,
    RefusedCandidate,
    TerminalKind,
)
from trivium.core.policy import (
    Policy,
)
from trivium.core.request import (
    CacheUse,
    Identity,
    Message,
    Output,
    OutputKind,
    Request,
    Role,
    Sensitivity,
    ToolCall,
    ToolSpec,
)
from trivium.core.slip import CacheHit, CacheMiss, CacheScope, Health, TargetFacts

# --- cache -----------------------------------------------------------------------------------------------------------


def scope_of(request: Request, policy: Policy | None = None) -> CacheScope | None:
    return called(started(request, policy)).journey.cache


def test_a_hit_ends_the_journey_without_an_attempt() -> None:
    note = CacheNote("semantic", 0.91, 0.99, Identity("acme", "r0"), "Where's my order", NOW - 5)
    near = RefusedCandidate("Where is my refund?", 0.8, 0.1, "other words")
    hit = CacheHit(Answer("On its way.", confidence=0.9), note, (near,))
    sick = {"finetuned/support": TargetFacts(Health.OPEN), "cloud/small": TargetFacts(Health.OPEN)}
    end = ended(started(a_request(), lookup=lambda _scope: hit, targets=sick))
    terminal = end.terminal
    assert (terminal.kind, terminal.tier, terminal.cost_micro_dollars) == (TerminalKind.ANSWERED, "cache", 0)
    assert (terminal.cache, terminal.refused_candidates, terminal.attempts) == (note, (near,), ())
    assert terminal.all_cloud_micro_dollars > 0
    assert end.write is None


def test_a_miss_says_what_was_near() -> None:
    near = RefusedCandidate("Where is my refund?", 0.8, 0.1, "other words")
    call = called(started(a_request(), lookup=lambda _scope: CacheMiss((near,) * 20)))
    assert call.journey.refused_candidates == (near,) * 5


@pytest.mark.parametrize(
    "other",
    [
        {"identity": Identity("globex", "r1")},
        {
            "messages": (
                Message(Role.USER, "hi"),
                Message(Role.ASSISTANT, "yes?"),
                Message(Role.USER, "Where is my order?"),
            )
        },
        {"output": Output(OutputKind.JSON)},
        {"max_output_tokens": 7},
        {"temperature": 0.3},
        {"corpus": "docs"},
        {"target": "cloud/small"},
    ],
)
def test_what_shapes_an_answer_or_says_who_asks_is_in_the_scope(other: dict[str, Any]) -> None:
    mine, theirs = scope_of(a_request()), scope_of(a_request(**other))
    assert mine is not None
    assert theirs is not None
    assert mine.hash != theirs.hash
    assert mine.question == theirs.question


def test_turns_cannot_be_forged_by_putting_them_into_one() -> None:
    asked = Message(Role.USER, "and?")
    two = scope_of(a_request(messages=(Message(Role.USER, "a"), Message(Role.ASSISTANT, "b"), asked)))
    one = scope_of(a_request(messages=(Message(Role.USER, "a', '', '0', 'assistant', 'b"), asked)))
    assert two is not None
    assert one is not None
    assert two.hash != one.hash


def test_answers_about_someone_are_kept_by_subject_and_not_at_all_without_one() -> None:
    assert scope_of(a_request(task_type="account")) is None
    ann, bob = (scope_of(a_request(task_type="account", subject=name)) for name in ("ann", "bob"))
    assert ann is not None
    assert bob is not None
    assert ann.hash != bob.hash


def test_the_caller_decides_about_reading_and_writing() -> None:
    asked: list[CacheScope] = []

    def lookup(scope: CacheScope) -> CacheMiss:
        asked.append(scope)
        return CacheMiss()

    started(a_request(cache=CacheUse.BYPASS), lookup=lookup)
    refreshed = called(started(a_request(cache=CacheUse.REFRESH), lookup=lookup))
    assert asked == []
    assert refreshed.journey.cache is not None
    assert refreshed.journey.cache.write
    used = called(started(a_request(), lookup=lookup))
    assert asked == [used.journey.cache]


@pytest.mark.parametrize(
    "fields",
    [
        {"sensitivity": Sensitivity.RESTRICTED},
        {"tools": (ToolSpec("t", "", ""),)},
        {"task_type": "draft"},
        {"messages": (Message(Role.USER, "a"), Message(Role.TOOL, "42", tool_call_id="c1"))},
    ],
)
def test_what_is_never_cached_has_no_scope(fields: dict[str, Any]) -> None:
    assert scope_of(a_request(**fields)) is None


def test_only_a_whole_and_clean_first_answer_is_written() -> None:
    call = called(started(a_request()))
    assert ended(after(call, Answer("x", confidence=0.9))).write == call.journey.cache
    for bad in (
        Answer("x", finish=Finish.LENGTH),
        Answer("x", finish=Finish.REFUSAL),
        Answer("x", (ToolCall("1", "t", "{}"),), finish=Finish.TOOL_CALLS),
        Answer("x", not_found=True),
    ):
        assert ended(after(call, bad)).write is None
    fallback = called(after(call, fault(FaultKind.UNAVAILABLE)))
    assert ended(after(fallback, Answer("x"))).write is None
    passed_over = called(started(a_request(), targets={"finetuned/support": TargetFacts(Health.OPEN)}))
    assert ended(after(passed_over, Answer("x"))).write is None


def test_not_found_is_written_when_it_falls_with_the_corpus() -> None:
    call = called(started(a_request(task_type="ask")))
    written = ended(after(call, Answer("The documents do not say.", not_found=True))).write
    assert written is not None
    assert written.corpus == "docs"
