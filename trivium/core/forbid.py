"""Stages 4 and 6: what takes a target away, for good or for now. Every answer names the target and says why.

For good: privacy (a restricted request goes to no cloud target, and to no target that has the cloud write or search for
it) and capability. For now: health, money, load, feasibility. Unknown is not ill: a target without facts is allowed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from trivium.core.decision import Forbidden, ForbiddenBy
from trivium.core.policy import Leg, Policy, Route, Target, TaskSpec, Tier
from trivium.core.price import worst_case
from trivium.core.prompt import answer_tokens_at, tokens_at
from trivium.core.quick import quick
from trivium.core.request import Request
from trivium.core.shedding import most_wait_ms, words
from trivium.core.slip import Facts, Health, TargetFacts
from trivium.core.trail import Trail

HEALTHY = TargetFacts()
ILL: Final = {
    Health.OPEN: "its breaker is open",
    Health.LEAVING: "its instances are leaving",
    Health.SILENT: "no pulse of it is seen",
}


@quick
@dataclass(frozen=True, slots=True)
class Case:
    """What the forbids look at. `spec` is the task's with the request's own wishes in it."""

    request: Request
    spec: TaskSpec
    prompt_tokens: int
    corpora: frozenset[str]
    ceiling_micro_dollars: int
    restricted: bool
    form: str
    """Kind of output, as targets name it."""


def case_of(
    request: Request, spec: TaskSpec, prompt_tokens: int, corpora: frozenset[str], ceiling_micro_dollars: int
) -> Case:
    """Looks up once what every target is asked."""
    return Case(
        request, spec, prompt_tokens, corpora, ceiling_micro_dollars, request.restricted, spec.output.kind.value
    )


def allowed_for_good(route: Route, case: Case, policy: Policy, trail: Trail) -> Route:
    """The legs that may ever carry this request, in order; a cloud generator is replaced by a local one where privacy asks."""
    kept: list[Leg] = []
    for leg in route:
        target = private(leg.target, policy) if case.restricted else leg.target
        taken = for_good(target, case)
        if taken is not None:
            trail.forbid(taken)
        else:
            kept.append(leg if target is leg.target else Leg(target, leg.bar))
    return tuple(kept)


def still_allowed(route: Route, case: Case, policy: Policy, trail: Trail) -> Route:
    """Asked again before a later call, with the policy in force now: can only narrow. A target that the policy no longer has,
    or has as something that may not carry this request, is gone; the plan's own prices and models stay."""
    kept = []
    for leg in route:
        taken = for_good(leg.target, case) or _gone(leg.target, case, policy)
        if taken is not None:
            trail.forbid(taken)
        else:
            kept.append(leg)
    return tuple(kept)


def private(target: Target, policy: Policy) -> Target:
    """The target with a local generator in the place of one in the cloud; as it is when it has none in the cloud."""
    if target.generator is None or target.generator.tier is not Tier.CLOUD:
        return target
    local = _local_generator(policy)
    return target if local is None else replace(target, generator=local)


def for_good(target: Target, case: Case) -> Forbidden | None:
    """Privacy and capability, of the target and of who writes for it."""
    if case.restricted and not _local(target):
        return Forbidden(target.name, ForbiddenBy.PRIVACY, "restricted requests never reach the cloud")
    if target.tier is Tier.RETRIEVAL:
        why = _unfit_for_retrieval(target, case) or _unfit(target, case)
    else:
        why = _unfit(target, case)
    return Forbidden(target.name, ForbiddenBy.CAPABILITY, why) if why else None


def for_now(target: Target, case: Case, left_ms: int, facts: Facts) -> Forbidden | None:
    """Health, money, load, and whether there is time enough."""
    ill = _ill(target, facts)
    if ill:
        return Forbidden(target.name, ForbiddenBy.HEALTH, ill)
    if left_ms <= 0:
        return Forbidden(target.name, ForbiddenBy.DEADLINE, "the deadline has passed")
    if case.ceiling_micro_dollars:
        worst = worst_case(target, case.spec, case.prompt_tokens)
        if worst > case.ceiling_micro_dollars:
            why = f"may cost {worst} micro-dollars, the ceiling is {case.ceiling_micro_dollars}"
            return Forbidden(target.name, ForbiddenBy.MONEY, why)
    state = facts.targets.get(target.name, HEALTHY)
    if state.queue_wait_ms and state.queue_wait_ms >= most_wait_ms(case.request.priority, left_ms):
        why = words(state.queue_wait_ms, case.request.priority, left_ms)
        return Forbidden(target.name, ForbiddenBy.LOAD, why)
    if state.queue_wait_ms + state.p95_ms > left_ms:
        why = f"waits {state.queue_wait_ms} ms and takes {state.p95_ms} ms (p95), {left_ms} ms are left"
        return Forbidden(target.name, ForbiddenBy.FEASIBILITY, why)
    return None


def allowed_for_now(route: Route, case: Case, left_ms: int, facts: Facts, trail: Trail, last_hope: bool) -> Route:
    """The legs that can carry the request at this moment, in order.

    A p95 is a forecast, not a certainty. With `last_hope`, when nothing but forecasts stands against the route, the quickest leg
    whose queue alone leaves it time is tried rather than nothing. An open breaker, a ceiling or a full queue is no forecast."""
    kept: list[Leg] = []
    slow: list[Leg] = []
    taken_away: list[Forbidden] = []
    for leg in route:
        taken = for_now(leg.target, case, left_ms, facts)
        if taken is None:
            kept.append(leg)
            continue
        taken_away.append(taken)
        if taken.by is ForbiddenBy.FEASIBILITY:
            slow.append(leg)
    hope = min(slow, key=lambda leg: _expected(leg, facts)) if slow and last_hope and not kept else None
    for taken in taken_away:
        if hope is None or taken.target != hope.target.name:
            trail.forbid(taken)
    if hope is not None:
        trail.say("feasibility", f"nothing is quick enough; {hope.target.name} is the quickest and is tried")
        return (hope,)
    return tuple(kept)


def at_ease(route: Route, left_ms: int, facts: Facts) -> bool:
    """Whether nothing but money could be said against any leg at this moment: the common case of `allowed_for_now`, in one
    look at each target."""
    if left_ms <= 0:
        return False
    targets = facts.targets
    for leg in route:
        state = targets.get(leg.target.name, HEALTHY)
        wait = state.queue_wait_ms
        # Batch work may wait half of its time: whoever may wait longer is looked at closely too.
        if state.health is not Health.UP or wait + state.p95_ms > left_ms or (wait and 2 * wait >= left_ms):
            return False
        generator = leg.target.generator
        if generator is not None and targets.get(generator.name, HEALTHY).health is not Health.UP:
            return False
    return True


def _expected(leg: Leg, facts: Facts) -> int:
    state = facts.targets.get(leg.target.name, HEALTHY)
    return state.queue_wait_ms + state.p95_ms


def _ill(target: Target, facts: Facts) -> str:
    for needed in _parts(target):
        health = facts.targets.get(needed.name, HEALTHY).health
        if health is not Health.UP:
            what = ILL[health]
            return what if needed is target else f"its generator {needed.name}: {what}"
    return ""


def _parts(target: Target) -> Iterable[Target]:
    return (target,) if target.generator is None else (target, target.generator)


def _local(target: Target) -> bool:
    """Neither it nor anything that it has in it is in the cloud."""
    at: Target | None = target
    while at is not None:
        if at.tier is Tier.CLOUD:
            return False
        at = at.generator
    return True


def _local_generator(policy: Policy) -> Target | None:
    """Who writes instead: the local generator of another retrieval target, else the first fine-tuned target of the file."""
    for target in policy.targets.values():
        if (
            target.generator is not None
            and target.generator.tier is Tier.FINETUNED
            and target.generator.generator is None
        ):
            return target.generator
    return next((t for t in policy.targets.values() if t.tier is Tier.FINETUNED and t.generator is None), None)


def _unfit_for_retrieval(target: Target, case: Case) -> str:
    if target.generator is None or target.generator.tier is Tier.RETRIEVAL:
        return "has no generator to write the answer"
    if not case.spec.corpus:
        return "no corpus is named by the request or its task type"
    if case.spec.corpus not in case.corpora:
        return f"the tenant has no corpus {case.spec.corpus}"
    return ""


def room(target: Target, spec: TaskSpec) -> int:
    """The most prompt tokens that fit into the context window of who writes at this target, the answer included."""
    writer = _writer(target)
    return writer.context_window - answer_tokens_at(writer, spec) - tokens_at(target, spec, 0)


def _writer(target: Target) -> Target:
    return (target.generator or target) if target.tier is Tier.RETRIEVAL else target


def _unfit(target: Target, case: Case) -> str:
    writer = _writer(target)
    if case.prompt_tokens > room(target, case.spec):
        prompt, answer = tokens_at(target, case.spec, case.prompt_tokens), answer_tokens_at(writer, case.spec)
        return f"about {prompt} tokens of prompt and {answer} of answer do not fit into {writer.context_window}"
    if case.form not in writer.formats:
        return f"does not write {case.form}"
    if case.request.tools and not (target.tools and writer.tools):
        return "does not take the caller's tools"
    return ""


def _gone(target: Target, case: Case, policy: Policy) -> Forbidden | None:
    for part in _parts(target):
        if part.name not in policy.targets:
            return Forbidden(target.name, ForbiddenBy.CAPABILITY, f"the policy in force has no {part.name} any more")
    now = policy.targets[target.name]
    return for_good(private(now, policy) if case.restricted else now, case)
