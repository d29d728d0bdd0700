"""Stages 1 to 4 of a journey as far as they are the same for every request of one kind, and remembered by the policy.

Requests are alike when tenant, names, wishes and the attributes that the policy's rules look at are equal, and their prompts
lie within the same span of tokens. What they are told apart by (prompt, subject, time left, cache, health, draws) is
looked at for each (`trivium/core/plan.py`). Only what may be called is remembered: a refusal is worked out anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from operator import attrgetter
from typing import Any, Final

from trivium.core.admit import Admitted, admit, admit_alike, check_size, novel_task
from trivium.core.candidates import NO_ATTRIBUTES, Candidates, attributes_of, choose, experiment_for, patient
from trivium.core.decision import Classification, DecisionLine, Forbidden, ForbiddenBy, Source
from trivium.core.forbid import Case, allowed_for_good, case_of, room
from trivium.core.policy import Attribute, Experiment, Policy, Route, TaskSpec, TaskType
from trivium.core.prompt import prompt_tokens
from trivium.core.quick import quick
from trivium.core.request import Request
from trivium.core.slip import Facts
from trivium.core.trail import CANDIDATES, Trail, short

KEPT: Final = 4_096
"""Kinds of requests that a policy remembers: some kB each, so tens of MB at the worst. Callers choose wishes freely, so there is an end."""

_ALWAYS: Final = (
    "identity.tenant", "endpoint", "task_type", "target", "reply_to", "corpus", "sensitivity._value_",
    "max_output_tokens", "temperature",
)  # fmt: skip
_RULED: Final = {
    Attribute.TEAM: "team",
    Attribute.APPLICATION: "application",
    Attribute.USE_CASE: "use_case",
    Attribute.USER_TIER: "user_tier",
    Attribute.KNOWLEDGE: "knowledge._value_",
    Attribute.STAKES: "stakes._value_",
    Attribute.PRIORITY: "priority._value_",
}
"""Attributes that only rules look at. The others follow from _ALWAYS, or (tokens) from the span, or keep a request from being
remembered (complexity: it was classified; output: it has a form of its own)."""


@quick
@dataclass(frozen=True, slots=True)
class Way:
    """A route after stage 4: the legs that may ever carry the request, and what was taken away."""

    route: Route
    names: tuple[str, ...]
    """Of the whole route, as a decision has them."""
    allowed: Route
    forbidden: tuple[Forbidden, ...]


@quick
@dataclass(frozen=True, slots=True)
class Outline:
    """What is settled before anything of the moment is looked at."""

    admitted: Admitted
    """Its size is that of the request which this was drawn for."""
    task: TaskType
    spec: TaskSpec
    chosen: Candidates
    way: Way
    """Of `chosen.route`."""
    experiment: Experiment | None
    """One that every arm could carry this request in."""
    arms: tuple[Way, ...]
    """Of the experiment's arms, in their order."""
    admit_words: str
    """The first line, up to the size."""
    lines: tuple[DecisionLine, ...]
    """The lines after the first, of stages 2 to 4."""
    classification: Classification | None
    limit_bytes: int
    least_tokens: int
    most_tokens: int
    """All this holds for prompts from `least_tokens` to `most_tokens`."""


def outline_of(request: Request, policy: Policy, facts: Facts) -> tuple[Outline, int, int]:
    """The outline, the size of the prompt in bytes, and its estimated tokens. Raises BadRequest."""
    key, outlines = _key(request, policy), policy.remembered.outlines
    known: Outline | None = outlines.get(key) if key is not None else None
    if known is not None:
        size = admit_alike(request, known.limit_bytes, known.spec.name, policy)
        tokens = prompt_tokens(request, known.spec, size)
        if known.least_tokens <= tokens <= known.most_tokens:
            return known, size, tokens
    admitted = admit(request, policy)
    outline, tokens = _drawn(request, admitted, policy, facts)
    if key is not None and _holds_for_others(outline):
        if len(outlines) >= KEPT:
            outlines.clear()
        outlines[key] = outline
    return outline, admitted.size_bytes, tokens


def wished(request: Request, spec: TaskSpec) -> TaskSpec:
    """The task's spec with what the request asks for in its place, so that a tier looks at one thing only."""
    changes: dict[str, Any] = {}
    if request.output is not None:
        changes["output"] = request.output
    if request.max_output_tokens:
        changes["max_output_tokens"] = request.max_output_tokens
    if request.temperature is not None:
        changes["temperature"] = request.temperature
    if request.corpus:
        changes["corpus"] = request.corpus
    return replace(spec, **changes) if changes else spec


def names_of(route: Route) -> str:
    """A route in words."""
    return " -> ".join(
        [leg.target.name if leg.bar is None else f"{leg.target.name} (bar {leg.bar:.2f})" for leg in route]
    )


# --- stages 2 to 4 ---------------------------------------------------------------------------------------------------


def _drawn(request: Request, admitted: Admitted, policy: Policy, facts: Facts) -> tuple[Outline, int]:
    """Raises BadRequest when the task type that the classifier says does not take so long a prompt."""
    trail = Trail()
    task, own, said = _classified(request, admitted, policy, facts, trail)
    spec = wished(request, task.spec)
    tokens = prompt_tokens(request, spec, admitted.size_bytes)
    attributes = attributes_of(request, spec, tokens, said) if policy.rules else NO_ATTRIBUTES
    chosen = choose(admitted.pinned, task, own, attributes, policy)
    by_rule = f" {chosen.rule}" if chosen.rule else ""
    trail.say("candidates", f"{chosen.source.value}{by_rule}: {names_of(chosen.route)}")
    case = case_of(request, spec, tokens, admitted.tenant.corpora, task.ceiling_micro_dollars)
    experiment = experiment_for(task.spec.name, chosen.source, policy)
    arms = _arms(experiment, chosen.route, task, case, policy) if experiment else ()
    out = next((i for i, arm in enumerate(arms) if not arm.allowed), None)
    if experiment is not None and out is not None:
        trail.say("experiment", f"{experiment.name}: left out, because arm {experiment.arms[out].name} may not carry it")
        experiment, arms = None, ()
    way = _way(chosen.route, case, policy)
    span = _span(tokens, (way, *arms), spec, policy)
    return Outline(
        admitted, task, spec, chosen, way, experiment, arms, _admit_words(admitted), tuple(trail.lines), said,
        task.max_prompt_bytes, *span,
    ), tokens  # fmt: skip


def _way(route: Route, case: Case, policy: Policy) -> Way:
    quiet = Trail()
    allowed = allowed_for_good(route, case, policy, quiet)
    return Way(route, tuple([short(leg.target.name) for leg in route[:CANDIDATES]]), allowed, tuple(quiet.forbidden))


def _arms(experiment: Experiment, own: Route, task: TaskType, case: Case, policy: Policy) -> tuple[Way, ...]:
    """None of them when no arm has weight."""
    if not any(arm.weight for arm in experiment.arms):
        return ()
    return tuple([_way(patient(arm.route, task) or own, case, policy) for arm in experiment.arms])


def _classified(
    request: Request, admitted: Admitted, policy: Policy, facts: Facts, trail: Trail
) -> tuple[TaskType, Source, Classification | None]:
    """The task type, and where its own route comes from."""
    task = admitted.task
    if task is not None:
        return task, Source.NOVEL if task.spec is policy.novel_spec else Source.TASK, None
    said = facts.classify(request.question)
    if said is None:
        trail.say("classify", "there is no classifier; the default route is taken")
        return novel_task(policy), Source.DEFAULT, None
    task = policy.tasks.get(said.task_type)
    if said.novel or said.confidence < policy.classifier.bar or task is None:
        trail.say("classify", f"novel: {_nearest(said, policy)}")
        return novel_task(policy), Source.NOVEL, replace(said, novel=True)
    trail.say("classify", f"{said.task_type} at {said.confidence:.2f}, complexity {said.complexity:.2f}")
    check_size(admitted.size_bytes, task.max_prompt_bytes, said.task_type)
    return task, Source.TASK, said


def _admit_words(admitted: Admitted) -> str:
    task = admitted.task
    return f"auto, of {admitted.tenant.name}" if task is None else f"{task.spec.name} of {admitted.tenant.name}"


def _nearest(said: Classification, policy: Policy) -> str:
    if said.task_type and said.task_type not in policy.tasks:
        return f"the classifier says {said.task_type}, which the policy does not have"
    near = f"nearest is {said.task_type} at {said.confidence:.2f}" if said.task_type else "nothing is near"
    return near + (f", the bar is {policy.classifier.bar:.2f}" if said.confidence < policy.classifier.bar else "")


# --- what makes requests alike ---------------------------------------------------------------------------------------


def _key(request: Request, policy: Policy) -> tuple[object, ...] | None:
    """None for a request with a form or tools of its own: these are few, and never alike."""
    if request.output is not None or request.tools:
        return None
    alike = policy.remembered.alike
    if alike is None:
        used = {condition.attribute for rule in policy.rules for condition in rule.when}
        ruled = [path for attribute, path in _RULED.items() if attribute in used]
        alike = policy.remembered.alike = attrgetter(*_ALWAYS, *ruled)
    return alike(request)


def _holds_for_others(outline: Outline) -> bool:
    """Capability speaks of this prompt's tokens, a classification of this text."""
    if outline.admitted.task is None or not outline.way.allowed:
        return False
    taken = [forbidden.by for way in (outline.way, *outline.arms) for forbidden in way.forbidden]
    return ForbiddenBy.CAPABILITY not in taken


def _span(tokens: int, ways: Sequence[Way], spec: TaskSpec, policy: Policy) -> tuple[int, int]:
    """The longest run of token counts around `tokens` in which no rule's condition changes and every allowed target has room."""
    least, most = 0, min((room(leg.target, spec) for way in ways for leg in way.allowed), default=tokens)
    for mark in _token_marks(policy):
        if mark == tokens:
            return tokens, tokens
        if mark < tokens:
            least = max(least, floor(mark) + 1)
        else:
            most = min(most, ceil(mark) - 1)
    return least, most


def _token_marks(policy: Policy) -> list[float]:
    values = [c.value for rule in policy.rules for c in rule.when if c.attribute is Attribute.TOKENS]
    return [value for value in values if isinstance(value, int | float)]
