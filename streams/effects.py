"""What a decision puts into the log: records for every topic that the router writes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from trivium.codec import (
    BINARY,
    CONTENT_TYPES,
    dead_letter,
    decode_terminal,
    encode_terminal,
    event_headers,
    form_of,
    ledger_wire,
    outcome_record,
    stray_record,
    terminal_to,
    work_wire,
)
from trivium.core.outcome import Fault, FaultKind, Outcome, Reason, ReasonCode, Terminal, TerminalKind
from trivium.core.partition import PartitionPlan, home
from trivium.core.policy import Policy, Tier
from trivium.core.request import Identity
from trivium.core.slip import Call, ContentType, End, Journey
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import (
    CACHE,
    DEADLETTER,
    HEADER_CAUSE,
    HEADER_CONTENT_TYPE,
    HEADER_FORWARDED,
    HEADER_KIND,
    HEADER_REPLAY,
    HEADER_SCHEMA,
    LEDGER,
    OUTCOMES,
    PATIENT,
    REQUESTS,
    RESPONSES,
    Lane,
    batch_key,
    work,
)
from trivium.v1 import journey_pb2, outcome_pb2, records_pb2, request_pb2

Headers = tuple[tuple[str, bytes], ...]
Stages = Sequence[Sequence[Record]]

CANCELLED: Final = -1
"""The cause of a terminal that a cancel brought about; else it is the attempt whose outcome did, 0 the request."""

UNSIGNED: Final = -2
"""The cause of a terminal for a request that nobody signed: it ends nothing, and no identity is used up by it."""

MARGIN_BYTES: Final = 65_536
"""A work record leaves so much room below the largest record, that its outcome can carry request, slip and fault."""

_PROTOBUF: Final = (HEADER_CONTENT_TYPE, b"application/protobuf")
_LEDGER: Final = (_PROTOBUF, (HEADER_SCHEMA, b"trivium.v1.LedgerRecord"))
_DEAD: Final = (_PROTOBUF, (HEADER_SCHEMA, b"trivium.v1.DeadLetter"))
_ENTRY: Final = (_PROTOBUF, (HEADER_SCHEMA, b"trivium.v1.CacheEntry"))
_WORK: Final = (_PROTOBUF, (HEADER_SCHEMA, b"trivium.v1.Work"))
_OUTCOME: Final = (_PROTOBUF, (HEADER_SCHEMA, b"trivium.v1.OutcomeRecord"))

MakeEntry = Callable[[End], records_pb2.CacheEntry | None]
"""The cache entry of an end, or None when there is nothing to write."""


class TooLarge(Exception):
    """A work record that no broker would take; the journey goes on with the fault."""


@dataclass(frozen=True, slots=True)
class EffectOptions:
    """How records are made. `max_bytes`: the largest record that is produced."""

    partitions: int
    max_bytes: int


class Effects:
    """Makes records. Holds nothing but the partition plan of the policy that it saw last."""

    def __init__(self, options: EffectOptions, make_entry: MakeEntry) -> None:
        self._options = options
        self._make_entry = make_entry
        self._plan: tuple[Policy, PartitionPlan] | None = None
        self._last_home: tuple[Identity | None, int] = (None, 0)

    def home(self, identity: Identity) -> int:
        """The home partition of an identity."""
        # Asked two or three times in a row for the same identity.
        if self._last_home[0] != identity:
            self._last_home = (identity, home(identity.key, self._options.partitions))
        return self._last_home[1]

    def came_home(self, identity: Identity, partition: int) -> None:
        """This identity's home is known: saves hashing its key."""
        self._last_home = (identity, partition)

    def work(self, call: Call, request: request_pb2.Request, policy: Policy, trace: Headers) -> Record:
        """The work record of a call. Raises TooLarge."""
        target, identity = call.work.target, call.work.request.identity
        value = work_wire(call, request.SerializeToString())
        if len(value) > self._options.max_bytes - MARGIN_BYTES:
            raise TooLarge(f"request and slip are {len(value)} bytes; at most {self._options.max_bytes - MARGIN_BYTES}")
        if call.work.wait is not None:
            return _waiting(call, value, trace)
        topic = work(target.tier, _lane(call))
        partition = self._plan_of(policy).partition(call.journey.task.name, identity)
        return Record(topic, identity.key.encode(), value, _WORK + trace, partition)

    def end(self, end: End, cause: int, trace: Headers) -> Stages:
        """Ledger and cache entry first, then the terminal."""
        message = terminal_to(end.terminal)
        reply = self._reply(end, message, cause, trace)
        before = [self._ledger(end, message)]
        entry = self._make_entry(end) if end.write is not None else None
        if entry is not None:
            before.extend(self._fitting(_entry_record(entry)))
        return (before, (reply,))

    def _ledger(self, end: End, message: outcome_pb2.Terminal) -> Record:
        """What a terminal cost and why it went where it went. Takes the answer out of `message`."""
        tenant = end.terminal.identity.tenant.encode()
        return Record(LEDGER, tenant, ledger_wire(end, "kafka", message), _LEDGER)

    def _reply(self, end: End, message: outcome_pb2.Terminal, cause: int, trace: Headers) -> Record:
        """One that is too large is replaced by a failure that says so and keeps the cost."""
        as_is = end.content_type is ContentType.PROTOBUF
        value = message.SerializeToString() if as_is else encode_terminal(end.terminal, end.content_type)
        if len(value) <= self._options.max_bytes:
            return self._terminal(end.terminal, value, end, cause, trace)
        failed = too_large(end.terminal, len(value))
        return self._terminal(failed, encode_terminal(failed, end.content_type), end, cause, trace)

    def smaller_terminal(self, record: Record, size: int) -> Record:
        """The failure in place of a reply that the broker refused."""
        stated = dict(record.headers)
        form = form_of(record.value or b"", record.headers)
        terminal = too_large(decode_terminal(record.value or b"", stated[HEADER_CONTENT_TYPE].decode()), size)
        headers = tuple((k, b"failed" if k == HEADER_KIND else v) for k, v in record.headers)
        return replace(record, value=encode_terminal(terminal, form), headers=headers)

    def _terminal(self, terminal: Terminal, value: bytes, end: End, cause: int, trace: Headers) -> Record:
        identity = terminal.identity
        content_type = _PROTOBUF
        if end.content_type is not ContentType.PROTOBUF:
            content_type = (HEADER_CONTENT_TYPE, CONTENT_TYPES[end.content_type])
            if end.content_type in BINARY:
                trace = (*event_headers(terminal), *trace)
        headers = (
            content_type,
            (HEADER_SCHEMA, b"trivium.v1.Terminal"),
            (HEADER_REPLAY, b"%d" % identity.replay),
            (HEADER_KIND, terminal.kind.value.encode()),
            (HEADER_CAUSE, b"%d" % cause),
            *trace,
        )
        return Record(end.reply_topic or RESPONSES, identity.key.encode(), value, headers, self.home(identity))

    def overdue(self, carry: bytes, identity: Identity, attempt: int, target: str, now_ms: int, why: str) -> Record:
        """The outcome that the owner writes when nothing came back; goes into the home partition like any other."""
        sent = journey_pb2.Work.FromString(carry)
        fault = Fault(FaultKind.OVERDUE, why)
        outcome = Outcome(identity, attempt, target, fault, started_ms=_opened_ms(sent, now_ms), ended_ms=now_ms)
        value = outcome_record(sent, outcome).SerializeToString()
        root = sent.slip.traceparent
        trace = (("traceparent", root.encode()),) if root else ()
        return Record(OUTCOMES, identity.key.encode(), value, _OUTCOME + trace, self.home(identity))

    def stray(self, journey: Journey | None, outcome: Outcome) -> Record:
        """Money spent on an outcome that lost."""
        value = stray_record(journey, outcome).SerializeToString()
        return Record(LEDGER, outcome.identity.tenant.encode(), value, _LEDGER)

    def forward(self, found: Delivered, identity: Identity) -> Record:
        """The same record, at home."""
        headers = (*found.headers, (HEADER_FORWARDED, b"%d" % found.partition))
        return Record(REQUESTS, identity.key.encode(), found.value, headers, self.home(identity))

    def dead(self, found: Delivered, reason: Reason, identity: Identity | None) -> Record:
        """The record as it was, put aside; one that would not fit any more keeps its beginning."""
        value = found.value or b""
        room = self._options.max_bytes - MARGIN_BYTES
        if len(value) > room:
            reason = replace(reason, message=f"{reason.message} (only the first {room} of {len(value)} bytes are kept)")
        letter = dead_letter(
            reason, found.topic, found.partition, found.offset, found.key, value[:room],
            found.headers, found.timestamp_ms, identity,
        )  # fmt: skip
        key = letter.id.encode() if identity is None else identity.key.encode()
        return Record(DEADLETTER, key, letter.SerializeToString(), _DEAD)

    def _fitting(self, record: Record) -> tuple[Record, ...]:
        # An answer that is too large to be cached is simply not cached.
        return (record,) if len(record.value or b"") <= self._options.max_bytes else ()

    def _plan_of(self, policy: Policy) -> PartitionPlan:
        known = self._plan
        if known is None or known[0] is not policy:
            known = self._plan = (policy, PartitionPlan.of_policy(policy, self._options.partitions))
        return known[1]


def too_large(terminal: Terminal, size: int) -> Terminal:
    """The failure in place of an answer that no broker would take."""
    reason = Reason(ReasonCode.TOO_LARGE, f"the answer as a record is {size} bytes", "answer", "ask for less at once")
    return replace(
        terminal, kind=TerminalKind.FAILED, answer=None, reason=reason, tier="", target="", cache=None, refused_candidates=()
    )


def _entry_record(entry: records_pb2.CacheEntry) -> Record:
    # By scope, so that a scope's entries and what drops them stay in order.
    return Record(CACHE, f"{entry.scope}/{entry.id}".encode(), entry.SerializeToString(), _ENTRY)


def _waiting(call: Call, value: bytes, trace: Headers) -> Record:
    """Of batch work: by its own key, so that it can be taken out again."""
    work_of = call.work
    if work_of.target.tier not in PATIENT or (work_of.request.restricted and work_of.target.tier is Tier.CLOUD):
        raise PermissionError(f"work of {work_of.target.name} was about to be left for a batch")
    key = batch_key(work_of.request.identity, work_of.attempt)
    return Record(work(work_of.target.tier, Lane.BATCH), key, value, _WORK + trace, 0)


def _lane(call: Call) -> Lane:
    if call.work.request.restricted:
        if call.work.target.tier is Tier.CLOUD:
            raise PermissionError("a restricted request was about to be sent to the cloud")
        return Lane.RESTRICTED
    return Lane.SPARE if call.journey.spare else Lane.MAIN


def _opened_ms(sent: journey_pb2.Work, default: int) -> int:
    return next((a.started_ms for a in sent.slip.attempts if a.number == sent.attempt), default)
