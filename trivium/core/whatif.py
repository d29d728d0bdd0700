"""What would have sent a request elsewhere: the smallest single change of an attribute, a bar or a health.

Works from what the ledger keeps. The text of the prompt is not there. Stakes, priority and knowledge that a record does not
name are at their defaults, or as the rule that was applied demands (records of older writers name none). Facts are neutral:
every target is well and the cache is empty.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from trivium.core.admit import novel_task
from trivium.core.candidates import attributes_of, choose, patient
from trivium.core.decision import Classification, Decision, ForbiddenBy, Source
from trivium.core.explain import dollars
from trivium.core.forbid import allowed_for_good, case_of
from trivium.core.outcome import Terminal, TerminalKind, Verdict
from trivium.core.over import budget_of, refused_by
from trivium.core.policy import Attribute, Over, Policy, Rule, TaskType
from trivium.core.price import worst_case
from trivium.core.request import (
    Identity,
    Knowledge,
    Output,
    OutputKind,
    Priority,
    Request,
    Sensitivity,
    Stakes,
    ToolSpec,
)
from trivium.core.trail import Trail

WORD = 1.0
"""Size of a change of one word; a number's change is its share of the number, a bar's is its difference."""
PIN = 2.0
CLOSED: Final[dict[Attribute, type[Enum]]] = {
    Attribute.SENSITIVITY: Sensitivity,
    Attribute.STAKES: Stakes,
    Attribute.PRIORITY: Priority,
    Attribute.KNOWLEDGE: Knowledge,
    Attribute.OUTPUT: OutputKind,
}
MOST = 64
"""Values of one attribute that are tried."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a ledger record says of a request."""

    tenant: str
    task_type: str
    team: str = ""
    application: str = ""
    use_case: str = ""
    user_tier: str = ""
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    stakes: Stakes = Stakes.NORMAL
    priority: Priority = Priority.NORMAL
    knowledge: Knowledge = Knowledge.UNKNOWN
    output: OutputKind | None = None
    tokens: int = 0
    complexity: float | None = None
    novel: bool = False
    tools: int = 0
    """How many of its own the request brought."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change, what it leads to, and how big it is."""

    size: float
    words: str


def smallest_change(known: Known, decision: Decision, terminal: Terminal, policy: Policy) -> str:
    """One or two sentences. Says so when the policy that is searched is not the one that decided."""
    if not decision.candidates:
        return _at_the_door(terminal)
    if terminal.cache is not None:
        return f"cache: bypass (or refresh) had asked {decision.candidates[0]} instead of the cache."
    assumed = _by_rule(known, decision, policy)
    changes = [*_of_bars(terminal, decision), *_of_health(decision, terminal), *_of_money(assumed, terminal, decision, policy), *_of_attributes(assumed, policy)]
    changes.extend([_unpin(assumed, policy)] if decision.source is Source.PINNED else _pin(terminal, policy))
    found = min(changes, key=lambda change: change.size, default=None)
    words = found.words if found else "no single change of this policy's attributes sends it elsewhere."
    return words + _caveat(decision, policy)


def destination(known: Known, policy: Policy) -> str:
    """The first target that may carry it, with neutral facts; empty when none may."""
    task = _task(known, policy)
    spec = task.spec if known.output is None else replace(task.spec, output=Output(known.output))
    request = _request(known)
    said = None if known.complexity is None else Classification(known.task_type, 1.0, known.complexity)
    own = Source.NOVEL if task.spec is policy.novel_spec else Source.TASK
    chosen = choose(None, task, own, attributes_of(request, spec, known.tokens, said), policy)
    tenant = policy.tenants.get(known.tenant)
    case = case_of(request, spec, known.tokens, tenant.corpora if tenant else frozenset(), 0)
    route = allowed_for_good(patient(chosen.route, task), case, policy, Trail())
    return route[0].target.name if route else ""


def _task(known: Known, policy: Policy) -> TaskType:
    return policy.tasks.get(known.task_type) or novel_task(policy)


def _request(known: Known) -> Request:
    return Request(
        Identity(known.tenant, "what-if"),
        (),
        team=known.team,
        application=known.application,
        use_case=known.use_case,
        user_tier=known.user_tier,
        sensitivity=known.sensitivity,
        stakes=known.stakes,
        priority=known.priority,
        knowledge=known.knowledge,
        tools=(ToolSpec("", "", ""),) * known.tools,
    )


def _by_rule(known: Known, decision: Decision, policy: Policy) -> Known:
    """With what the rule that was applied tells of words that the ledger does not keep."""
    rule = next((r for r in policy.rules if r.name == decision.rule), None) if decision.rule else None
    return known if rule is None else _meeting(known, rule)


def _meeting(known: Known, rule: Rule) -> Known:
    for condition in rule.when:
        if condition.attribute not in (Attribute.STAKES, Attribute.PRIORITY, Attribute.KNOWLEDGE):
            continue
        if isinstance(condition.value, tuple) and getattr(known, condition.attribute.value).value in condition.value:
            continue
        word = condition.value[0] if isinstance(condition.value, tuple) else str(condition.value)
        known = _with(known, condition.attribute, word) or known
    return known


def _of_attributes(known: Known, policy: Policy) -> Iterator[Change]:
    """Every other value of one attribute that changes the first target."""
    now = destination(known, policy)
    for attribute in Attribute:
        for value in _values(known, attribute, policy):
            other = _with(known, attribute, value)
            if other is None:
                continue
            there = destination(other, policy)
            if there != now:
                end = f"had sent it to {there}" if there else "had left no target that may carry it"
                size = _size(known, attribute, value) + (0.0 if there else WORD)
                yield Change(size, f"{attribute.value} {_shown(value)} instead of {_was(known, attribute)} {end}.")


def _values(known: Known, attribute: Attribute, policy: Policy) -> Iterable[str | float]:
    """What the rules compare with, and the words of closed sets; a threshold is tried on both its sides."""
    if attribute in CLOSED:
        return [word.value for word in CLOSED[attribute]]
    if attribute is Attribute.TASK_TYPE:
        return list(policy.tasks)[:MOST]
    values: list[str | float] = [] if attribute in (Attribute.TOKENS, Attribute.COMPLEXITY) else [""]
    for rule in policy.rules:
        for condition in rule.when:
            if condition.attribute is not attribute:
                continue
            if isinstance(condition.value, tuple):
                values.extend(condition.value)
            elif isinstance(condition.value, str):
                values.append(condition.value)
            else:
                step = 1 if attribute is Attribute.TOKENS else 0.01
                values.extend((condition.value - step, condition.value, condition.value + step))
    return values[:MOST]


def _with(known: Known, attribute: Attribute, value: str | float) -> Known | None:
    """The same with another value; None when it is the same, or cannot be."""
    try:
        other = _changed(known, attribute, value)
    except ValueError:
        return None
    return None if other == known else other


def _changed(known: Known, attribute: Attribute, value: str | float) -> Known:
    word = str(value)
    match attribute:
        case Attribute.TOKENS:
            return replace(known, tokens=max(0, int(value)))
        case Attribute.COMPLEXITY:
            return known if known.complexity is None else replace(known, complexity=float(value))
        case Attribute.SENSITIVITY:
            return replace(known, sensitivity=Sensitivity(word))
        case Attribute.STAKES:
            return replace(known, stakes=Stakes(word))
        case Attribute.PRIORITY:
            return replace(known, priority=Priority(word))
        case Attribute.KNOWLEDGE:
            return replace(known, knowledge=Knowledge(word))
        case Attribute.OUTPUT:
            return replace(known, output=OutputKind(word))
        case Attribute.TASK_TYPE:
            return replace(known, task_type=word)
        case Attribute.TENANT:
            return known
        case Attribute.TEAM:
            return replace(known, team=word)
        case Attribute.APPLICATION:
            return replace(known, application=word)
        case Attribute.USE_CASE:
            return replace(known, use_case=word)
        case Attribute.USER_TIER:
            return replace(known, user_tier=word)


def _size(known: Known, attribute: Attribute, value: str | float) -> float:
    if attribute is Attribute.TOKENS:
        return min(WORD, abs(float(value) - known.tokens) / max(1, known.tokens))
    if attribute is Attribute.COMPLEXITY:
        return abs(float(value) - (known.complexity or 0.0))
    return WORD + (0.5 if attribute is Attribute.TASK_TYPE else 0.0)


def _was(known: Known, attribute: Attribute) -> str:
    value = getattr(known, attribute.value)
    return _shown(getattr(value, "value", value))


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value not in ("", None) else "none"


def _of_bars(terminal: Terminal, decision: Decision) -> Iterator[Change]:
    """An answer that went up had passed a lower bar; one that passed had gone up at a higher one, if anything followed."""
    for attempt in terminal.attempts:
        bar = _bar_of(attempt.target, decision)
        if bar is None or attempt.confidence is None:
            continue
        gap = abs(attempt.confidence - bar)
        if attempt.verdict is Verdict.ESCALATED:
            yield Change(
                gap,
                f"a bar of {attempt.confidence:.2f} instead of {bar:.2f} at {attempt.target} had let its answer pass.",
            )
        elif attempt.confidence >= bar:
            words = f"a bar above {attempt.confidence:.2f} instead of {bar:.2f} at {attempt.target} had sent it up."
            yield Change(gap + 0.01, words)


def _bar_of(target: str, decision: Decision) -> float | None:
    """The bar stands in the line of the candidates; the newest line with it counts (an experiment's arm)."""
    mark = f"{target} (bar "
    for line in reversed(decision.lines):
        if line.stage in ("candidates", "experiment") and mark in line.text:
            digits = line.text.split(mark, 1)[1].split(")", 1)[0]
            return float(digits) if digits.replace(".", "", 1).isdigit() else None
    return None


def _of_health(decision: Decision, terminal: Terminal) -> Iterator[Change]:
    """What was forbidden for now, and what failed."""
    for taken in decision.forbidden:
        if taken.by in (ForbiddenBy.HEALTH, ForbiddenBy.FEASIBILITY, ForbiddenBy.LOAD) and taken.target == decision.candidates[0]:
            yield Change(0.5, f"{taken.target} had been asked first, but {taken.why}.")
    for attempt in terminal.attempts:
        if attempt.verdict is Verdict.FELL_BACK and attempt.fault is not None and refused_by(attempt) is None:
            yield Change(0.5, f"{attempt.target} had answered it, but it was {attempt.fault.kind.value}.")


def _of_money(known: Known, terminal: Terminal, decision: Decision, policy: Policy) -> Iterator[Change]:
    """A budget that refused a target: a larger one, or another word of the policy."""
    for attempt in terminal.attempts:
        fault = refused_by(attempt)
        if fault is None:
            continue
        yield Change(0.5, f"{attempt.target} had answered it, with more left of the budget {fault.budget}.")
        budget, spec = budget_of(policy, fault.budget), _task(known, policy).spec
        if budget is None or budget.over is not Over.REFUSE or terminal.kind is not TerminalKind.REFUSED:
            continue
        named = (policy.targets.get(name) for name in (attempt.target, *decision.candidates))
        here, *rest = [(worst_case(t, spec, known.tokens), t.name) for t in named if t is not None] or [(0, "")]
        there = next((name for worst, name in rest if worst < here[0]), "")
        if there:
            yield Change(0.4, f"over: cheaper instead of refuse for the budget {budget.name} had sent it to {there}.")


def _pin(terminal: Terminal, policy: Policy) -> Iterator[Change]:
    others = sorted((t.prices.output_per_million, t.name) for t in policy.targets.values() if t.name != terminal.target)
    for price, name in others[:1]:
        yield Change(
            PIN,
            f"only a pinned target had sent it elsewhere, such as {name} ({dollars(price)} for a million tokens out).",
        )


def _unpin(known: Known, policy: Policy) -> Change:
    there = destination(known, policy)
    return Change(WORD, f"without the pinned target it had gone to {there or 'nowhere: no target may carry it'}.")


def _at_the_door(terminal: Terminal) -> str:
    reason = terminal.reason
    if terminal.kind is not TerminalKind.REFUSED or reason is None:
        return "nothing was decided, so there is nothing to change."
    return f"{reason.field or 'the request'} as it should be" + (f": {reason.hint}." if reason.hint else ".")


def _caveat(decision: Decision, policy: Policy) -> str:
    if decision.policy_revision == policy.revision:
        return ""
    return f" (Searched in policy revision {policy.revision}; revision {decision.policy_revision} decided.)"
