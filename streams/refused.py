"""What goes into the log in place of a record that no broker takes (larger than the broker's own limit)."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from streams.effects import Effects
from streams.inbox import read_request
from streams.memory import Memory
from trivium.codec import journey_from
from trivium.core.journey import advance, refuse
from trivium.core.outcome import Fault, FaultKind, Outcome, Reason, ReasonCode
from trivium.core.request import Request
from trivium.core.slip import Arrival, Call, End, Journey
from trivium.facts import FactSource, Policies
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import DEADLETTER, HEADER_FORWARDED, HEADER_SCHEMA, REQUESTS
from trivium.v1 import journey_pb2, records_pb2

_LOG = logging.getLogger(__name__)

_KEPT_BYTES = 1_000


class Replacements:
    """Work and overdue outcomes become the end of their journey with the fault `too_large`, a terminal becomes a failure, a
    request on its way home is refused, a dead letter keeps its beginning. A ledger or cache record has no smaller form: it is logged and left out."""

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
        if record.topic == REQUESTS:
            return self._too_far(record, size)
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

    def _too_far(self, record: Record, size: int) -> Sequence[Record]:
        """A request that is to be sent home and that the broker took from its caller, but with a larger limit than ours."""
        at_ms = time.time_ns() // 1_000_000
        number = dict(record.headers).get(HEADER_FORWARDED, b"0")
        found = Delivered(REQUESTS, int(number), -1, at_ms, record.key, record.value, record.headers)
        came = read_request(found)
        reason = Reason(ReasonCode.TOO_LARGE, f"a record of {size} bytes, away from its home partition", "messages", "send less")
        asked = Request(came.identity, (), reply_to="" if came.message is None else came.message.reply_to)
        end = refuse(asked, reason, self._policies.current, at_ms, Arrival(came.content_type))
        before, last = self._effects.end(end, 0, ())
        return (self._effects.dead(found, reason, came.identity), *before, *last)

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

