"""From the outline of a request to its first call, a cached answer or a refusal: what is looked at for each request anew."""

from dataclasses import replace

from trivium.core import finish, walk
from trivium.core.candidates import Drawn, draw_arm
from trivium.core.decision import Decision, ForbiddenBy
from trivium.core.forbid import Case, allowed_for_now, at_ease, case_of
from trivium.core.outcome import Attempt, Reason, ReasonCode, RefusedCandidate
from trivium.core.outline import names_of, outline_of
from trivium.core.patience import batch_timeout_ms
from trivium.core.policy import Experiment, Policy
from trivium.core.request import Priority, Request
from trivium.core.scope import scope_of
from trivium.core.slip import Arrival, CacheHit, CacheScope, Call, End, Facts, Journey, Step, Work
from trivium.core.trail import FORBIDDEN, Trail, kept, short


class Plan:
    """A journey in the making. Mutable, so that the frozen values are built once; lives inside one `begin`."""

    __slots__ = (
        "arrival", "deadline_ms", "drawn", "facts", "outline", "patient", "policy", "refused", "request", "route", "scope", "tokens",
        "trail", "way",
    )  # fmt: skip

    def __init__(self, request: Request, policy: Policy, facts: Facts, arrival: Arrival) -> None:
        """Raises BadRequest."""
        self.request, self.policy, self.facts, self.arrival = request, policy, facts, arrival
        outline, size, self.tokens = outline_of(request, policy, facts)
        self.outline, self.way = outline, outline.way
        self.trail = trail = Trail()
        trail.say("admit", f"{outline.admit_words}, {size} bytes")
        if arrival.detected:
            trail.say("detect", f"{', '.join(arrival.detected)}: restricted")
        trail.lines += outline.lines
        self.refused: tuple[RefusedCandidate, ...] = ()
        self.drawn: Drawn | None = None
        self.scope: CacheScope | None = None
        timeout = outline.task.timeout_ms if request.timeout_ms is None else request.timeout_ms
        self.patient = policy.patience is not None and arrival.may_wait
        if self.patient and request.timeout_ms is None:
            timeout = batch_timeout_ms(request, policy, timeout)
        own = facts.now_ms + min(timeout, policy.max_timeout_ms)
        self.deadline_ms = min(own, arrival.deadline_ms) if arrival.deadline_ms else own

    def step(self) -> Step:
        """The first step."""
        if self.outline.experiment is not None:
            self._experiment(self.outline.experiment)
        self.trail.forbidden += self.way.forbidden
        self.route = allowed = self.way.allowed
        if not allowed:
            return self._refuse(ReasonCode.NO_ROUTE, "no target may carry it", "change what forbids it, or the policy")
        hit = self._cached()
        if hit is not None:
            self.trail.say("cache", finish.hit_words(hit.note))
            return finish.from_cache(self._journey(), hit, self.policy, self.facts.now_ms)
        left = self.deadline_ms - self.facts.now_ms
        if self.outline.task.ceiling_micro_dollars or not at_ease(allowed, left, self.facts):
            self.route = allowed_for_now(allowed, self._case(), left, self.facts, self.trail, last_hope=True)
        if left <= 0:
            return finish.expired(self._journey(), self.policy, Trail(), self.facts.now_ms)
        if not self.route:
            return self._refuse_for_now()
        if self.scope is not None and self.route[0].target.name != allowed[0].target.name:
            self.trail.say("cache", "not written: the first choice is passed over")
            self.scope = replace(self.scope, write=False)
        return self._call()

    def _case(self) -> Case:
        outline = self.outline
        corpora, ceiling = outline.admitted.tenant.corpora, outline.task.ceiling_micro_dollars
        return case_of(self.request, outline.spec, self.tokens, corpora, ceiling)

    # --- stage 7 -----------------------------------------------------------------------------------------------------

    def _experiment(self, experiment: Experiment) -> None:
        """Before the cache is asked (docs/decisions/0007-the-arm-is-drawn-before-the-cache.md)."""
        drawn = self.drawn = draw_arm(experiment, self.request)
        if drawn is None:
            return
        self.way = next(way for arm, way in zip(experiment.arms, self.outline.arms, strict=True) if arm is drawn.arm)
        odds = f"arm {drawn.arm.name} with probability {drawn.probability:.3f}"
        self.trail.say("experiment", f"{drawn.experiment}: {odds}: {names_of(self.way.route)}")

    # --- stage 5 -----------------------------------------------------------------------------------------------------

    def _cached(self) -> CacheHit | None:
        scope = scope_of(self.request, self.outline.spec, self.outline.task, self.route)
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

    def _call(self) -> Call:
        target = self.route[0].target
        now, deadline = self.facts.now_ms, self.deadline_ms
        work = None
        if self.patient:
            work = walk.waiting(self.request, target, self.outline.spec, 1, now, deadline, self.trail, self.policy)
        if work is None:
            until = walk.attempt_deadline(now, deadline, 0, len(self.route) > 1, self.policy)
            work = Work(self.request, 1, target, self.outline.spec, until)
        self.trail.say("walk", walk.words(1, target.name, now, work.deadline_ms, deadline))
        return Call(self._journey((walk.opening(work, now),)), work)

    def _refuse_for_now(self) -> End:
        if any(taken.by is ForbiddenBy.LOAD for taken in self.trail.forbidden):
            advice = "ask again later, give it more time, or a higher priority when it deserves one"
            return self._refuse(ReasonCode.OVERLOADED, "turned away, the queues are too long for it", advice)
        return self._refuse(ReasonCode.NO_TARGET_NOW, "no target can carry it now", "ask again later")

    def _refuse(self, code: ReasonCode, what: str, advice: str) -> End:
        reason = Reason(code, f"{what}: {self.trail.reasons() or 'the route is empty'}", hint=advice)
        return finish.refused(self._journey(), reason, self.policy, Trail(), self.facts.now_ms)

    def _journey(self, attempts: tuple[Attempt, ...] = ()) -> Journey:
        arrival = self.arrival
        return Journey(
            request=self.request,
            task=self.outline.spec,
            route=self.route,
            decision=self._decision(),
            arrived_ms=self.facts.now_ms,
            deadline_ms=self.deadline_ms,
            attempts=attempts,
            reply_topic=self.outline.admitted.reply_topic,
            content_type=arrival.content_type,
            body_hash=arrival.body_hash,
            cache=self.scope,
            spare=self.facts.over_quota or self.request.priority is Priority.BATCH,
            retry_tokens=walk.DEPOSIT,
            refused_candidates=self.refused,
            traceparent=arrival.traceparent,
            patient=self.patient,
        )

    def _decision(self) -> Decision:
        outline, trail, drawn = self.outline, self.trail, self.drawn
        return Decision(
            policy_revision=self.policy.revision,
            policy_fingerprint=self.policy.fingerprint,
            source=outline.chosen.source,
            task_type=outline.spec.name,
            rule=short(outline.chosen.rule),
            classification=outline.classification,
            prompt_tokens=self.tokens,
            candidates=self.way.names,
            forbidden=tuple(trail.forbidden[:FORBIDDEN]),
            experiment=short(drawn.experiment) if drawn else "",
            arm=short(drawn.arm.name) if drawn else "",
            probability=drawn.probability if drawn else 1.0,
            lines=kept(trail.lines),
        )
