"""Gathers the evidence of a run: its folder's journals, and the topics read back from Kafka."""

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from streams.inbox import attempt_deadline_ms
from tests.faults.evidence import (
    Asked,
    AttemptRecord,
    CacheRecord,
    Call,
    Calm,
    Commit,
    DeadLetter,
    Event,
    Evidence,
    LedgerRecord,
    OutcomeRecord,
    ReplyRecord,
    RequestRecord,
    Seen,
    Span,
    Spent,
    WorkRecord,
)  # fmt: skip
from tests.faults.load import TENANTS
from tests.faults.marks import mark_of
from trivium.core.policy import Tier
from trivium.kafka import topics
from trivium.kafka.reader import ReaderOptions, end_offsets, read_tail
from trivium.kafka.record import Delivered
from trivium.v1 import journey_pb2, outcome_pb2, records_pb2, request_pb2

T = TypeVar("T")
_OPTIONS = ReaderOptions("faults-gather", fetch_max_wait_ms=100)


async def gather(folder: Path, kafka: str, seed: int, session_timeout_ms: int) -> Evidence:
    """All of it."""
    tiers = list(Tier)
    works = [record for tier in tiers for topic in topics.lanes(tier) for record in await _read(kafka, topic, _work)]
    attempts = [one for tier in tiers for one in await _read(kafka, topics.attempts(tier), partial(_attempt, tier.value))]
    replies = [one for topic in TENANTS.values() for one in await _read(kafka, topic, _reply)]
    return Evidence(
        seed, session_timeout_ms, asked_of(folder), list(_lines(folder / "seen.jsonl", _seen)),
        await _read(kafka, topics.REQUESTS, _request), works, await _read(kafka, topics.OUTCOMES, _outcome), attempts,
        await _read(kafka, topics.LEDGER, _ledger), replies, await _read(kafka, topics.DEADLETTER, _dead),
        await _read(kafka, topics.CACHE, _cache), commits_of(folder), [*calls_of(folder, "tgi"), *calls_of(folder, "claude")],
        spans_of(folder), list(_lines(folder / "events.jsonl", _event)), _calm(folder), _load(folder).get("kept_back", 0),
    )  # fmt: skip


async def _read(kafka: str, topic: str, make: Callable[[Delivered], T | None]) -> list[T]:
    ends = await end_offsets(kafka, topic, _OPTIONS)
    found = []
    async for record in read_tail(kafka, topic, 0, ends, _OPTIONS):
        if (one := make(record)) is not None:
            found.append(one)
        if len(found) % 1_000 == 0:
            await asyncio.sleep(0)
    return found


# --- the log ---------------------------------------------------------------------------------------------------------


def _request(record: Delivered) -> RequestRecord:
    message = request_pb2.Request.FromString(record.value or b"")
    return RequestRecord(record.partition, record.offset, record.timestamp_ms, f"{message.tenant}/{message.id}", mark_of(message.prompt), message.tenant)


def _work(record: Delivered) -> WorkRecord:
    message = journey_pb2.Work.FromString(record.value or b"")
    return WorkRecord(record.topic, record.partition, record.offset, record.timestamp_ms, _of(message.request), message.attempt,
                      message.target.name, _mark(message.request))  # fmt: skip


def _outcome(record: Delivered) -> OutcomeRecord | None:
    message = journey_pb2.OutcomeRecord.FromString(record.value or b"")
    if message.cancel:
        return None
    outcome = message.outcome
    body = hashlib.sha256(outcome.SerializeToString(deterministic=True)).hexdigest()[:16]
    return OutcomeRecord(record.partition, record.offset, record.timestamp_ms, _whose(outcome.identity), outcome.attempt, outcome.target,
                         _mark(message.request), outcome.cost_micro_dollars, outcome.fault.kind, outcome.instance, body,
                         attempt_deadline_ms(message.slip, outcome.attempt))  # fmt: skip


def _attempt(tier: str, record: Delivered) -> AttemptRecord:
    m = records_pb2.AttemptRecord.FromString(record.value or b"")
    return AttemptRecord(tier, record.timestamp_ms, _whose(m.identity), m.attempt, m.execution, m.state, m.target, m.instance,
                         m.cost_micro_dollars, m.fault, m.door, m.begun_ms)  # fmt: skip


def _ledger(record: Delivered) -> LedgerRecord:
    message = records_pb2.LedgerRecord.FromString(record.value or b"")
    if message.role == "stray":
        stray = message.stray
        body = hashlib.sha256(stray.SerializeToString(deterministic=True)).hexdigest()[:16]
        lost = Spent(stray.attempt, stray.target, stray.cost_micro_dollars, stray.fault.kind)
        return LedgerRecord(record.timestamp_ms, _whose(stray.identity), "stray", stray.cost_micro_dollars, (lost,), body)
    terminal = message.terminal
    spent = tuple(Spent(a.number, a.target, a.cost_micro_dollars, a.fault.kind) for a in terminal.attempts)
    return LedgerRecord(record.timestamp_ms, _whose(terminal.identity), message.role, terminal.cost_micro_dollars, spent)


def _reply(record: Delivered) -> ReplyRecord:
    terminal = outcome_pb2.Terminal.FromString(record.value or b"")
    return ReplyRecord(record.topic, record.timestamp_ms, _whose(terminal.identity), terminal.kind, terminal.answer.text,
                       terminal.cost_micro_dollars, terminal.trace_id, terminal.HasField("cache"))  # fmt: skip


def _dead(record: Delivered) -> DeadLetter:
    letter = records_pb2.DeadLetter.FromString(record.value or b"")
    key = _whose(letter.identity) if letter.HasField("identity") else ""
    return DeadLetter(record.timestamp_ms, key, letter.reason.code, letter.topic, letter.partition, letter.offset)


def _cache(record: Delivered) -> CacheRecord | None:
    entry = records_pb2.CacheEntry.FromString(record.value or b"")
    return CacheRecord(entry.tenant, mark_of(entry.answer.text)) if entry.tenant else None


def _whose(identity: request_pb2.Identity) -> str:
    return f"{identity.tenant}/{identity.id}"


def _of(request: request_pb2.Request) -> str:
    return f"{request.tenant}/{request.id}"


def _mark(request: request_pb2.Request) -> str:
    return mark_of(request.prompt or " ".join(message.text for message in request.messages))


# --- the journals ----------------------------------------------------------------------------------------------------


def asked_of(folder: Path) -> Mapping[str, Asked]:
    """Every request that was handed over, and whether it was accepted."""
    accepted = {_key(line) for line in _json(folder / "accepted.jsonl")}
    return {
        (key := _key(line)): Asked(key, line["mark"], line["door"], line["timeout_ms"], line["at_ms"], key in accepted)
        for line in _json(folder / "offered.jsonl")
    }


def calls_of(folder: Path, vendor: str) -> list[Call]:
    """What a vendor was asked."""
    began: dict[int, dict[str, Any]] = {}
    ended: dict[int, dict[str, Any]] = {}
    for line in _json(folder / f"calls-{vendor}.jsonl"):
        (began if "mark" in line else ended)[line["n"]] = line
    return [Call(vendor, line["mark"], line["at_ms"], ended.get(n, {}).get("ended_ms", 0), ended.get(n, {}).get("fault", ""))
            for n, line in began.items()]  # fmt: skip


def commits_of(folder: Path) -> list[Commit]:
    """Committed offsets, each when it was first seen."""
    found, last = [], dict[str, int]()
    for line in _json(folder / "commits.jsonl"):
        for where, offset in line["offsets"].items():
            if last.get(where) != offset:
                last[where] = offset
                topic, _, partition = where.rpartition("/")
                found.append(Commit(line["at_ms"], topic, int(partition), offset))
    return found


def spans_of(folder: Path) -> Mapping[str, Sequence[Span]]:
    """Trace -> its spans."""
    found: dict[str, list[Span]] = defaultdict(list)
    with (folder / "spans.txt").open() as file:
        for line in file:
            trace, span, parent, service, _ = line.rstrip("\n").split("\t")
            found[trace].append(Span(span, "" if parent == "-" else parent, service))
    return found


def _seen(line: dict[str, Any]) -> Seen:
    return Seen(_key(line), line["kind"], line["text"], line["at_ms"], line.get("cost", 0), line.get("trace", ""))


def _event(line: dict[str, Any]) -> Event:
    return Event(line["at_ms"], line["what"], line["victim"], line.get("point", ""))


def _calm(folder: Path) -> Calm:
    told = json.loads((folder / "calm.json").read_text())
    return Calm(told["last_fault_ms"], told["no_lag_ms"])


def _load(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "load.json").read_text())
    return found


def _key(line: Mapping[str, Any]) -> str:
    return f"{line['tenant']}/{line['id']}"


def _lines(path: Path, make: Callable[[dict[str, Any]], T]) -> Iterator[T]:
    return (make(line) for line in _json(path))


def _json(path: Path) -> Iterator[dict[str, Any]]:
    with path.open() as file:
        # A process that was killed may have left half a line, which is the last one.
        yield from (json.loads(line) for line in file if line.endswith("\n"))
