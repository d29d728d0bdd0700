"""One attempt that a worker has in hand."""

from collections.abc import Callable

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from trivium.budget.lease import UNBUDGETED, Refusal, Reservation, Waiting
from trivium.core.request import Priority
from trivium.core.slip import Work
from trivium.kafka import topics
from trivium.kafka.claim import Claim
from trivium.kafka.record import Record
from trivium.kafka.topics import Lane
from trivium.telemetry import names
from trivium.telemetry.tracing import Tracing, context_from_headers, headers_from_context, link_named
from trivium.tier import spans
from trivium.tier.caller import Caller
from trivium.tier.memory import AttemptKey
from trivium.tier.meter import now_ms
from trivium.tier.records import KAFKA, Headers, trace_of
from trivium.tier.slots import Ticket
from trivium.v1 import journey_pb2


class Job:
    """What is known of it on its way. Several claims when its record came more than once."""

    __slots__ = (
        "aside",
        "asked_ms",
        "begun",
        "begun_ms",
        "call",
        "claims",
        "execution",
        "key",
        "message",
        "money",
        "queued",
        "span",
        "spare",
        "start",
        "trace",
        "work",
    )

    def __init__(self, claim: Claim, key: AttemptKey, message: journey_pb2.Work, work: Work) -> None:
        self.claims = [claim]
        self.key = key
        self.message = message
        self.work = work
        self.trace: Headers = trace_of(claim.record.headers)
        self.span: Span = INVALID_SPAN
        self.asked_ms = now_ms()
        self.queued = False
        self.spare = claim.record.topic.endswith(Lane.SPARE.value)
        self.execution = 0
        """Which start of this attempt it is; 0 until `started` is written."""
        self.begun_ms = 0
        """When `started` was written."""
        self.begun = False
        """A start or an outcome of it was written, or is about to be."""
        self.money: Reservation | Refusal | Waiting | None = None
        """What the budgets say; None: they were not asked."""
        self.aside: Record | None = None
        """The dead letter that goes with its outcome."""
        self.start: Ticket | None = None
        """The right to write `started`, until the call is granted."""
        self.call: Ticket | None = None
        """The right to call."""

    @property
    def reserved(self) -> Reservation:
        """What it may cost; nothing where no budget holds."""
        return self.money if isinstance(self.money, Reservation) else UNBUDGETED

    @property
    def urgent(self) -> bool:
        return self.work.request.priority is Priority.INTERACTIVE

    @property
    def tenant(self) -> str:
        return self.work.request.identity.tenant

    def ticket(self, grant: Callable[[], None]) -> Ticket:
        """Its wish for a slot, or for the right to start."""
        task = self.work.task
        return Ticket(task.name, task.slots, self.spare, grant, self.urgent, self.tenant)

    @property
    def partition(self) -> int:
        return self.claims[0].record.partition

    @property
    def lost(self) -> bool:
        """Its partition went to another worker, which will do it."""
        return all(claim.lost for claim in self.claims)


def open_span(job: Job, tracing: Tracing, caller: Caller) -> None:
    """Its span goes on from the record that brought it."""
    if not tracing.enabled:
        return
    record = job.claims[0].record
    parent, before = context_from_headers(record.headers), record.header(topics.HEADER_FOLLOWS)
    span = job.span = tracing.tracer.start_span(names.SPAN_WORK, parent, SpanKind.CONSUMER)
    job.trace = headers_from_context(span)
    if not span.is_recording():
        return
    for link in link_named(before.decode("ascii", "replace")) if before else ():
        span.add_link(link.context)
    spans.describe(span, job.work, KAFKA, caller.capture_prompts)
    spans.describe_record(span, record, f"trivium-{caller.tier.value}")
