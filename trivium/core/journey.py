"""The journey of a request as a pure state machine. Both doors run it: the router one event at a time, the gateway in a loop.

Pure means: the same request, policy, facts and outcomes give the same steps. The clock is `facts.now_ms` (the broker's
timestamp of the record at hand), the draws are hashes. Every journey ends in exactly one `End`, whatever comes back,
as long as something comes back for every `Call` (the owner of the request writes `overdue` when nothing does).
"""

from dataclasses import replace
from typing import assert_never

from trivium.core import finish, walk
from trivium.core.admit import Admitted, admit, check_size, novel_task, reply_topic_of
from trivium.core.candidates import Candidates, attributes_of, choose, draw_arm, experiment_for, patient
from trivium.core.decision import Classification, Decision, Source
from trivium.core.errors import BadRequest
from trivium.core.forbid import Case, allowed_for_good, allowed_for_now
from trivium.core.outcome import Answer, Attempt, Fault, FaultKind, Finish, Outcome, Reason, ReasonCode, Verdict
from trivium.core.policy import Policy, Route, TaskSpec, TaskType
from trivium.core.prompt import prompt_tokens
from trivium.core.request import Identity, Priority, Request
from trivium.core.scope import scope_of
from trivium.core.slip import Arrival, CacheHit, CacheScope, End, Facts, Journey, Step
from trivium.core.trail import CANDIDATES, FORBIDDEN, NAME_BYTES, Trail, clip, kept


def begin(request: Request, policy: Policy, facts: Facts, arrival: Arrival) -> Step:
    """The first step of a new request: a call, an answer from the cache, or a refusal. `facts.now_ms` is its arrival."""
    try:
        admitted = admit(request, policy)
        trail = Trail()
        task, own, classification = _classified(request, admitted, policy, facts, trail)
    except BadRequest as error:
        return refuse(request, error.reason, policy, facts.now_ms, arrival)
    return _planned(request, admitted, task, own, classification, policy, facts, arrival, trail)


def advance(journey: Journey, outcome: Outcome, policy: Policy, facts: Facts) -> Step | None:
    """The step after an outcome. None when the outcome is not of the attempt that is open (a repetition, a stray, another's):
    the journey stands where it stood, and the caller decides what a stray is worth.

    The first outcome of an attempt counts, even when it comes past a deadline: the log has ordered it before the `overdue` that
    would have ended the attempt."""
    if not awaits(journey, outcome):
        return None
    match outcome.result:
        case Answer() as answer:
            return _after_answer(journey, outcome, answer, policy, facts)
        case Fault() as fault:
            return _after_fault(journey, outcome, fault, policy, facts)
        case unreachable:
            assert_never(unreachable)


def awaits(journey: Journey, outcome: Outcome) -> bool:
    """Whether the outcome is of the attempt that is open."""
    if not journey.attempts or outcome.identity != journey.request.identity:
        return False
    last = journey.attempts[-1]
    return last.verdict is Verdict.OPEN and last.number == outcome.attempt and last.target == outcome.target


def cancel(journey: Journey, facts: Facts) -> End:
    """The caller no longer wants the answer: the journey is over now, as failed with the reason `cancelled`."""
    return finish.cancelled(journey, journey.decision.policy_revision, facts.now_ms)


def refuse(
    request: Request | Identity, reason: Reason, policy: Policy, now_ms: int, arrival: Arrival | None = None
) -> End:
    """For what is wrong before a journey begins (also at a door: `id_reused`, `wrong_shape`). The reply topic is the tenant's,
    and empty when nobody knows the tenant."""
    asked = Request(request, ()) if isinstance(request, Identity) else request
    return finish.at_the_door(asked, reason, policy, arrival or Arrival(), reply_topic_of(asked, policy), now_ms)


# --- stages 2 to 6 ---------------------------------------------------------------------------------------------------


def _classified(
    request: Request, admitted: Admitted, policy: Policy, facts: Facts, trail: Trail
) -> tuple[TaskType, Source, Classification | None]:
    """Stage 2: the task type, and where its own route comes from."""
    if admitted.task is not None:
        own = Source.NOVEL if admitted.task.spec is policy.novel_spec else Source.TASK
        trail.say("admit", f"{admitted.task.spec.name} of {admitted.tenant.name}, {admitted.size_bytes} bytes")
        return admitted.task, own, None
    said = facts.classify(request.question)
    trail.say("admit", f"auto, of {admitted.tenant.name}, {admitted.size_bytes} bytes")
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


def _nearest(said: Classification, policy: Policy) -> str:
    if said.task_type and said.task_type not in policy.tasks:
        return f"the classifier says {said.task_type}, which the policy does not have"
    near = f"nearest is {said.task_type} at {said.confidence:.2f}" if said.task_type else "nothing is near"
    return near + (f", the bar is {policy.classifier.bar:.2f}" if said.confidence < policy.classifier.bar else "")


def _planned(
    request: Request,
    admitted: Admitted,
    task: TaskType,
    own: Source,
    classification: Classification | None,
    policy: Policy,
    facts: Facts,
    arrival: Arrival,
    trail: Trail,
) -> Step:
    """Stages 3 to 7, then the first call."""
    spec = wished(request, task.spec)
    tokens = prompt_tokens(request, spec, admitted.size_bytes)
    case = Case(request, spec, tokens, admitted.tenant.corpora, task.ceiling_micro_dollars)
    chosen = choose(admitted.pinned, task, own, attributes_of(request, spec, tokens, classification), policy)
    by_rule = f" {chosen.rule}" if chosen.rule else ""
    trail.say("candidates", f"{chosen.source.value}{by_rule}: {_names(chosen.route)}")
    route, experiment, arm, probability = _experiment(chosen, task, case, policy, trail)
    allowed = allowed_for_good(route, case, policy, trail)
    scope = scope_of(request, spec, task.cache, allowed) if allowed else "nothing may carry it"
    decision = Decision(
        policy_revision=policy.revision,
        policy_fingerprint=policy.fingerprint,
        source=chosen.source,
        task_type=spec.name,
        rule=clip(chosen.rule, NAME_BYTES),
        classification=classification,
        prompt_tokens=tokens,
        candidates=tuple(clip(leg.target.name, NAME_BYTES) for leg in route[:CANDIDATES]),
        experiment=clip(experiment, NAME_BYTES),
        arm=clip(arm, NAME_BYTES),
        probability=probability,
    )
    timeout = task.timeout_ms if request.timeout_ms is None else request.timeout_ms
    journey = Journey(
        request=request,
        task=spec,
        route=allowed,
        decision=decision,
        arrived_ms=facts.now_ms,
        deadline_ms=_deadline(facts.now_ms + min(timeout, policy.max_timeout_ms), arrival),
        reply_topic=admitted.reply_topic,
        content_type=arrival.content_type,
        body_hash=arrival.body_hash,
        cache=scope if isinstance(scope, CacheScope) else None,
        spare=facts.over_quota or request.priority is Priority.BATCH,
        retry_tokens=walk.DEPOSIT,
        traceparent=arrival.traceparent,
    )
    if not allowed:
        return _refused(journey, ReasonCode.NO_ROUTE, "no target may carry it", trail, policy, facts)
    return _past_cache(journey, scope, case, policy, facts, trail)


def _deadline(own_ms: int, arrival: Arrival) -> int:
    return min(own_ms, arrival.deadline_ms) if arrival.deadline_ms else own_ms


def _experiment(
    chosen: Candidates, task: TaskType, case: Case, policy: Policy, trail: Trail
) -> tuple[Route, str, str, float]:
    """Stage 7, before the cache is asked (docs/decisions/0010): the route, the experiment, the arm and its probability.

    A request that some arm could not carry at all is left out, so that the arms stay comparable."""
    experiment = experiment_for(task.spec.name, chosen.source, policy)
    drawn = draw_arm(experiment, case.request) if experiment else None
    if experiment is None or drawn is None:
        return chosen.route, "", "", 1.0
    quiet = Trail()
    for arm in experiment.arms:
        if not allowed_for_good(patient(arm.route, task) or chosen.route, case, policy, quiet):
            trail.say("experiment", f"{experiment.name}: left out, because arm {arm.name} may not carry it")
            return chosen.route, "", "", 1.0
    route = patient(drawn.arm.route, task) or chosen.route
    trail.say("experiment", f"{drawn.experiment}: arm {drawn.arm.name} with probability {drawn.probability:.3f}: {_names(route)}")
    return route, drawn.experiment, drawn.arm.name, drawn.probability


def _past_cache(
    journey: Journey, scope: CacheScope | str, case: Case, policy: Policy, facts: Facts, trail: Trail
) -> Step:
    """Stages 5 and 6."""
    if isinstance(scope, str):
        trail.say("cache", scope)
    elif scope.read:
        found = facts.lookup(scope)
        if isinstance(found, CacheHit):
            return finish.from_cache(_told(journey, trail), found, policy, Trail(), facts.now_ms)
        near = f", {len(found.refused)} near ones refused: {found.refused[0].why}" if found.refused else ""
        trail.say("cache", "nothing serves" + near)
        journey = replace(journey, refused_candidates=found.refused[: finish.REFUSED])
    else:
        trail.say("cache", "not read, to be refreshed")
    left = journey.deadline_ms - facts.now_ms
    route = allowed_for_now(journey.route, case, left, facts, trail, last_hope=True)
    if not route:
        return _refused(journey, ReasonCode.NO_TARGET_NOW, "no target can carry it now", trail, policy, facts)
    if route[0].target.name != journey.route[0].target.name and journey.cache is not None:
        trail.say("cache", "not written: the first choice is passed over")
        journey = replace(journey, cache=replace(journey.cache, write=False))
    planned = _told(replace(journey, route=route), trail)
    return walk.call(planned, Trail(), policy, facts.now_ms)


def _refused(
    journey: Journey, code: ReasonCode, what: str, trail: Trail, policy: Policy, facts: Facts
) -> End:
    advice = "ask again later" if code is ReasonCode.NO_TARGET_NOW else "change what forbids it, or the policy"
    reason = Reason(code, f"{what}: {trail.reasons() or 'the route is empty'}", hint=advice)
    return finish.refused(_told(journey, trail), reason, policy, Trail(), facts.now_ms)


def _told(journey: Journey, trail: Trail) -> Journey:
    """With the trail so far in its decision."""
    decision = replace(journey.decision, forbidden=tuple(trail.forbidden[:FORBIDDEN]), lines=kept(tuple(trail.lines)))
    return replace(journey, decision=decision)


def wished(request: Request, spec: TaskSpec) -> TaskSpec:
    """The task's spec with what the request asks for in its place, so that a tier looks at one thing only."""
    changes: dict[str, object] = {}
    if request.output is not None:
        changes["output"] = request.output
    if request.max_output_tokens:
        changes["max_output_tokens"] = request.max_output_tokens
    if request.temperature is not None:
        changes["temperature"] = request.temperature
    if request.corpus:
        changes["corpus"] = request.corpus
    return replace(spec, **changes) if changes else spec  # type: ignore[arg-type]


def _names(route: Route) -> str:
    return " -> ".join(
        leg.target.name if leg.bar is None else f"{leg.target.name} (bar {leg.bar:.2f})" for leg in route
    )


# --- stages 8 and 9 --------------------------------------------------------------------------------------------------


def _after_answer(journey: Journey, outcome: Outcome, answer: Answer, policy: Policy, facts: Facts) -> Step:
    trail = Trail()
    bar = journey.route[journey.position].bar
    if passes(answer, bar):
        accepted = _closed(journey, outcome, Verdict.ACCEPTED, facts.now_ms, _passing(answer, bar))
        return finish.answered(accepted, outcome, policy, trail, facts.now_ms)
    why = "no confidence" if answer.confidence is None else f"confidence {answer.confidence:.2f}"
    below = f"{why}, the bar is {bar:.2f}" if answer.finish is not Finish.REFUSAL else "the model refused"
    trail.say("walk", f"{outcome.target} answered, but {below}: up")
    escalated = _closed(journey, outcome, Verdict.ESCALATED, facts.now_ms, below)
    kept_answer = replace(escalated, earlier=walk.better(journey.earlier, outcome))
    further = walk.onward(kept_answer, trail, policy, facts)
    if further is not None:
        return walk.call(further, trail, policy, facts.now_ms)
    return _with_earlier(kept_answer, policy, trail, facts)


def _after_fault(journey: Journey, outcome: Outcome, fault: Fault, policy: Policy, facts: Facts) -> Step:
    trail = Trail()
    trail.say("walk", f"{outcome.target} gave no answer: {fault.kind.value}" + (f", {fault.message}" if fault.message else ""))
    over = _closed(journey, outcome, Verdict.FAILED, facts.now_ms, "")
    if fault.kind in (FaultKind.CANCELLED, FaultKind.STARTED_TOO_OFTEN):
        return finish.failed(over, policy, trail, facts.now_ms)
    moved = _closed(journey, outcome, Verdict.FELL_BACK, facts.now_ms, "")
    further = walk.onward(moved, trail, policy, facts) or walk.again(moved, fault, trail, policy, facts)
    if further is not None:
        return walk.call(further, trail, policy, facts.now_ms)
    if over.earlier is not None:
        return _with_earlier(over, policy, trail, facts)
    if facts.now_ms >= over.deadline_ms:
        return finish.expired(over, policy, trail, facts.now_ms)
    return finish.failed(over, policy, trail, facts.now_ms)


def _with_earlier(journey: Journey, policy: Policy, trail: Trail, facts: Facts) -> End:
    """Nothing better came: the best answer below its bar is given, with its low confidence, rather than none."""
    outcome = journey.earlier
    assert outcome is not None
    attempts = tuple(
        replace(a, verdict=Verdict.ACCEPTED, why=f"{a.why}; given all the same, nothing better came")
        if a.number == outcome.attempt
        else a
        for a in journey.attempts
    )
    return finish.answered(replace(journey, attempts=attempts), outcome, policy, trail, facts.now_ms, good=False)


def passes(answer: Answer, bar: float | None) -> bool:
    """Without a bar every answer passes. With one, an answer of unknown confidence does not, nor a model's refusal."""
    if bar is None:
        return True
    return answer.confidence is not None and answer.confidence >= bar and answer.finish is not Finish.REFUSAL


def _passing(answer: Answer, bar: float | None) -> str:
    if bar is None:
        return "no bar"
    return f"confidence {answer.confidence:.2f}, the bar is {bar:.2f}"


def _closed(journey: Journey, outcome: Outcome, verdict: Verdict, now_ms: int, why: str) -> Journey:
    """The journey with its open attempt closed by the outcome."""
    opened = journey.attempts[-1]
    result = outcome.result
    took = outcome.ended_ms - outcome.started_ms if outcome.ended_ms else now_ms - opened.started_ms
    closed = Attempt(
        number=opened.number,
        target=opened.target,
        started_ms=opened.started_ms,
        deadline_ms=opened.deadline_ms,
        verdict=verdict,
        fault=result if isinstance(result, Fault) else None,
        confidence=result.confidence if isinstance(result, Answer) else None,
        usage=outcome.usage,
        cost_micro_dollars=outcome.cost_micro_dollars,
        ttft_ms=outcome.ttft_ms,
        tpot_us=outcome.tpot_us,
        duration_ms=max(0, took),
        tool_uses=outcome.tool_uses,
        why=why,
    )
    return replace(journey, attempts=(*journey.attempts[:-1], closed))
