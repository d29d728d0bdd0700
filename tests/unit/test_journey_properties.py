"""Whatever comes back, however often and in whatever order: one terminal, no leak, deadlines and plans that only narrow."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.journeys import ENTERPRISE, NOW, a_policy, a_request
from trivium.codec import decision_to
from trivium.core.decision import Classification
from trivium.core.journey import advance, begin, cancel
from trivium.core.outcome import Answer, Fault, FaultKind, Finish, Outcome, TerminalKind, Usage, Verdict
from trivium.core.policy import (
    Arm,
    Budget,
    CacheRule,
    Endpoint,
    Experiment,
    Leg,
    Over,
    Period,
    Policy,
    Prices,
    Route,
    Target,
    TaskSpec,
    TaskType,
    Tier,
)
from trivium.core.price import worst_case
from trivium.core.request import Identity, Request, Sensitivity
from trivium.core.slip import Arrival, Call, End, Facts, Health, TargetFacts

quickly = settings(max_examples=60, deadline=None, database=None)

names = st.sampled_from(["finetuned/a", "finetuned/b", "retrieval/c", "cloud/d", "cloud/e", "x" * 400, "ü" * 300])
small_texts = st.sampled_from(["", "why", "ü" * 500, "x" * 3000])


def targets(depth: int = 2) -> st.SearchStrategy[Target]:
    """Hostile ones: the name lies about the tier, generators are in the cloud or have generators themselves."""
    generator = st.none() if depth == 0 else st.none() | targets(depth - 1)
    return st.builds(
        Target,
        name=names,
        tier=st.sampled_from(Tier),
        model=st.just("m"),
        prices=st.builds(Prices, st.integers(0, 10**8), st.integers(0, 10**8)),
        context_window=st.sampled_from([100, 8192, 200_000]),
        formats=st.sampled_from([("text", "json"), ("text",)]),
        tools=st.booleans(),
        generator=generator,
    )


@st.composite
def routes(draw: st.DrawFn, known: list[Target]) -> Route:
    """Mostly of targets that the policy has, sometimes of others under the same name."""
    picked = draw(st.lists(st.sampled_from(known) | targets(0), max_size=3))
    return tuple(Leg(target, draw(st.none() | st.floats(0, 1))) for target in picked)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    known = draw(st.lists(targets(1), min_size=1, max_size=4))
    route = routes(known)
    task_types = {}
    for name in ("classify", "ask"):
        rule = draw(st.none() | st.builds(CacheRule, by_subject=st.booleans()))
        spec = TaskSpec(name, corpus="docs", search_documents=draw(st.booleans()))
        task_types[name] = TaskType(
            spec,
            draw(route),
            can_wait=draw(st.booleans()),
            cache=rule,
            ceiling_micro_dollars=draw(st.sampled_from([0, 50])),
        )
    arms = (Arm("one", draw(st.integers(0, 3)), draw(route)), Arm("two", draw(st.integers(0, 3)), draw(route)))
    return a_policy(
        targets={target.name: target for target in known},
        endpoints={"/auto": Endpoint("/auto", "auto"), "/pin": Endpoint("/pin", "ask", draw(names))},
        tasks=task_types,
        rules=draw(st.lists(st.builds(lambda r: replace(ENTERPRISE, route=r), route), max_size=1).map(tuple)),
        experiments=draw(st.sampled_from([(), (Experiment("trial", frozenset({"ask"}), arms),)])),
        default_route=draw(route),
        novel_route=draw(route),
        attempt_cap_ms=draw(st.sampled_from([1, 500, 120_000])),
        budgets={"b": Budget("b", Period.DAY, 5, over=draw(st.sampled_from(Over)))},
    )


@st.composite
def requests(draw: st.DrawFn) -> Request:
    which = draw(
        st.sampled_from(
            [{"task_type": "ask"}, {"task_type": "classify"}, {"task_type": "auto"}, {"endpoint": "/pin"}, {}]
        )
    )
    fields: dict[str, Any] = {"task_type": "", **which}
    return a_request(
        draw(st.sampled_from(["why?", "word " * 400])),
        sensitivity=draw(st.sampled_from(Sensitivity)),
        user_tier=draw(st.sampled_from(["", "enterprise"])),
        end_user=draw(st.sampled_from(["", "u1", "u2"])),
        target=draw(st.sampled_from(["", "", "cloud/d", "retrieval/c"])) if not fields.get("endpoint") else "",
        timeout_ms=draw(st.sampled_from([None, 1, 1000, 600_000])),
        **fields,
    )


results = st.one_of(
    st.builds(
        Answer,
        text=small_texts,
        confidence=st.none() | st.floats(0, 1),
        finish=st.sampled_from(Finish),
        not_found=st.booleans(),
    ),
    st.builds(Fault, kind=st.sampled_from(FaultKind), message=small_texts, retry_after_ms=st.sampled_from([0, 100])),
    st.builds(Fault, kind=st.just(FaultKind.OVER_BUDGET), message=small_texts, budget=st.sampled_from(["b", "b/x", "c", ""])),
)

facts_of_targets = st.dictionaries(
    names,
    st.builds(TargetFacts, st.sampled_from(Health), st.sampled_from([0, 500, 10**6]), st.sampled_from([0, 500, 10**6])),
    max_size=2,
)


@dataclass(frozen=True)
class Event:
    """What comes next, how much later, and whether under the later policy. `noise`: what else comes before it."""

    result: Answer | Fault | None
    """None: lost, and overdue at the attempt's deadline."""
    later_ms: int
    facts: dict[str, TargetFacts]
    changed: bool
    cost: int
    noise: list[str]


events = st.builds(
    Event,
    result=st.none() | results,
    later_ms=st.sampled_from([0, 10, 700]),
    facts=facts_of_targets,
    changed=st.booleans(),
    cost=st.integers(0, 1000),
    noise=st.lists(st.sampled_from(["attempt", "target", "tenant", "replay", "again"]), max_size=3),
)
classifications = st.none() | st.builds(
    Classification, st.sampled_from(["ask", "classify", "gone", ""]), st.floats(0, 1), st.floats(0, 1), st.booleans()
)


@dataclass(frozen=True)
class Story:
    """A request, its policy, and everything that will come back."""

    request: Request
    policy: Policy
    later: Policy
    """In force at the events that say `changed`."""
    facts: dict[str, TargetFacts]
    said: Classification | None
    events: list[Event]


stories = st.builds(
    Story,
    requests(),
    policies(),
    policies(),
    facts_of_targets,
    classifications,
    st.lists(events, min_size=5, max_size=5),
)


def stray(kind: str, call: Call, seen: list[Outcome]) -> Outcome | None:
    """An outcome that is not of the open attempt."""
    right = Outcome(
        call.work.request.identity, call.work.attempt, call.work.target.name, Answer("stray", confidence=1.0)
    )
    match kind:
        case "attempt":
            return replace(right, attempt=right.attempt + 1)
        case "target":
            return replace(right, target="nobody")
        case "tenant":
            return replace(right, identity=Identity("globex", "r1"))
        case "replay":
            return replace(right, identity=Identity("acme", "r1", 7))
        case _:
            return seen[-1] if seen else None


def told(story: Story) -> tuple[list[Call], End]:
    """Drives the story to its end; strays and repetitions must change nothing."""
    now = NOW
    step = begin(story.request, story.policy, Facts(now, story.facts, lambda _text: story.said), Arrival())
    calls: list[Call] = []
    seen: list[Outcome] = []
    for event in story.events:
        if isinstance(step, End):
            break
        calls.append(step)
        policy = story.later if event.changed else story.policy
        for kind in event.noise:
            noise = stray(kind, step, seen)
            assert noise is None or advance(step.journey, noise, policy, Facts(now)) is None
        lost = event.result is None
        now = max(now, step.work.deadline_ms) if lost else now + event.later_ms
        result = event.result or Fault(FaultKind.OVERDUE, "nothing came")
        outcome = Outcome(
            step.work.request.identity, step.work.attempt, step.work.target.name, result, Usage(9, 9), event.cost
        )
        seen.append(outcome)
        following = advance(step.journey, outcome, policy, Facts(now, event.facts))
        assert following is not None
        step = following
    assert isinstance(step, End), "more attempts than a route has targets"
    return calls, step


def in_the_cloud(target: Target | None) -> bool:
    return target is not None and (target.tier is Tier.CLOUD or in_the_cloud(target.generator))


def narrows(calls: list[Call]) -> None:
    """Deadlines only grow, inside the journey's; what is left of a plan is a part of what was left before."""
    for call in calls:
        assert call.work.deadline_ms <= call.journey.deadline_ms == calls[0].journey.deadline_ms
    for before, after in pairwise(calls):
        assert before.work.deadline_ms <= after.work.deadline_ms
        at = iter([leg.target for leg in before.journey.route[before.journey.position :]])
        for leg in after.journey.route[after.journey.position :]:
            assert any(leg.target is other for other in at)


def is_small_and_says_something(calls: list[Call], end: End) -> None:
    """Each step leaves a line, and none lets the decision grow out of its 16 KiB."""
    for decision in (*(call.journey.decision for call in calls), end.decision):
        assert len(decision_to(decision).SerializeToString()) <= 16_384
        assert decision.lines


@quickly
@given(stories)
def test_every_story_ends_once_and_adds_up(story: Story) -> None:
    calls, end = told(story)
    narrows(calls)
    is_small_and_says_something(calls, end)
    terminal = end.terminal
    assert terminal.identity == story.request.identity
    assert [a.number for a in terminal.attempts] == list(range(1, len(calls) + 1))
    assert all(a.verdict is not Verdict.OPEN for a in terminal.attempts)
    assert terminal.cost_micro_dollars == sum(e.cost for e in story.events[: len(calls)])
    accepted = [a for a in terminal.attempts if a.verdict is Verdict.ACCEPTED]
    assert len(accepted) == (terminal.kind is TerminalKind.ANSWERED)
    assert (terminal.answer is None) == (terminal.reason is not None)
    assert terminal.ended_ms >= terminal.arrived_ms


@quickly
@given(stories)
def test_after_a_budget_has_refused_nothing_dearer_is_asked(story: Story) -> None:
    calls, end = told(story)
    for before, after in pairwise(calls):
        fault = end.terminal.attempts[before.work.attempt - 1].fault
        if fault is not None and fault.kind is FaultKind.OVER_BUDGET:
            tokens, spec = before.journey.decision.prompt_tokens, before.work.task
            assert worst_case(after.work.target, spec, tokens) < worst_case(before.work.target, spec, tokens)
            assert after.journey.retry_tokens == before.journey.retry_tokens


@quickly
@given(stories)
def test_restricted_never_reaches_the_cloud_as_target_or_generator(story: Story) -> None:
    calls, end = told(replace(story, request=replace(story.request, sensitivity=Sensitivity.RESTRICTED)))
    assert not any(in_the_cloud(call.work.target) for call in calls)
    assert all(call.journey.cache is None for call in calls)
    assert end.write is None
    assert end.terminal.tier != "cloud"


@quickly
@given(stories)
def test_the_same_story_is_told_the_same_and_may_be_cancelled_at_any_call(story: Story) -> None:
    calls, end = told(story)
    assert (calls, end) == told(story)
    for call in calls:
        terminal = cancel(call.journey, Facts(NOW + 5)).terminal
        assert terminal.kind is TerminalKind.FAILED
        assert all(a.verdict is not Verdict.OPEN for a in terminal.attempts)
