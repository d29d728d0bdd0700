"""Stage 3: which targets come into question, and stage 7: whether an experiment puts others in their place.

The first that applies: a pinned target, an attribute rule, the task type's own route, the novel route, the default one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from trivium.core import draw
from trivium.core.decision import Classification, Source
from trivium.core.policy import (
    Arm,
    Attribute,
    Condition,
    Experiment,
    Leg,
    Op,
    Policy,
    Route,
    Rule,
    Target,
    TaskSpec,
    TaskType,
)
from trivium.core.quick import quick
from trivium.core.request import Request

Attributes = Mapping[Attribute, str | float | None]
NO_ATTRIBUTES: Final[Attributes] = {}
"""For a policy without rules: nobody looks at them."""


@quick
@dataclass(frozen=True, slots=True)
class Candidates:
    """A route and where it came from. `rule` is empty unless a rule said it."""

    route: Route
    source: Source
    rule: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Drawn:
    """An arm, and how likely it was."""

    experiment: str
    arm: Arm
    probability: float


def attributes_of(
    request: Request, spec: TaskSpec, prompt_tokens: int, classification: Classification | None
) -> Attributes:
    """What rules may look at. Complexity is None, and meets no condition, when nothing was classified."""
    # `_value_`: an enum's `value` is a descriptor in Python and takes four times as long.
    return {
        Attribute.TOKENS: prompt_tokens,
        Attribute.COMPLEXITY: classification.complexity if classification else None,
        Attribute.TASK_TYPE: spec.name,
        Attribute.TENANT: request.identity.tenant,
        Attribute.TEAM: request.team,
        Attribute.APPLICATION: request.application,
        Attribute.USE_CASE: request.use_case,
        Attribute.USER_TIER: request.user_tier,
        Attribute.KNOWLEDGE: request.knowledge._value_,
        Attribute.STAKES: request.stakes._value_,
        Attribute.PRIORITY: request.priority._value_,
        Attribute.SENSITIVITY: request.sensitivity._value_,
        Attribute.OUTPUT: spec.output.kind._value_,
    }


def choose(pinned: Target | None, task: TaskType, own: Source, attributes: Attributes, policy: Policy) -> Candidates:
    """`own`: where the task's own route comes from (TASK, NOVEL or DEFAULT); a task without one takes the default route.

    Bars act only where the task type can wait: elsewhere every answer passes."""
    if pinned is not None:
        return Candidates((Leg(pinned),), Source.PINNED)
    rule = first_rule(policy.rules, attributes)
    if rule is not None:
        return Candidates(patient(rule.route, task), Source.RULE, rule.name)
    if task.route and own is not Source.DEFAULT:
        return Candidates(patient(task.route, task), own)
    return Candidates(patient(policy.default_route, task), Source.DEFAULT)


def patient(route: Route, task: TaskType) -> Route:
    """The route with its bars when the task type can wait, else without."""
    if task.can_wait or all(leg.bar is None for leg in route):
        return route
    return tuple(Leg(leg.target) for leg in route)


def first_rule(rules: tuple[Rule, ...], attributes: Attributes) -> Rule | None:
    """The first rule whose conditions all hold, each on one attribute."""
    equal = Op.EQ
    for rule in rules:
        for condition in rule.when:
            value = attributes[condition.attribute]
            if condition.op is equal:
                if value != condition.value:
                    break
            elif not meets(condition, value):
                break
        else:
            return rule
    return None


def meets(condition: Condition, value: str | float | None) -> bool:
    """One comparison. A number against a word, or against nothing, is never met."""
    wanted = condition.value
    if condition.op is Op.EQ:
        return value == wanted
    if condition.op is Op.IN:
        return isinstance(wanted, tuple) and value in wanted
    if not isinstance(value, int | float) or not isinstance(wanted, int | float):
        return False
    return _ordered(condition.op, value, wanted)


def _ordered(op: Op, value: float, wanted: float) -> bool:
    if op is Op.LT:
        return value < wanted
    if op is Op.LE:
        return value <= wanted
    if op is Op.GT:
        return value > wanted
    return value >= wanted


def experiment_for(task_type: str, source: Source, policy: Policy) -> Experiment | None:
    """Only a task's own route is experimented with: a pinned target and an attribute rule stand above."""
    if source is not Source.TASK:
        return None
    return next((e for e in policy.experiments if task_type in e.task_types), None)


def draw_arm(experiment: Experiment, request: Request) -> Drawn | None:
    """The arm of this end user (of this identity when there is none): the same at every call; None when no arm has weight."""
    total = sum(arm.weight for arm in experiment.arms)
    if total <= 0:
        return None
    who = ("user", request.end_user) if request.end_user else ("request", request.identity.id)
    at = draw.fraction("experiment", experiment.name, request.identity.tenant, *who) * total
    for arm in experiment.arms:
        if at < arm.weight:
            return Drawn(experiment.name, arm, arm.weight / total)
        at -= arm.weight
    return None
