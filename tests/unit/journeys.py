"""A small policy and a request, and how tests drive a journey over them."""

from typing import Any

from trivium.core.journey import advance, begin
from trivium.core.outcome import (
    Answer,
    Fault,
    FaultKind,
    Outcome,
)
from trivium.core.policy import (
    Arm,
    Attribute,
    CacheRule,
    Classifier,
    Condition,
    Endpoint,
    Experiment,
    Leg,
    Op,
    Policy,
    Prices,
    Rule,
    Target,
    TaskSpec,
    TaskType,
    Tenant,
    Tier,
)
from trivium.core.request import (
    Identity,
    Message,
    Request,
    Role,
)
from trivium.core.slip import Arrival, Call, End, Facts, Step

OWN = Target("finetuned/support", Tier.FINETUNED, "support-7b", prices=Prices(50_000, 100_000))
DOCS = Target("retrieval/docs", Tier.RETRIEVAL, "hybrid", generator=OWN)
SMALL = Target(
    "cloud/small", Tier.CLOUD, "small", prices=Prices(1_000_000, 5_000_000), tools=True, context_window=200_000
)
FRONTIER = Target(
    "cloud/frontier", Tier.CLOUD, "frontier", prices=Prices(5_000_000, 25_000_000), context_window=200_000
)
NOW = 1_000_000


def a_policy(**changes: Any) -> Policy:
    tasks = {
        "classify": TaskType(TaskSpec("classify", "Task: classify"), (Leg(OWN), Leg(SMALL)), cache=CacheRule()),
        "draft": TaskType(TaskSpec("draft"), (Leg(OWN, 0.7), Leg(SMALL, 0.5), Leg(FRONTIER)), can_wait=True),
        "ask": TaskType(TaskSpec("ask", corpus="docs"), (Leg(DOCS), Leg(SMALL)), cache=CacheRule(corpus="docs")),
        "account": TaskType(TaskSpec("account"), (Leg(OWN),), cache=CacheRule(by_subject=True)),
        "reason": TaskType(TaskSpec("reason"), (Leg(FRONTIER),), max_prompt_bytes=100),
    }
    known = {
        "revision": 3,
        "fingerprint": "f",
        "targets": {t.name: t for t in (OWN, DOCS, SMALL, FRONTIER)},
        "endpoints": {
            "/classify": Endpoint("/classify", "classify"),
            "/auto": Endpoint("/auto", "auto"),
            "/frontier": Endpoint("/frontier", "reason", "cloud/frontier"),
        },
        "tasks": tasks,
        "tenants": {
            "acme": Tenant("acme", ("trivium.responses", "trivium.replies.acme"), frozenset({"docs"})),
            "globex": Tenant("globex", ("trivium.replies.globex",)),
        },
        "default_route": (Leg(FRONTIER),),
        "novel_route": (Leg(SMALL),),
        "novel_spec": TaskSpec("novel"),
        "classifier": Classifier("classifier.json", 0.4),
    }
    return Policy(**{**known, **changes})


def a_request(prompt: str = "Where is my order?", **fields: Any) -> Request:
    known = {"identity": Identity("acme", "r1"), "messages": (Message(Role.USER, prompt),), "task_type": "classify"}
    return Request(**{**known, **fields})


def started(request: Request, policy: Policy | None = None, **facts: Any) -> Step:
    return begin(request, policy or a_policy(), Facts(**{"now_ms": NOW, **facts}), Arrival())


def called(step: Step | None) -> Call:
    assert isinstance(step, Call), step
    return step


def ended(step: Step | None) -> End:
    assert isinstance(step, End), step
    return step


def came(call: Call, result: Answer | Fault, **fields: Any) -> Outcome:
    work = call.work
    return Outcome(work.request.identity, work.attempt, work.target.name, result, **fields)


def after(
    call: Call, result: Answer | Fault, at_ms: int = NOW + 100, policy: Policy | None = None, **facts: Any
) -> Step | None:
    return advance(call.journey, came(call, result), policy or a_policy(), Facts(at_ms, **facts))


def fault(kind: FaultKind, message: str = "as it happens") -> Fault:
    return Fault(kind, message)


ENTERPRISE = Rule(
    "enterprise",
    (
        Condition(Attribute.USER_TIER, Op.EQ, "enterprise"),
        Condition(Attribute.STAKES, Op.IN, ("high", "normal")),
        Condition(Attribute.TOKENS, Op.LT, 1000),
    ),
    (Leg(FRONTIER),),
)

TRIAL = Experiment("trial", frozenset({"classify"}), (Arm("as-is", 3), Arm("cloud", 1, (Leg(SMALL),))))
