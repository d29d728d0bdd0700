"""The records that a tier writes: outcomes, attempts as they start and settle, dead letters."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from trivium import codec
from trivium.budget.lease import UNBUDGETED, Reservation
from trivium.core.murmur2 import partition_of
from trivium.core.outcome import Fault, Outcome, Reason
from trivium.core.partition import home
from trivium.core.policy import Tier
from trivium.core.price import cost, split
from trivium.core.request import Identity
from trivium.core.slip import Work
from trivium.kafka import topics
from trivium.kafka.record import Delivered, Record
from trivium.tier.meter import too_large
from trivium.tier.paying import charged
from trivium.v1 import journey_pb2, records_pb2

Headers = tuple[tuple[str, bytes], ...]

STARTED: Final = "started"
SETTLED: Final = "settled"
KAFKA: Final = "kafka"
GRPC: Final = "grpc"
MAX_STARTS: Final = 3

_PROTOBUF: Final = (topics.HEADER_CONTENT_TYPE, b"application/protobuf")
_OUTCOME: Final = (_PROTOBUF, (topics.HEADER_SCHEMA, b"trivium.v1.OutcomeRecord"))
_ATTEMPT: Final = (_PROTOBUF, (topics.HEADER_SCHEMA, b"trivium.v1.AttemptRecord"))
_DEAD: Final = (_PROTOBUF, (topics.HEADER_SCHEMA, b"trivium.v1.DeadLetter"))
_TRACE: Final = (topics.HEADER_TRACEPARENT, topics.HEADER_TRACESTATE)
_ENVELOPE_BYTES: Final = 2_048
_KEPT_OF_DEAD: Final = 65_536


@dataclass(frozen=True, slots=True)
class Writer:
    """Makes the records of one instance. `max_bytes`: the largest record that the broker takes."""

    tier: Tier
    instance: str
    partitions: int
    max_bytes: int

    def outcome(self, message: journey_pb2.Work, outcome: Outcome, trace: Headers) -> Record:
        """For the request's home partition; one that does not fit becomes the fault too_large with its cost."""
        value = codec.outcome_record(message, outcome).SerializeToString()
        if len(value) + _ENVELOPE_BYTES > self.max_bytes:
            value = codec.outcome_record(message, too_large(outcome, len(value))).SerializeToString()
        key = outcome.identity.key
        return Record(topics.OUTCOMES, key.encode(), value, trace + _OUTCOME, home(key, self.partitions))

    def started(
        self,
        work: Work,
        execution: int,
        partition: int,
        door: str,
        at_ms: int,
        trace: Headers,
        reserved: Reservation = UNBUDGETED,
    ) -> Record:
        """Before the call."""
        request = work.request
        message = records_pb2.AttemptRecord(
            state=STARTED,
            identity=codec.identity_to(request.identity),
            attempt=work.attempt,
            execution=execution,
            target=work.target.name,
            instance=self.instance,
            at_ms=at_ms,
            team=request.team,
            application=request.application,
            use_case=request.use_case,
            end_user=request.end_user,
            user_tier=request.user_tier,
            task_type=work.task.name,
            door=door,
            begun_ms=at_ms,
            part_of=work.part_of,
            model=work.target.model,
            reserved_micro_dollars=reserved.worst,
            holder=reserved.holder,
            budgets=reserved.budgets,
            batch=work.wait is not None,
        )
        return self._attempt(request.identity, message, partition, trace)

    def settled(
        self,
        work: Work,
        outcome: Outcome,
        execution: int,
        partition: int,
        door: str,
        begun_ms: int,
        trace: Headers,
        reserved: Reservation = UNBUDGETED,
    ) -> Record:
        """After the outcome is in the log (Kafka) or on its way (gRPC). `begun_ms`: at_ms of its start; 0 without one."""
        request = work.request
        costs = split(work.target, outcome.usage, outcome.cost_micro_dollars)
        message = records_pb2.AttemptRecord(
            state=SETTLED,
            identity=codec.identity_to(request.identity),
            attempt=work.attempt,
            execution=execution,
            target=work.target.name,
            instance=self.instance,
            at_ms=outcome.ended_ms,
            usage=codec.usage_to(outcome.usage),
            cost_micro_dollars=outcome.cost_micro_dollars,
            fault=outcome.result.kind.value if isinstance(outcome.result, Fault) else "",
            team=request.team,
            application=request.application,
            use_case=request.use_case,
            end_user=request.end_user,
            user_tier=request.user_tier,
            task_type=work.task.name,
            door=door,
            begun_ms=begun_ms,
            part_of=work.part_of,
            model=work.target.model,
            batch=work.wait is not None,
            saved_micro_dollars=saved(work, outcome),
            costs=records_pb2.CostSplit(
                input=costs.input,
                context=costs.context,
                output=costs.output,
                embedding=costs.embedding,
                vector_store=costs.vector_store,
                request=costs.request,
                parts=costs.parts,
            ),
            reserved_micro_dollars=reserved.worst,
            holder=reserved.holder,
            budgets=reserved.budgets,
            charged_micro_dollars=charged(work, outcome, reserved.worst) if reserved.worst else None,
        )
        return self._attempt(request.identity, message, partition, trace)

    def dead_letter(self, record: Delivered, reason: Reason, at_ms: int, identity: Identity | None = None) -> Record:
        """A work record that is put aside; one that is too large keeps its beginning."""
        message = codec.dead_letter(
            reason,
            record.topic,
            record.partition,
            record.offset,
            record.key,
            record.value,
            record.headers,
            at_ms,
            identity,
        )
        if message.ByteSize() + _ENVELOPE_BYTES > self.max_bytes:
            message.value = message.value[:_KEPT_OF_DEAD]
        key = record.key or message.id.encode()
        return Record(topics.DEADLETTER, key, message.SerializeToString(), trace_of(record.headers) + _DEAD)

    def own_partition(self, identity: Identity) -> int:
        """Of the attempts topic, for calls that came by gRPC and so have no work record: murmur2 of the identity."""
        return partition_of(identity.key.encode(), self.partitions)

    def _attempt(
        self, identity: Identity, message: records_pb2.AttemptRecord, partition: int, trace: Headers
    ) -> Record:
        topic = topics.attempts(self.tier)
        return Record(topic, identity.key.encode(), message.SerializeToString(), trace + _ATTEMPT, partition)


def saved(work: Work, outcome: Outcome) -> int:
    """What a normal call of the same tokens costs more than it did as batch work, micro-dollars."""
    if work.wait is None or not outcome.cost_micro_dollars:
        return 0
    return cost(work.wait.full, outcome.usage) - outcome.cost_micro_dollars


def trace_of(headers: Iterable[tuple[str, bytes]]) -> Headers:
    """The trace headers alone."""
    return tuple(header for header in headers if header[0] in _TRACE)


def on_refused(record: Record, _error: BaseException) -> Sequence[Record]:
    """What goes in place of a record that the broker will never take: a smaller one that says why."""
    if record.topic == topics.OUTCOMES:
        return _smaller_outcome(record)
    if record.topic == topics.DEADLETTER:
        return _smaller_dead_letter(record)
    return ()


def _smaller_outcome(record: Record) -> Sequence[Record]:
    value = record.value or b""
    message = journey_pb2.OutcomeRecord.FromString(value)
    if message.outcome.WhichOneof("result") == "fault":
        # Request and slip alone are too large: the router's timer ends the attempt.
        return ()
    outcome = too_large(codec.outcome_from(message.outcome), len(value))
    work = journey_pb2.Work(request=message.request, slip=message.slip)
    smaller = codec.outcome_record(work, outcome).SerializeToString()
    return (Record(record.topic, record.key, smaller, record.headers, record.partition),)


def _smaller_dead_letter(record: Record) -> Sequence[Record]:
    message = records_pb2.DeadLetter.FromString(record.value or b"")
    message.value = b""
    return (Record(record.topic, record.key, message.SerializeToString(), record.headers, record.partition),)
