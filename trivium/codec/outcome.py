"""Outcomes, attempts and terminals."""

from google.protobuf import json_format

from trivium.codec.request import identity_from, identity_to, tool_call_from, tool_call_to
from trivium.codec.wire import word
from trivium.core.outcome import (
    Answer,
    Attempt,
    CacheNote,
    Citation,
    Fault,
    FaultKind,
    Finish,
    Outcome,
    Reason,
    ReasonCode,
    RefusedCandidate,
    Terminal,
    TerminalKind,
    ToolUse,
    Usage,
    Verdict,
)
from trivium.core.slip import ContentType
from trivium.v1 import outcome_pb2 as pb


def usage_from(m: pb.Usage) -> Usage:
    return Usage(
        m.input_tokens,
        m.output_tokens,
        m.context_tokens,
        m.tool_tokens,
        m.cache_read_tokens,
        m.cache_write_tokens,
        m.embedding_tokens,
    )


def usage_to(u: Usage) -> pb.Usage:
    return pb.Usage(
        input_tokens=u.input_tokens,
        output_tokens=u.output_tokens,
        context_tokens=u.context_tokens,
        tool_tokens=u.tool_tokens,
        cache_read_tokens=u.cache_read_tokens,
        cache_write_tokens=u.cache_write_tokens,
        embedding_tokens=u.embedding_tokens,
    )


def citation_from(m: pb.Citation) -> Citation:
    return Citation(m.document, m.section, m.version, m.number)


def citation_to(c: Citation) -> pb.Citation:
    return pb.Citation(document=c.document, section=c.section, version=c.version, number=c.number)


def answer_from(m: pb.Answer) -> Answer:
    return Answer(
        text=m.text,
        tool_calls=tuple(tool_call_from(c) for c in m.tool_calls),
        citations=tuple(citation_from(c) for c in m.citations),
        confidence=m.confidence if m.HasField("confidence") else None,
        finish=word(Finish, m.finish, "answer.finish", Finish.STOP),
        model=m.model,
        not_found=m.not_found,
        sources=tuple(citation_from(c) for c in m.sources),
    )


def answer_to(a: Answer) -> pb.Answer:
    return pb.Answer(
        text=a.text,
        tool_calls=[tool_call_to(c) for c in a.tool_calls],
        citations=[citation_to(c) for c in a.citations],
        confidence=a.confidence,
        finish=a.finish.value,
        model=a.model,
        not_found=a.not_found,
        sources=[citation_to(c) for c in a.sources],
    )


def fault_from(m: pb.Fault) -> Fault:
    return Fault(word(FaultKind, m.kind, "fault.kind", FaultKind.INTERNAL), m.message, m.retry_after_ms)


def fault_to(f: Fault) -> pb.Fault:
    return pb.Fault(kind=f.kind.value, message=f.message, retry_after_ms=f.retry_after_ms)


def tool_use_from(m: pb.ToolUse) -> ToolUse:
    return ToolUse(m.name, m.calls, m.tokens, m.cost_micro_dollars, m.duration_ms)


def tool_use_to(t: ToolUse) -> pb.ToolUse:
    return pb.ToolUse(
        name=t.name, calls=t.calls, tokens=t.tokens, cost_micro_dollars=t.cost_micro_dollars, duration_ms=t.duration_ms
    )


def outcome_from(m: pb.Outcome) -> Outcome:
    return Outcome(
        identity=identity_from(m.identity),
        attempt=m.attempt,
        target=m.target,
        result=answer_from(m.answer) if m.WhichOneof("result") == "answer" else fault_from(m.fault),
        usage=usage_from(m.usage),
        cost_micro_dollars=m.cost_micro_dollars,
        started_ms=m.started_ms,
        ended_ms=m.ended_ms,
        ttft_ms=m.ttft_ms if m.HasField("ttft_ms") else None,
        tpot_us=m.tpot_us if m.HasField("tpot_us") else None,
        queue_ms=m.queue_ms,
        tool_uses=tuple(tool_use_from(t) for t in m.tool_uses),
        instance=m.instance,
    )


def outcome_to(o: Outcome) -> pb.Outcome:
    return pb.Outcome(
        identity=identity_to(o.identity),
        attempt=o.attempt,
        target=o.target,
        answer=answer_to(o.result) if isinstance(o.result, Answer) else None,
        fault=fault_to(o.result) if isinstance(o.result, Fault) else None,
        usage=usage_to(o.usage),
        cost_micro_dollars=o.cost_micro_dollars,
        started_ms=o.started_ms,
        ended_ms=o.ended_ms,
        ttft_ms=o.ttft_ms,
        tpot_us=o.tpot_us,
        queue_ms=o.queue_ms,
        tool_uses=[tool_use_to(t) for t in o.tool_uses],
        instance=o.instance,
    )


def attempt_from(m: pb.Attempt) -> Attempt:
    return Attempt(
        number=m.number,
        target=m.target,
        started_ms=m.started_ms,
        deadline_ms=m.deadline_ms,
        verdict=word(Verdict, m.verdict, "attempt.verdict", Verdict.OPEN),
        fault=fault_from(m.fault) if m.HasField("fault") else None,
        confidence=m.confidence if m.HasField("confidence") else None,
        usage=usage_from(m.usage),
        cost_micro_dollars=m.cost_micro_dollars,
        ttft_ms=m.ttft_ms if m.HasField("ttft_ms") else None,
        tpot_us=m.tpot_us if m.HasField("tpot_us") else None,
        duration_ms=m.duration_ms,
        tool_uses=tuple(tool_use_from(t) for t in m.tool_uses),
        why=m.why,
    )


def attempt_to(a: Attempt) -> pb.Attempt:
    return pb.Attempt(
        number=a.number,
        target=a.target,
        started_ms=a.started_ms,
        deadline_ms=a.deadline_ms,
        verdict=a.verdict.value,
        fault=None if a.fault is None else fault_to(a.fault),
        confidence=a.confidence,
        usage=usage_to(a.usage),
        cost_micro_dollars=a.cost_micro_dollars,
        ttft_ms=a.ttft_ms,
        tpot_us=a.tpot_us,
        duration_ms=a.duration_ms,
        tool_uses=[tool_use_to(t) for t in a.tool_uses],
        why=a.why,
    )


def reason_from(m: pb.Reason) -> Reason:
    return Reason(word(ReasonCode, m.code, "reason.code", ReasonCode.INTERNAL), m.message, m.field, m.hint)


def reason_to(r: Reason) -> pb.Reason:
    return pb.Reason(code=r.code.value, message=r.message, field=r.field, hint=r.hint)


def refused_from(m: pb.RefusedCandidate) -> RefusedCandidate:
    return RefusedCandidate(m.question, m.similarity, m.score, m.why)


def refused_to(r: RefusedCandidate) -> pb.RefusedCandidate:
    return pb.RefusedCandidate(question=r.question, similarity=r.similarity, score=r.score, why=r.why)


def cache_note_from(m: pb.CacheNote) -> CacheNote:
    return CacheNote(m.kind, m.similarity, m.score, identity_from(m.made_for), m.question, m.made_ms)


def cache_note_to(n: CacheNote) -> pb.CacheNote:
    return pb.CacheNote(
        kind=n.kind,
        similarity=n.similarity,
        score=n.score,
        made_for=identity_to(n.made_for),
        question=n.question,
        made_ms=n.made_ms,
    )


def terminal_from(m: pb.Terminal) -> Terminal:
    return Terminal(
        identity=identity_from(m.identity),
        kind=word(TerminalKind, m.kind, "terminal.kind", TerminalKind.FAILED),
        answer=answer_from(m.answer) if m.HasField("answer") else None,
        reason=reason_from(m.reason) if m.HasField("reason") else None,
        tier=m.tier,
        target=m.target,
        task_type=m.task_type,
        attempts=tuple(attempt_from(a) for a in m.attempts),
        usage=usage_from(m.usage),
        cost_micro_dollars=m.cost_micro_dollars,
        all_cloud_micro_dollars=m.all_cloud_micro_dollars,
        ttft_ms=m.ttft_ms if m.HasField("ttft_ms") else None,
        tpot_us=m.tpot_us if m.HasField("tpot_us") else None,
        arrived_ms=m.arrived_ms,
        ended_ms=m.ended_ms,
        cache=cache_note_from(m.cache) if m.HasField("cache") else None,
        refused_candidates=tuple(refused_from(r) for r in m.refused_candidates),
        policy_revision=m.policy_revision,
        trace_id=m.trace_id,
    )


def terminal_to(t: Terminal) -> pb.Terminal:
    return pb.Terminal(
        identity=identity_to(t.identity),
        kind=t.kind.value,
        answer=None if t.answer is None else answer_to(t.answer),
        reason=None if t.reason is None else reason_to(t.reason),
        tier=t.tier,
        target=t.target,
        task_type=t.task_type,
        attempts=[attempt_to(a) for a in t.attempts],
        usage=usage_to(t.usage),
        cost_micro_dollars=t.cost_micro_dollars,
        all_cloud_micro_dollars=t.all_cloud_micro_dollars,
        ttft_ms=t.ttft_ms,
        tpot_us=t.tpot_us,
        arrived_ms=t.arrived_ms,
        ended_ms=t.ended_ms,
        cache=None if t.cache is None else cache_note_to(t.cache),
        refused_candidates=[refused_to(r) for r in t.refused_candidates],
        policy_revision=t.policy_revision,
        trace_id=t.trace_id,
    )


def encode_terminal(terminal: Terminal, kind: ContentType) -> bytes:
    """The value of a reply record, in the form that the request came in."""
    message = terminal_to(terminal)
    if kind is ContentType.PROTOBUF:
        return message.SerializeToString()
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None).encode()


def decode_terminal(value: bytes, content_type: str | None) -> Terminal:
    """What a client reads from a reply topic."""
    if content_type and "json" in content_type:
        return terminal_from(json_format.Parse(value, pb.Terminal(), ignore_unknown_fields=True))
    return terminal_from(pb.Terminal.FromString(value))
