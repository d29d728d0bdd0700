"""What the mesh writes down: ledger, cache entries, dead letters."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from trivium.codec.journey import decision_to
from trivium.codec.outcome import answer_to, outcome_to, reason_to, terminal_to
from trivium.codec.request import identity_to
from trivium.core.outcome import Outcome, Reason
from trivium.core.request import Identity, Knowledge, Priority, Request, Stakes
from trivium.core.slip import End, Journey
from trivium.core.subject import mark
from trivium.v1 import outcome_pb2
from trivium.v1 import records_pb2 as pb


def ledger_record(end: End, door: str, made: outcome_pb2.Terminal | None = None) -> pb.LedgerRecord:
    """One per terminal. The answer's text stays out: the ledger keeps 30 days and more readers.

    `made`: the terminal's message when it is at hand, which spares a conversion; it is copied."""
    record = pb.LedgerRecord(
        role="terminal",
        terminal=terminal_to(end.terminal) if made is None else made,
        decision=decision_to(end.decision),
        door=door,
        at_ms=end.terminal.ended_ms,
    )
    if end.terminal.answer is not None:
        answer = record.terminal.answer
        answer.ClearField("text")
        answer.ClearField("tool_calls")
    _who(record, end.request)
    return record


def stray_record(journey: Journey | None, outcome: Outcome) -> pb.LedgerRecord:
    """Money spent on an outcome that came after another one had won."""
    record = pb.LedgerRecord(role="stray", stray=outcome_to(outcome), at_ms=outcome.ended_ms, door="kafka")
    record.stray.answer.ClearField("text")
    if journey is not None:
        _who(record, journey.request)
    return record


def _who(record: pb.LedgerRecord, request: Request) -> None:
    record.team = request.team
    record.application = request.application
    record.use_case = request.use_case
    record.end_user = request.end_user
    record.user_tier = request.user_tier
    record.sensitivity = request.sensitivity._value_
    record.endpoint = request.endpoint
    put_unusual(record, request)


def put_unusual(record: pb.LedgerRecord, request: Request) -> None:
    """What most requests leave as it is: an empty word in the record is the default."""
    if request.stakes is not Stakes.NORMAL:
        record.stakes = request.stakes.value
    if request.priority is not Priority.NORMAL:
        record.priority = request.priority.value
    if request.knowledge is not Knowledge.UNKNOWN:
        record.knowledge = request.knowledge.value
    if request.tools:
        record.tools = len(request.tools)
    if request.replays:
        record.replays = request.replays


def cache_entry(end: End, vector: NDArray[np.float32], fingerprint: str, corpus_epoch: int) -> pb.CacheEntry:
    """The entry of an answered terminal; `end.write` must be set. One entry a scope and question: asked again, replaced."""
    scope, terminal = end.write, end.terminal
    if scope is None or terminal.answer is None:
        raise ValueError("this end may not be cached")
    question_id = hashlib.blake2b(scope.question.encode(), digest_size=12).hexdigest()
    return pb.CacheEntry(
        id=question_id,
        scope=scope.hash,
        tenant=terminal.identity.tenant,
        task_type=terminal.task_type,
        question=scope.question,
        embedding=np.asarray(vector, dtype="<f4").tobytes(),
        fingerprint=fingerprint,
        answer=answer_to(terminal.answer),
        tier=terminal.tier,
        target=terminal.target,
        made_for=identity_to(terminal.identity),
        made_ms=terminal.ended_ms,
        expires_ms=terminal.ended_ms + scope.ttl_s * 1000,
        tags=end.request.tags,
        corpus=scope.corpus,
        corpus_epoch=corpus_epoch,
        cost_micro_dollars=terminal.cost_micro_dollars,
        subject_mark=mark(terminal.identity.tenant, end.request.subject),
    )


def dead_letter(
    reason: Reason,
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]],
    at_ms: int,
    identity: Identity | None = None,
) -> pb.DeadLetter:
    """A record that was put aside, whole, with where it came from. Its id is its place: equal when written twice."""
    return pb.DeadLetter(
        reason=reason_to(reason),
        topic=topic,
        partition=partition,
        offset=offset,
        key=key or b"",
        value=value or b"",
        headers={name: content.decode("utf-8", "replace") for name, content in headers},
        at_ms=at_ms,
        identity=None if identity is None else identity_to(identity),
        id=f"{topic}-{partition}-{offset}",
    )
