"""What a policy remembers of requests that are alike never changes what is decided."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.journeys import ENTERPRISE, NOW, OWN, SMALL, TRIAL, a_policy, a_request
from trivium.core.journey import begin
from trivium.core.outline import KEPT
from trivium.core.policy import Attribute, Condition, Leg, Op, Rule
from trivium.core.request import Identity, Knowledge, Message, Output, OutputKind, Priority, Role, Sensitivity, Stakes
from trivium.core.slip import Arrival, Call, Facts, Health, TargetFacts

LONG = Rule("long", (Condition(Attribute.TOKENS, Op.GE, 40),), (Leg(SMALL),))
EXACTLY = Rule("exactly", (Condition(Attribute.TOKENS, Op.EQ, 12),), (Leg(OWN),))
URGENT = Rule("urgent", (Condition(Attribute.PRIORITY, Op.EQ, "interactive"),), (Leg(SMALL), Leg(OWN)))
TIGHT = replace(OWN, context_window=600)


def the_policy() -> Any:
    policy = a_policy(rules=(ENTERPRISE, EXACTLY, LONG, URGENT), experiments=(TRIAL,))
    draft = replace(policy.tasks["draft"], route=(Leg(TIGHT, 0.7), Leg(SMALL)))
    return replace(policy, tasks={**policy.tasks, "draft": draft})


VARIED: list[tuple[str, Any]] = [
    *[("identity", Identity(tenant, name)) for tenant in ("acme", "globex", "nobody") for name in ("r1", "r2", "")],
    *[("endpoint", name) for name in ("/classify", "/auto", "/frontier")],
    *[("task_type", name) for name in ("", "draft", "ask", "account", "reason", "nothing")],
    *[("target", name) for name in ("cloud/small", "finetuned/support")],
    *[("sensitivity", word) for word in Sensitivity],
    *[("stakes", word) for word in Stakes],
    *[("priority", word) for word in Priority],
    *[("knowledge", word) for word in Knowledge],
    *[("end_user", name) for name in ("u1", "u2", "u3")],
    *[("timeout_ms", timeout) for timeout in (1_000, 0)],
    *[("temperature", degree) for degree in (0.0, 0.5, 9.0)],
    *[("reply_to", topic) for topic in ("trivium.replies.acme", "elsewhere")],
    ("user_tier", "enterprise"), ("subject", "s1"), ("corpus", "docs"), ("max_output_tokens", 64),
    ("output", Output(OutputKind.JSON)),
]  # fmt: skip
PROMPTS = st.sampled_from([0, 1, 2, 5, 12, 20, 30, 50, 200, 400]).map(lambda n: "why " * n)
REQUESTS = st.builds(
    lambda prompt, varied: a_request(prompt, **dict(varied)), PROMPTS, st.lists(st.sampled_from(VARIED), max_size=3)
)
FACTS = st.sampled_from([
    {},
    {"cloud/small": TargetFacts(Health.OPEN)},
    {"finetuned/support": TargetFacts(queue_wait_ms=20_000, p95_ms=20_000)},
])  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.tuples(REQUESTS, FACTS), min_size=8, max_size=30))
def test_a_policy_that_has_seen_others_decides_as_one_that_has_seen_none(asked: list[Any]) -> None:
    seasoned = the_policy()
    for request, targets in asked:
        facts = Facts(NOW, targets)
        assert begin(request, seasoned, facts, Arrival()) == begin(request, the_policy(), facts, Arrival())


def test_a_prompt_that_outgrows_the_window_is_not_taken_for_a_short_one_like_it() -> None:
    policy = the_policy()
    short, long = (begin(a_request("why " * n, task_type="draft"), policy, Facts(NOW), Arrival()) for n in (3, 200))
    assert isinstance(short, Call)
    assert isinstance(long, Call)
    assert short.work.target is TIGHT
    assert long.work.target is SMALL


def test_a_restricted_request_is_not_taken_for_an_open_one_like_it() -> None:
    policy = the_policy()
    for sensitivity in (Sensitivity.INTERNAL, Sensitivity.RESTRICTED, Sensitivity.INTERNAL):
        step = begin(a_request("Why?", sensitivity=sensitivity), policy, Facts(NOW), Arrival())
        assert isinstance(step, Call)
        cloud = any(leg.target.tier.value == "cloud" for leg in step.journey.route)
        assert cloud is (sensitivity is Sensitivity.INTERNAL)


def test_another_policy_remembers_nothing_of_this_one() -> None:
    policy = the_policy()
    begin(a_request(), policy, Facts(NOW), Arrival())
    assert policy.remembered.outlines
    assert not replace(policy, revision=4).remembered.outlines
    assert replace(policy) == policy


def test_callers_who_invent_wishes_do_not_fill_the_memory() -> None:
    policy = the_policy()
    for wish in range(1, KEPT + 10):
        begin(a_request(max_output_tokens=wish), policy, Facts(NOW), Arrival())
    assert 0 < len(policy.remembered.outlines) <= KEPT


def test_a_question_of_nothing_but_spaces_is_refused_though_one_like_it_was_answered() -> None:
    policy = the_policy()
    begin(a_request(), policy, Facts(NOW), Arrival())
    step = begin(a_request(messages=(Message(Role.USER, " \n\t"),)), policy, Facts(NOW), Arrival())
    assert not isinstance(step, Call)
    assert step.terminal.reason is not None
    assert step.terminal.reason.code.value == "empty_prompt"
