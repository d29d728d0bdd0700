"""An outbox with the places of trivium/crash.py between its stages: in the place of the plain one in a process that was told."""

from collections.abc import Callable, Sequence
from typing import Any

from trivium.crash import Crash, Point
from trivium.kafka.outbox import OnRefused, Outbox, OutboxOptions, Sends
from trivium.kafka.record import Record
from trivium.kafka.topics import HEADER_KIND, LEDGER, OUTCOMES
from trivium.v1 import records_pb2


def outbox(crash: Crash | None, producer: Sends, on_refused: OnRefused, options: OutboxOptions) -> Outbox:
    """The outbox of a process."""
    if crash is None:
        return Outbox(producer, on_refused, options)
    return CrashingOutbox(crash, producer, on_refused, options)


class CrashingOutbox(Outbox):
    """Passes the place that follows each stage once the broker has it."""

    def __init__(self, crash: Crash, producer: Sends, on_refused: OnRefused, options: OutboxOptions) -> None:
        super().__init__(producer, on_refused, options)
        self._crash = crash

    def put(self, stages: Sequence[Sequence[Record]], done: Callable[[], Any]) -> None:
        """See Outbox."""
        super().put(stages, done)
        if stages and stages[0] and stages[0][0].topic.startswith("trivium.work."):
            self._crash.passed(Point.AFTER_ACCEPT)

    def _next_stage(self, parcel: Any) -> None:
        if parcel.left:
            point = _place(parcel.stages[parcel.left - 1], parcel.left < len(parcel.stages))
            if point is not None:
                self._crash.passed(point)
        super()._next_stage(parcel)


def _place(confirmed: Sequence[Record], more: bool) -> Point | None:
    """The place after these records, which are in the log; `more`: others follow them."""
    for record in confirmed:
        if record.topic == OUTCOMES:
            return Point.AFTER_OUTCOME
        if record.topic == LEDGER and more:
            return Point.AFTER_LEDGER
        if any(name == HEADER_KIND for name, _ in record.headers):
            return Point.AFTER_TERMINAL
        if record.topic.startswith("trivium.attempts.") and _starts(record):
            return Point.AFTER_STARTED
    return None


def _starts(record: Record) -> bool:
    return records_pb2.AttemptRecord.FromString(record.value or b"").state == "started"
