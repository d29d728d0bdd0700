"""Outcomes, attempts and terminals."""

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from trivium.codec.cloudevents import STRUCTURED, data_is_protobuf, disclose, enclose
from trivium.codec.request import identity_from, identity_to, tool_call_from, tool_call_to
from trivium.codec.wire import Shared, word
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
from trivium.core.request import Identity
from trivium.core.slip import ContentType
from trivium.v1 import outcome_pb2 as pb
from trivium.v1 import request_pb2


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
    message = pb.Usage()
    _put_usage(message, u)
    return message


def _put_usage(m: pb.Usage, u: Usage) -> None:
    m.SetInParent()
    if u.input_tokens:
        m.input_tokens = u.input_tokens
    if u.output_tokens:
        m.output_tokens = u.output_tokens
    if u.context_tokens:
        m.context_tokens = u.context_tokens
    if u.tool_tokens:
        m.tool_tokens = u.tool_tokens
    if u.cache_read_tokens:
        m.cache_read_tokens = u.cache_read_tokens
    if u.cache_write_tokens:
        m.cache_write_tokens = u.cache_write_tokens
    if u.embedding_tokens:
        m.embedding_tokens = u.embedding_tokens


def citation_from(m: pb.Citation) -> Citation:
    return Citation(m.document, m.section, m.version, m.number)


def citation_to(c: Citation) -> pb.Citation:
    return pb.Citation(document=c.document, section=c.section, version=c.version, number=c.number)


def answer_from(m: pb.Answer) -> Answer:
    return Answer(
        text=m.text,
        tool_calls=tuple([tool_call_from(c) for c in m.tool_calls]),
        citations=tuple([citation_from(c) for c in m.citations]),
        confidence=m.confidence if m.HasField("confidence") else None,
        finish=word(Finish, m.finish, "answer.finish", Finish.STOP),
        model=m.model,
        not_found=m.not_found,
        sources=tuple([citation_from(c) for c in m.sources]),
    )


def answer_to(a: Answer) -> pb.Answer:
    return pb.Answer(
        text=a.text,
        tool_calls=[tool_call_to(c) for c in a.tool_calls] if a.tool_calls else None,
        citations=[citation_to(c) for c in a.citations] if a.citations else None,
        confidence=a.confidence,
        finish=a.finish._value_,
        model=a.model,
        not_found=a.not_found,
        sources=[citation_to(c) for c in a.sources] if a.sources else None,
    )


_cached_answer_to = Shared(answer_to)
"""Answer that the cache holds -> its message, shared: hits come often."""


def fault_from(m: pb.Fault) -> Fault:
    return Fault(word(FaultKind, m.kind, "fault.kind", FaultKind.INTERNAL), m.message, m.retry_after_ms, m.budget)


def fault_to(f: Fault) -> pb.Fault:
    return pb.Fault(kind=f.kind.value, message=f.message, retry_after_ms=f.retry_after_ms, budget=f.budget)


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
        tool_uses=tuple([tool_use_from(t) for t in m.tool_uses]),
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
        batch=m.batch,
    )


def put_attempt(m: pb.Attempt, a: Attempt) -> None:
    """Into a message that stands in its parent already: building it apart would copy it once more."""
    m.number = a.number
    m.target = a.target
    m.started_ms = a.started_ms
    m.deadline_ms = a.deadline_ms
    m.verdict = a.verdict._value_
    if a.fault is not None:
        m.fault.CopyFrom(fault_to(a.fault))
    if a.confidence is not None:
        m.confidence = a.confidence
    _put_usage(m.usage, a.usage)
    m.cost_micro_dollars = a.cost_micro_dollars
    if a.ttft_ms is not None:
        m.ttft_ms = a.ttft_ms
    if a.tpot_us is not None:
        m.tpot_us = a.tpot_us
    m.duration_ms = a.duration_ms
    if a.tool_uses:
        m.tool_uses.extend([tool_use_to(t) for t in a.tool_uses])
    m.why = a.why
    if a.batch:
        m.batch = True


def attempt_to(a: Attempt) -> pb.Attempt:
    message = pb.Attempt()
    put_attempt(message, a)
    return message


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


def _put_cache_note(m: pb.CacheNote, n: CacheNote) -> None:
    m.kind = n.kind
    m.similarity = n.similarity
    m.score = n.score
    _put_identity(m.made_for, n.made_for)
    m.question = n.question
    m.made_ms = n.made_ms


def _put_identity(m: request_pb2.Identity, identity: Identity) -> None:
    m.tenant = identity.tenant
    m.id = identity.id
    if identity.replay:
        m.replay = identity.replay


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
    m = pb.Terminal(
        kind=t.kind._value_,
        tier=t.tier,
        target=t.target,
        task_type=t.task_type,
        cost_micro_dollars=t.cost_micro_dollars,
        all_cloud_micro_dollars=t.all_cloud_micro_dollars,
        ttft_ms=t.ttft_ms,
        tpot_us=t.tpot_us,
        arrived_ms=t.arrived_ms,
        ended_ms=t.ended_ms,
        policy_revision=t.policy_revision,
        trace_id=t.trace_id,
    )
    _put_identity(m.identity, t.identity)
    if t.answer is not None:
        m.answer.CopyFrom(answer_to(t.answer) if t.cache is None else _cached_answer_to(t.answer))
    if t.reason is not None:
        m.reason.CopyFrom(reason_to(t.reason))
    for attempt in t.attempts:
        put_attempt(m.attempts.add(), attempt)
    _put_usage(m.usage, t.usage)
    if t.cache is not None:
        _put_cache_note(m.cache, t.cache)
    if t.refused_candidates:
        m.refused_candidates.extend([refused_to(r) for r in t.refused_candidates])
    return m


def encode_terminal(terminal: Terminal, kind: ContentType) -> bytes:
    """The value of a reply record, in the form that the request came in."""
    message = terminal_to(terminal)
    if data_is_protobuf(kind):
        data = message.SerializeToString()
    else:
        data = json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None).encode()
    return enclose(terminal, data, kind) if kind in STRUCTURED else data


def decode_terminal(value: bytes, content_type: str | None) -> Terminal:
    """What a client reads from a reply topic. Raises ValueError or BadRequest when it is no terminal."""
    if content_type and "json" in content_type:
        value, content_type = disclose(value, content_type)
    try:
        if content_type and "json" in content_type:
            return terminal_from(json_format.Parse(value, pb.Terminal(), ignore_unknown_fields=True))
        return terminal_from(pb.Terminal.FromString(value))
    except (DecodeError, json_format.ParseError, RecursionError) as error:
        raise ValueError(f"{len(value)} bytes that are no trivium.v1.Terminal: {str(error)[:200]}") from None
