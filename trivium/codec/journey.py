"""Policy parts, slips, work and decisions."""

from functools import lru_cache

from trivium.codec.outcome import (
    attempt_from,
    attempt_to,
    outcome_from,
    outcome_to,
    refused_from,
    refused_to,
)
from trivium.codec.request import output_from, output_to, request_from, request_to
from trivium.codec.wire import MEMO, Shared, unknown_of, word
from trivium.core.decision import Classification, Decision, DecisionLine, Forbidden, ForbiddenBy, Source
from trivium.core.outcome import Outcome
from trivium.core.policy import Example, Leg, OnAmbiguous, Prices, Target, TaskSpec, Tier
from trivium.core.slip import CacheScope, Call, ContentType, Journey, Wait, Work
from trivium.v1 import journey_pb2 as pb
from trivium.v1 import request_pb2


def prices_from(m: pb.Prices) -> Prices:
    return Prices(
        m.input_per_million,
        m.output_per_million,
        m.cache_read_per_million,
        m.cache_write_per_million,
        m.embedding_per_million,
        m.per_request,
        m.fixed_per_month,
    )


def prices_to(p: Prices) -> pb.Prices:
    return pb.Prices(
        input_per_million=p.input_per_million,
        output_per_million=p.output_per_million,
        cache_read_per_million=p.cache_read_per_million,
        cache_write_per_million=p.cache_write_per_million,
        embedding_per_million=p.embedding_per_million,
        per_request=p.per_request,
        fixed_per_month=p.fixed_per_month,
    )


def target_from(m: pb.Target) -> Target:
    return _target_from(m.SerializeToString(deterministic=True))


@lru_cache(MEMO)
def _target_from(wire: bytes) -> Target:
    m = pb.Target.FromString(wire)
    return Target(
        name=m.name,
        tier=word(Tier, m.tier, "target.tier", Tier.FINETUNED),
        model=m.model,
        adapter=m.adapter,
        prices=prices_from(m.prices),
        context_window=m.context_window,
        max_output_tokens=m.max_output_tokens,
        formats=tuple(m.formats),
        tools=m.tools,
        generator=target_from(m.generator) if m.HasField("generator") else None,
        on_ambiguous=word(OnAmbiguous, m.on_ambiguous, "target.on_ambiguous", OnAmbiguous.RETRY),
        streams=m.streams,
    )


def _target_to(t: Target) -> pb.Target:
    return pb.Target(
        name=t.name,
        tier=t.tier.value,
        model=t.model,
        adapter=t.adapter,
        prices=prices_to(t.prices),
        context_window=t.context_window,
        max_output_tokens=t.max_output_tokens,
        formats=t.formats,
        tools=t.tools,
        generator=None if t.generator is None else target_to(t.generator),
        on_ambiguous=t.on_ambiguous.value,
        streams=t.streams,
    )


target_to = Shared(_target_to)
"""Target -> its message, shared."""


def spec_from(m: pb.TaskSpec) -> TaskSpec:
    return _spec_from(m.SerializeToString(deterministic=True))


@lru_cache(MEMO)
def _spec_from(wire: bytes) -> TaskSpec:
    m = pb.TaskSpec.FromString(wire)
    return TaskSpec(
        name=m.name,
        system=m.system,
        output=output_from(m.output),
        max_output_tokens=m.max_output_tokens,
        temperature=m.temperature if m.HasField("temperature") else None,
        corpus=m.corpus,
        search_documents=m.search_documents,
        passages=m.passages,
        context_budget_tokens=m.context_budget_tokens,
        relevance_cut=m.relevance_cut,
        slots=m.slots,
        examples=tuple(Example(e.input, e.output) for e in m.examples),
        sentence_cut=m.sentence_cut,
    )


def _spec_to(s: TaskSpec) -> pb.TaskSpec:
    return pb.TaskSpec(
        name=s.name,
        system=s.system,
        output=output_to(s.output),
        max_output_tokens=s.max_output_tokens,
        temperature=s.temperature,
        corpus=s.corpus,
        search_documents=s.search_documents,
        passages=s.passages,
        context_budget_tokens=s.context_budget_tokens,
        relevance_cut=s.relevance_cut,
        slots=s.slots,
        examples=[pb.Example(input=e.input, output=e.output) for e in s.examples],
        sentence_cut=s.sentence_cut,
    )


spec_to = Shared(_spec_to)
"""Task spec -> its message, shared."""


@lru_cache(MEMO)
def _leg_from(wire: bytes) -> Leg:
    m = pb.Leg.FromString(wire)
    return Leg(target_from(m.target), m.bar if m.HasField("bar") else None)


def _leg_to(leg: Leg) -> pb.Leg:
    return pb.Leg(target=target_to(leg.target), bar=leg.bar)


leg_to = Shared(_leg_to)
"""Leg -> its message, shared."""


def classification_from(m: pb.Classification) -> Classification:
    return Classification(m.task_type, m.confidence, m.complexity, m.novel)


def classification_to(c: Classification) -> pb.Classification:
    return pb.Classification(task_type=c.task_type, confidence=c.confidence, complexity=c.complexity, novel=c.novel)


def decision_from(m: pb.Decision) -> Decision:
    return Decision(
        policy_revision=m.policy_revision,
        policy_fingerprint=m.policy_fingerprint,
        source=word(Source, m.source, "decision.source", Source.DEFAULT),
        task_type=m.task_type,
        rule=m.rule,
        classification=classification_from(m.classification) if m.HasField("classification") else None,
        prompt_tokens=m.prompt_tokens,
        candidates=tuple(m.candidates),
        forbidden=tuple(
            Forbidden(f.target, word(ForbiddenBy, f.by, "forbidden.by", ForbiddenBy.HEALTH), f.why) for f in m.forbidden
        ),
        experiment=m.experiment,
        arm=m.arm,
        probability=m.probability,
        lines=tuple(DecisionLine(line.stage, line.text) for line in m.lines),
    )


def decision_to(d: Decision) -> pb.Decision:
    message = pb.Decision(
        policy_revision=d.policy_revision,
        policy_fingerprint=d.policy_fingerprint,
        source=d.source._value_,
        task_type=d.task_type,
        rule=d.rule,
        classification=None if d.classification is None else classification_to(d.classification),
        prompt_tokens=d.prompt_tokens,
        candidates=d.candidates,
        experiment=d.experiment,
        arm=d.arm,
        probability=d.probability,
    )
    for forbidden in d.forbidden:
        message.forbidden.add(target=forbidden.target, by=forbidden.by._value_, why=forbidden.why)
    lines = message.lines
    for line in d.lines:
        # Made in its place: a message that is made apart is copied once more.
        put = lines.add()
        put.stage, put.text = line.stage, line.text
    return message


def scope_from(m: pb.CacheScope) -> CacheScope:
    return CacheScope(m.hash, m.question, m.semantic, m.read, m.write, m.ttl_s, m.corpus)


def scope_to(s: CacheScope) -> pb.CacheScope:
    return pb.CacheScope(
        hash=s.hash, question=s.question, semantic=s.semantic, read=s.read, write=s.write, ttl_s=s.ttl_s, corpus=s.corpus
    )


def journey_from(request: request_pb2.Request, slip: pb.Slip) -> Journey:
    """A journey as it stood when its slip was written."""
    return Journey(
        request=request_from(request),
        task=spec_from(slip.task),
        route=tuple([_leg_from(g.SerializeToString(deterministic=True)) for g in slip.route]),
        decision=decision_from(slip.decision),
        arrived_ms=slip.arrived_ms,
        deadline_ms=slip.deadline_ms,
        position=slip.position,
        attempts=tuple(attempt_from(a) for a in slip.attempts),
        earlier=outcome_from(slip.earlier) if slip.HasField("earlier") else None,
        reply_topic=slip.reply_topic,
        content_type=word(ContentType, slip.content_type, "slip.content_type", ContentType.PROTOBUF),
        body_hash=slip.body_hash,
        cache=scope_from(slip.cache) if slip.HasField("cache") else None,
        spare=slip.spare,
        retry_tokens=slip.retry_tokens,
        refused_candidates=tuple(refused_from(r) for r in slip.refused_candidates),
        traceparent=slip.traceparent,
        unknown=unknown_of(slip),
        patient=slip.patient,
    )


def slip_to(j: Journey) -> pb.Slip:
    """The journey without its request, which travels beside it."""
    slip = pb.Slip(
        task_type=j.task.name,
        route=[leg_to(leg) for leg in j.route],
        position=j.position,
        attempts=[attempt_to(a) for a in j.attempts],
        earlier=None if j.earlier is None else outcome_to(j.earlier),
        decision=decision_to(j.decision),
        arrived_ms=j.arrived_ms,
        deadline_ms=j.deadline_ms,
        reply_topic=j.reply_topic,
        content_type=j.content_type.value,
        body_hash=j.body_hash,
        cache=None if j.cache is None else scope_to(j.cache),
        spare=j.spare,
        retry_tokens=j.retry_tokens,
        refused_candidates=[refused_to(r) for r in j.refused_candidates],
        traceparent=j.traceparent,
        task=spec_to(j.task),
        patient=j.patient,
    )
    if j.unknown:
        slip.MergeFromString(j.unknown)
    return slip


def journey_to(j: Journey) -> tuple[request_pb2.Request, pb.Slip]:
    """Both halves of a journey on the wire."""
    return request_to(j.request), slip_to(j)


def work_from(m: pb.Work) -> Work:
    """What a tier needs of a work record. BadRequest when the request in it is wrong."""
    wait = wait_from(m.wait) if m.HasField("wait") else None
    return Work(
        request_from(m.request), m.attempt, target_from(m.target), spec_from(m.task), m.deadline_ms, m.part_of, wait
    )


def wait_from(m: pb.Wait) -> Wait:
    return Wait(m.from_ms, m.until_ms, prices_from(m.full_prices))


def wait_to(w: Wait) -> pb.Wait:
    return pb.Wait(from_ms=w.from_ms, until_ms=w.until_ms, full_prices=prices_to(w.full))


def work_to(w: Work, request: request_pb2.Request | None = None) -> pb.Work:
    """For a tier's gRPC door: no slip. `request` spares a conversion when the message is at hand."""
    return pb.Work(
        request=request_to(w.request) if request is None else request,
        attempt=w.attempt,
        target=target_to(w.target),
        task=spec_to(w.task),
        deadline_ms=w.deadline_ms,
        part_of=w.part_of,
        wait=None if w.wait is None else wait_to(w.wait),
    )


def call_to_work(call: Call, request: request_pb2.Request | None = None) -> pb.Work:
    """For a work topic: with the slip."""
    work = work_to(call.work, request)
    work.slip.CopyFrom(slip_to(call.journey))
    return work


def outcome_record(work: pb.Work, outcome: Outcome) -> pb.OutcomeRecord:
    """What a tier writes back: its outcome, and request and slip as they came."""
    return pb.OutcomeRecord(outcome=outcome_to(outcome), request=work.request, slip=work.slip)
