"""One attempt that a worker has in hand."""

from collections.abc import Callable

from opentelemetry.trace import INVALID_SPAN, Span

from trivium.core.request import Priority
from trivium.core.slip import Work
from trivium.kafka.claim import Claim
from trivium.kafka.record import Record
from trivium.kafka.topics import Lane
from trivium.tier.memory import AttemptKey
from trivium.tier.meter import now_ms
from trivium.tier.records import Headers, trace_of
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
        self.aside: Record | None = None
        """The dead letter that goes with its outcome."""
        self.start: Ticket | None = None
        """The right to write `started`, until the call is granted."""
        self.call: Ticket | None = None
        """The right to call."""

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
