"""The records of batch work: outcomes and executions as a tier writes them, what is done with an entry, and the batches' own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from opentelemetry.trace import Span, SpanKind

from services.batch.book import PART, Batch, Item
from trivium.core.outcome import Fault, FaultKind, Outcome, Reason
from trivium.core.slip import Work
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import BATCHES, HEADER_CONTENT_TYPE, HEADER_SCHEMA, PULLED
from trivium.telemetry import names
from trivium.telemetry.tracing import Tracing, context_from_headers, headers_from_context
from trivium.tier import spans
from trivium.tier.records import KAFKA, Headers, Writer, trace_of
from trivium.v1 import journey_pb2, records_pb2

_PROTOBUF: Final = (HEADER_CONTENT_TYPE, b"application/protobuf")
_BATCH: Final = (_PROTOBUF, (HEADER_SCHEMA, b"trivium.v1.BatchRecord"))
_EXECUTION: Final = 1
"""An attempt is in one batch at most, and called once by it."""
IN_A_PART: Final = 1_000
"""Entries that one record of a batch names."""


@dataclass(frozen=True, slots=True)
class Pen:
    """Makes the records. `lane`: the topic of the entries."""

    writer: Writer
    lane: str
    tracing: Tracing

    # --- entries -----------------------------------------------------------------------------------------------------

    def emptied(self, *entries: bytes) -> list[Record]:
        """Nothing is to come of these entries."""
        return [Record(self.lane, entry, None, (), 0) for entry in entries]

    def closed(self, item: Item) -> list[Record]:
        """An item is done."""
        return self.emptied(item.key, PULLED + item.key) if item.pulled else self.emptied(item.key)

    def set_aside(self, item: Item) -> list[Record]:
        """An item that was pulled out of a batch is kept for its bill."""
        return [Record(self.lane, PULLED + item.key, item.value, item.headers, 0)]

    def dead(self, record: Delivered, reason: Reason, now_ms: int) -> list[list[Record]]:
        """An entry that cannot be read. Stages."""
        return [[self.writer.dead_letter(record, reason, now_ms)], self.emptied(record.key or b"")]

    # --- attempts ----------------------------------------------------------------------------------------------------

    def outcome(self, item: Item, message: journey_pb2.Work, work: Work, outcome: Outcome, begun_ms: int) -> Record:
        """With the span of its time here, from `begun_ms` on."""
        span = self._span(item, work, begun_ms or item.came_ms)
        trace: Headers = trace_of(item.headers)
        if span is not None:
            spans.note_outcome(span, work, outcome, False)
            trace = headers_from_context(span)
            span.end()
        return self.writer.outcome(message, outcome, trace)

    def started(self, item: Item, work: Work, batch: Batch) -> Record:
        """Before its batch is submitted."""
        writer = replace(self.writer, instance=batch.instance)
        partition = writer.own_partition(work.request.identity)
        return writer.started(work, _EXECUTION, partition, KAFKA, batch.begun_ms, trace_of(item.headers), item.reserved)

    def settled(self, item: Item, work: Work, outcome: Outcome, batch: Batch) -> Record:
        """After its outcome is in the log. Names the execution that was started, whoever did that."""
        writer = replace(self.writer, instance=batch.instance)
        partition = writer.own_partition(work.request.identity)
        trace = trace_of(item.headers)
        return writer.settled(work, outcome, _EXECUTION, partition, KAFKA, batch.begun_ms, trace, item.reserved)

    def _span(self, item: Item, work: Work, since_ms: int) -> Span | None:
        if not self.tracing.enabled:
            return None
        parent = context_from_headers(item.headers)
        span = self.tracing.tracer.start_span(names.SPAN_BATCH, parent, SpanKind.CONSUMER, start_time=since_ms * 1_000_000)
        spans.describe(span, work, KAFKA, False)
        if item.batch:
            span.set_attribute(names.BATCH, item.batch)
        return span

    # --- batches -----------------------------------------------------------------------------------------------------

    def parts(self, batch: Batch, keys: Sequence[bytes]) -> list[Record]:
        """Which entries are in it."""
        return [
            self._of(batch, PART, number=at // IN_A_PART + 1, items=keys[at : at + IN_A_PART])
            for at in range(0, len(keys), IN_A_PART)
        ]

    def header(self, batch: Batch, now_ms: int) -> Record:
        """How far it is."""
        return self._of(batch, batch.state, now_ms=now_ms)

    def forgotten(self, batch: Batch) -> list[list[Record]]:
        """Nothing is to come of a batch. Stages: what says that it was submitted goes last, so that it never looks new."""
        own = batch.key.encode()
        parts = sorted(batch.parts - {own})
        return [[Record(BATCHES, part, None, (), 0) for part in parts], [Record(BATCHES, own, None, (), 0)]]

    def _of(self, batch: Batch, state: str, now_ms: int = 0, number: int = 0, items: Iterable[bytes] = ()) -> Record:
        message = records_pb2.BatchRecord(
            key=batch.key, state=state, vendor_id=batch.vendor_id, begun_ms=batch.begun_ms, instance=batch.instance,
            requests=batch.requests, at_ms=now_ms, items=[item.decode("utf-8", "surrogatepass") for item in items],
        )  # fmt: skip
        key = f"{batch.key}/{number}" if number else batch.key
        return Record(BATCHES, key.encode(), message.SerializeToString(), _BATCH, 0)


def faulted(work: Work, kind: FaultKind, message: str, begun_ms: int, now_ms: int) -> Outcome:
    """An attempt that ended without an answer, as far as is known for nothing."""
    identity = work.request.identity
    fault = Fault(kind, message, unbilled=True)
    return Outcome(identity, work.attempt, work.target.name, fault, started_ms=begun_ms or now_ms, ended_ms=now_ms)
