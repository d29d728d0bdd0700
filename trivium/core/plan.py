"""Stages 2 to 7 of a journey: from an admitted request to a first call, a cached answer or a refusal."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trivium.core import finish, walk
from trivium.core.admit import Admitted, check_size, novel_task
from trivium.core.candidates import (
    NO_ATTRIBUTES,
    Candidates,
    attributes_of,
    choose,
    draw_arm,
    experiment_for,
    patient,
)
from trivium.core.decision import Classification, Decision, Source
from trivium.core.forbid import allowed_for_good, allowed_for_now, case_of
from trivium.core.outcome import Attempt, Reason, ReasonCode, RefusedCandidate
from trivium.core.policy import Policy, Route, TaskSpec, TaskType
from trivium.core.prompt import prompt_tokens
from trivium.core.request import Priority, Request
from trivium.core.scope import scope_of
from trivium.core.slip import Arrival, CacheHit, CacheScope, Call, End, Facts, Journey, Step, Work
from trivium.core.trail import CANDIDATES, FORBIDDEN, Trail, kept, short


class Plan:
    """A journey in the making. Mutable, so that the frozen values are built once; lives inside one `begin`."""

    __slots__ = (
        "admitted", "arm", "arrival", "case", "chosen", "classification", "deadline_ms", "experiment", "facts", "own",
        "policy", "probability", "refused", "request", "route", "scope", "task", "trail",
    )  # fmt: skip

    def __init__(self, request: Request, admitted: Admitted, policy: Policy, facts: Facts, arrival: Arrival) -> None:
        """Raises BadRequest when the task type that the classifier says does not take so long a prompt."""
        self.request, self.admitted, self.policy, self.facts, self.arrival = request, admitted, policy, facts, arrival
        self.trail = Trail()
        self.refused: tuple[RefusedCandidate, ...] = ()
        self.experiment, self.arm, self.probability = "", "", 1.0
        self.scope: CacheScope | None = None
        self.task, self.own, self.classification = self._classified()
        if arrival.detected:
            self.trail.say("detect", f"{', '.join(arrival.detected)}: restricted")
        timeout = self.task.timeout_ms if request.timeout_ms is None else request.timeout_ms
        own = facts.now_ms + min(timeout, policy.max_timeout_ms)
        self.deadline_ms = min(own, arrival.deadline_ms) if arrival.deadline_ms else own
        spec = wished(request, self.task.spec)
        tokens = prompt_tokens(request, spec, admitted.size_bytes)
        self.case = case_of(request, spec, tokens, admitted.tenant.corpora, self.task.ceiling_micro_dollars)
        self.chosen = self._candidates()
        self.route = self.chosen.route

    def step(self) -> Step:
        """The first step."""
        self._experiment()
        candidates = self.route
        allowed = allowed_for_good(self.route, self.case, self.policy, self.trail)
        self.route = allowed
        if not allowed:
            return self._refuse(
                candidates, ReasonCode.NO_ROUTE, "no target may carry it", "change what forbids it, or the policy"
            )
        hit = self._cached()
        if hit is not None:
            self.trail.say("cache", finish.hit_words(hit.note))
            return finish.from_cache(self._journey(candidates), hit, self.policy, self.facts.now_ms)
        left = self.deadline_ms - self.facts.now_ms
        self.route = allowed_for_now(allowed, self.case, left, self.facts, self.trail, last_hope=True)
        if left <= 0:
            return finish.expired(self._journey(candidates), self.policy, Trail(), self.facts.now_ms)
        if not self.route:
            return self._refuse(candidates, ReasonCode.NO_TARGET_NOW, "no target can carry it now", "ask again later")
        if self.scope is not None and self.route[0].target.name != allowed[0].target.name:
            self.trail.say("cache", "not written: the first choice is passed over")
            self.scope = replace(self.scope, write=False)
        return self._call(candidates)

    # --- stage 2 -----------------------------------------------------------------------------------------------------

    def _classified(self) -> tuple[TaskType, Source, Classification | None]:
        """The task type, and where its own route comes from."""
        admitted, policy, trail = self.admitted, self.policy, self.trail
        task = admitted.task
        if task is not None:
            trail.say("admit", f"{task.spec.name} of {admitted.tenant.name}, {admitted.size_bytes} bytes")
            return task, Source.NOVEL if task.spec is policy.novel_spec else Source.TASK, None
        trail.say("admit", f"auto, of {admitted.tenant.name}, {admitted.size_bytes} bytes")
        said = self.facts.classify(self.request.question)
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

    # --- stages 3 and 7 ----------------------------------------------------------------------------------------------

    def _candidates(self) -> Candidates:
        case, attributes = self.case, NO_ATTRIBUTES
        if self.policy.rules:
            attributes = attributes_of(self.request, case.spec, case.prompt_tokens, self.classification)
        chosen = choose(self.admitted.pinned, self.task, self.own, attributes, self.policy)
        by_rule = f" {chosen.rule}" if chosen.rule else ""
        self.trail.say("candidates", f"{chosen.source.value}{by_rule}: {_names(chosen.route)}")
        return chosen

    def _experiment(self) -> None:
        """Stage 7, before the cache is asked (docs/decisions/0007-the-arm-is-drawn-before-the-cache.md).

        A request that some arm could not carry at all is left out, so that the arms stay comparable."""
        experiment = experiment_for(self.task.spec.name, self.chosen.source, self.policy)
        drawn = draw_arm(experiment, self.request) if experiment else None
        if experiment is None or drawn is None:
            return
        quiet = Trail()
        for arm in experiment.arms:
            if not allowed_for_good(patient(arm.route, self.task) or self.route, self.case, self.policy, quiet):
                self.trail.say("experiment", f"{experiment.name}: left out, because arm {arm.name} may not carry it")
                return
        self.route = patient(drawn.arm.route, self.task) or self.route
        self.experiment, self.arm, self.probability = drawn.experiment, drawn.arm.name, drawn.probability
        odds = f"arm {drawn.arm.name} with probability {drawn.probability:.3f}"
        self.trail.say("experiment", f"{drawn.experiment}: {odds}: {_names(self.route)}")

    # --- stage 5 -----------------------------------------------------------------------------------------------------

    def _cached(self) -> CacheHit | None:
        scope = scope_of(self.request, self.case.spec, self.task, self.route)
        if isinstance(scope, str):
            self.trail.say("cache", scope)
            return None
        self.scope = scope
        if not scope.read:
            self.trail.say("cache", "not read, to be refreshed")
            return None
        found = self.facts.lookup(scope)
        self.refused = found.refused[: finish.REFUSED]
        if isinstance(found, CacheHit):
            return found
        near = f", {len(found.refused)} near ones refused: {found.refused[0].why}" if found.refused else ""
        self.trail.say("cache", "nothing serves" + near)
        return None

    # --- the values --------------------------------------------------------------------------------------------------

    def _call(self, candidates: Route) -> Call:
        target = self.route[0].target
        now, deadline = self.facts.now_ms, self.deadline_ms
        until = walk.attempt_deadline(now, deadline, 0, len(self.route) > 1, self.policy)
        self.trail.say("walk", walk.words(1, target.name, now, until, deadline))
        journey = self._journey(candidates, (Attempt(1, target.name, now, until),))
        return Call(journey, Work(self.request, 1, target, self.case.spec, until))

    def _refuse(self, candidates: Route, code: ReasonCode, what: str, advice: str) -> End:
        reason = Reason(code, f"{what}: {self.trail.reasons() or 'the route is empty'}", hint=advice)
        return finish.refused(self._journey(candidates), reason, self.policy, Trail(), self.facts.now_ms)

    def _journey(self, candidates: Route, attempts: tuple[Attempt, ...] = ()) -> Journey:
        arrival = self.arrival
        return Journey(
            request=self.request,
            task=self.case.spec,
            route=self.route,
            decision=self._decision(candidates),
            arrived_ms=self.facts.now_ms,
            deadline_ms=self.deadline_ms,
            attempts=attempts,
            reply_topic=self.admitted.reply_topic,
            content_type=arrival.content_type,
            body_hash=arrival.body_hash,
            cache=self.scope,
            spare=self.facts.over_quota or self.request.priority is Priority.BATCH,
            retry_tokens=walk.DEPOSIT,
            refused_candidates=self.refused,
            traceparent=arrival.traceparent,
        )

    def _decision(self, candidates: Route) -> Decision:
        return Decision(
            policy_revision=self.policy.revision,
            policy_fingerprint=self.policy.fingerprint,
            source=self.chosen.source,
            task_type=self.case.spec.name,
            rule=short(self.chosen.rule),
            classification=self.classification,
            prompt_tokens=self.case.prompt_tokens,
            candidates=tuple([short(leg.target.name) for leg in candidates[:CANDIDATES]]),
            forbidden=tuple(self.trail.forbidden[:FORBIDDEN]),
            experiment=short(self.experiment),
            arm=short(self.arm),
            probability=self.probability,
            lines=kept(self.trail.lines),
        )


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


def _nearest(said: Classification, policy: Policy) -> str:
    if said.task_type and said.task_type not in policy.tasks:
        return f"the classifier says {said.task_type}, which the policy does not have"
    near = f"nearest is {said.task_type} at {said.confidence:.2f}" if said.task_type else "nothing is near"
    return near + (f", the bar is {policy.classifier.bar:.2f}" if said.confidence < policy.classifier.bar else "")


def _names(route: Route) -> str:
    named: Sequence[str] = [
        leg.target.name if leg.bar is None else f"{leg.target.name} (bar {leg.bar:.2f})" for leg in route
    ]
    return " -> ".join(named)
