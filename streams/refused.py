"""What goes into the log in place of a record that no broker takes (larger than the broker's own limit)."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from streams.effects import Effects
from streams.memory import Memory
from trivium.codec import journey_from
from trivium.core.journey import advance
from trivium.core.outcome import Fault, FaultKind, Outcome
from trivium.core.slip import Call, End, Journey
from trivium.facts import FactSource, Policies
from trivium.kafka.record import Record
from trivium.kafka.topics import DEADLETTER, HEADER_SCHEMA
from trivium.v1 import journey_pb2, records_pb2

_LOG = logging.getLogger(__name__)

_KEPT_BYTES = 1_000


class Replacements:
    """Work and overdue outcomes become the end of their journey with the fault `too_large`, a terminal becomes a failure, a
    dead letter keeps its beginning. A ledger or cache record has no smaller form: it is logged and left out."""

    def __init__(
        self, effects: Effects, policies: Policies, facts: FactSource, memory_of: Callable[[int], Memory | None]
    ) -> None:
        self._effects = effects
        self._policies = policies
        self._facts = facts
        self._memory_of = memory_of

    def __call__(self, record: Record, error: BaseException) -> Sequence[Record]:
        """For the outbox."""
        size = len(record.value or b"")
        _LOG.warning("a record of %d bytes for %s is refused: %s", size, record.topic, type(error).__name__)
        schema = next((value for key, value in record.headers if key == HEADER_SCHEMA), b"")
        if schema in (b"trivium.v1.Work", b"trivium.v1.OutcomeRecord"):
            return self._ended(record, schema, size)
        if schema == b"trivium.v1.Terminal":
            return (self._effects.smaller_terminal(record, size),)
        if record.topic == DEADLETTER:
            letter = records_pb2.DeadLetter.FromString(record.value or b"")
            letter.value = letter.value[:_KEPT_BYTES]
            return (replace(record, value=letter.SerializeToString()),)
        return ()

    def _ended(self, record: Record, schema: bytes, size: int) -> Sequence[Record]:
        journey = _journey(record.value or b"", schema)
        end = self._end(journey, size)
        identity = journey.request.identity
        memory = self._memory_of(self._effects.home(identity))
        if memory is not None:
            memory.ended(identity, end.terminal.ended_ms)
        before, last = self._effects.end(end, journey.attempts[-1].number - 1, ())
        return (*before, *last)

    def _end(self, journey: Journey, size: int) -> End:
        """Every target that is left would be sent the same bytes, so the journey ends here."""
        policy = self._policies.current
        while True:
            opened = journey.attempts[-1]
            fault = Fault(FaultKind.TOO_LARGE, f"request and slip are {size} bytes")
            at_ms = opened.started_ms
            outcome = Outcome(
                journey.request.identity, opened.number, opened.target, fault, started_ms=at_ms, ended_ms=at_ms
            )
            step = advance(journey, outcome, policy, self._facts.later(at_ms))
            if isinstance(step, End):
                return step
            if not isinstance(step, Call):
                raise ValueError(f"{journey.request.identity}: no step after attempt {opened.number}")
            journey = step.journey


def _journey(value: bytes, schema: bytes) -> Journey:
    kind = journey_pb2.Work if schema == b"trivium.v1.Work" else journey_pb2.OutcomeRecord
    message = kind.FromString(value)
    return journey_from(message.request, message.slip)

