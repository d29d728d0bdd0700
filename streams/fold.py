"""The memory of a home partition, folded again from its own log. Pure: it is given the records.

Replies come first, then the committed requests, then the committed outcomes, each in the order of its offsets:

    fold = Fold(memory, partition, home)
    fold.reply(...)     what ended, and by which cause
    fold.request(...)   committed ones only
    fold.outcome(...)   committed ones only
    fold.resolve(policy)

A reply ends an identity only when its cause is committed: when it is among the committed records, or when the reply is older than
the last committed record where its cause stands, for then the cause lies before what is read again. What has not ended was called: the call is
recomputed with neutral facts, to know the deadline and what to go on with. The real call may have been another one
(another target, by the facts of then); its outcome carries its own slip, so only an overdue attempt goes on from here.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from streams.effects import CANCELLED
from streams.inbox import is_forwarded, read_outcome, read_request
from streams.memory import Arrived, CameBack, Memory
from trivium.codec import call_to_work, decode_terminal, journey_from, outcome_from, request_from
from trivium.core.detect import Look, examined, nothing_found
from trivium.core.errors import BadRequest
from trivium.core.journey import advance, begin
from trivium.core.outcome import Attempt, Verdict
from trivium.core.policy import Policy
from trivium.core.request import Identity, Request
from trivium.core.slip import Arrival, Call, End, Facts, Journey, Step, Work
from trivium.core.walk import RETRY
from trivium.kafka.record import Delivered
from trivium.kafka.signature import Signatures
from trivium.kafka.topics import (
    HEADER_CAUSE,
    HEADER_CONTENT_TYPE,
    HEADER_REPLAY,
    HEADER_TRACEPARENT,
    HEADER_WAITS,
    OUTCOMES,
    REQUESTS,
)
from trivium.v1 import request_pb2


class Fold:
    """Fills one memory."""

    def __init__(
        self, memory: Memory, partition: int, home: Callable[[Identity], int], signatures: Signatures | None = None
    ) -> None:
        self._signatures = signatures
        self.memory = memory
        self._partition = partition
        self._home = home
        self._causes: dict[Identity, dict[int, int]] = {}
        self._committed_ms = {REQUESTS: 0, OUTCOMES: 0}
        self._last: dict[Identity, Delivered] = {}

    def reply(self, record: Delivered) -> None:
        """A terminal was seen. Its cause may not be committed: then it means nothing."""
        cause = record.header(HEADER_CAUSE)
        if cause is None:
            return
        try:
            self._causes.setdefault(_whose(record), {})[int(cause)] = record.timestamp_ms
        except (ValueError, BadRequest):
            return  # No router wrote it.

    def request(self, record: Delivered) -> None:
        """A committed record of trivium.requests."""
        self._committed_ms[REQUESTS] = record.timestamp_ms
        try:
            came = read_request(record)
        except BadRequest:
            return
        if self._home(came.identity) != self._partition and not is_forwarded(record):
            return
        if self._signatures is not None and self._signatures.wrong(record, came.identity) is not None:
            return
        if self.memory.request(came.identity, came.body_hash, record.timestamp_ms) is Arrived.NEW:
            self._settle(came.identity, 0, record)

    def outcome(self, record: Delivered) -> None:
        """A committed record of trivium.outcomes."""
        self._committed_ms[OUTCOMES] = record.timestamp_ms
        try:
            came = read_outcome(record)
        except BadRequest:
            return
        if came.cancel:
            self.memory.cancel(came.identity, record.timestamp_ms)
            if self._replied(came.identity, CANCELLED, record):
                self._end(came.identity, record.timestamp_ms)
            return
        seen = self.memory.outcome(
            came.identity, came.attempt, came.body_hash, came.deadline_ms, record.timestamp_ms
        )
        if seen is CameBack.FIRST:
            self._settle(came.identity, came.attempt, record)

    def resolve(self, policy: Policy, look: Look = nothing_found) -> int:
        """Recompute the calls of what has not ended; returns how many are pending."""
        for identity in self.memory.unresolved():
            if (ended_ms := self._ended_before(identity)) is not None:
                self._end(identity, ended_ms)
                continue
            call = recomputed(self._last[identity], policy, look)
            if call is None:
                # It was decided and yet cannot be read now: its outcome, if one comes, carries its own slip.
                self.memory.forget(identity)
                continue
            work, message = call
            value = call_to_work(work, message).SerializeToString()
            call_of, patient = work.work, work.work.wait is not None
            self.memory.opened(identity, call_of.attempt, call_of.deadline_ms, call_of.target.name, value, patient=patient)
        self._causes.clear()
        self._last.clear()
        return self.memory.pending

    def _replied(self, identity: Identity, cause: int, record: Delivered) -> bool:
        """Whether this record led to a terminal: one that is older was another's effect."""
        return self._causes.get(identity, {}).get(cause, -1) >= record.timestamp_ms

    def _ended_before(self, identity: Identity) -> int | None:
        """When it ended, if that was by a cause from before the window; what came of it since is late. An end that the live memory had
        forgotten when this came is none."""
        for cause, replied_ms in self._causes.get(identity, {}).items():
            topic = REQUESTS if cause == 0 else OUTCOMES
            known = replied_ms >= self._last[identity].timestamp_ms - self.memory.window_ms
            if known and cause >= CANCELLED and replied_ms < self._committed_ms[topic]:
                return replied_ms
        return None

    def _settle(self, identity: Identity, cause: int, record: Delivered) -> None:
        if self._replied(identity, cause, record):
            self._end(identity, record.timestamp_ms)
        else:
            self._last[identity] = record

    def _end(self, identity: Identity, ts_ms: int) -> None:
        self.memory.ended(identity, ts_ms)
        self._last.pop(identity, None)


def recomputed(
    record: Delivered, policy: Policy, look: Look = nothing_found
) -> tuple[Call, request_pb2.Request] | None:
    """The call that this committed record led to, with neutral facts; None when the record cannot be read. It is examined again:
    what was restricted stays so."""
    try:
        return _after_outcome(record, policy) if record.topic == OUTCOMES else _after_request(record, policy, look)
    except Exception:
        # Live, a record that cannot be handled was put aside and its request ended, whatever the error was.
        return None


def _after_request(record: Delivered, policy: Policy, look: Look) -> tuple[Call, request_pb2.Request] | None:
    came = read_request(record)
    if came.message is None:
        return None
    request, found = examined(request_from(came.message), policy, look)
    if found:
        came.message.sensitivity = request.sensitivity.value
    traceparent = (record.header(HEADER_TRACEPARENT) or b"").decode("ascii", "replace")
    may_wait = record.header(HEADER_WAITS) is None
    arrival = Arrival(came.content_type, came.body_hash, traceparent, detected=found, may_wait=may_wait)
    step = begin(request, policy, Facts(now_ms=record.timestamp_ms), arrival)
    return _as_call(step, _standing(request, step, policy, arrival, record.timestamp_ms)), came.message


def _after_outcome(record: Delivered, policy: Policy) -> tuple[Call, request_pb2.Request] | None:
    came = read_outcome(record)
    journey = journey_from(came.message.request, came.message.slip)
    outcome = outcome_from(came.message.outcome)
    # With a whole token: had there been none for a last try, it would have ended, and nothing would be recomputed.
    step = advance(journey, outcome, policy, Facts(now_ms=record.timestamp_ms, retry_tokens=RETRY))
    if step is None:
        return None
    return _as_call(step, journey), came.message.request


def _as_call(step: Step, journey: Journey) -> Call:
    """The step, or when the policy of now would end here although the one of then called: one more attempt at the last
    leg, open until the request's own deadline, so that the request is timed out and goes on from there. What was spent stays."""
    match step:
        case Call():
            return step
        case End():
            made = tuple(map(_went_on, step.terminal.attempts))
            number = len(made) + 1
            target = journey.route[-1].target
            opened = Attempt(number, target.name, step.terminal.ended_ms, journey.deadline_ms)
            standing = replace(journey, position=len(journey.route) - 1, attempts=(*made, opened))
            return Call(standing, Work(journey.request, number, target, journey.task, journey.deadline_ms))
        case unreachable:
            assert_never(unreachable)


def _went_on(attempt: Attempt) -> Attempt:
    return replace(attempt, verdict=Verdict.FELL_BACK) if attempt.verdict is Verdict.FAILED else attempt


def _standing(request: Request, step: Step, policy: Policy, arrival: Arrival, now_ms: int) -> Journey:
    """The journey of the step, or one that only waits, along the default route, until the longest attempt is over."""
    if isinstance(step, Call):
        return step.journey
    return Journey(
        request=request,
        task=policy.novel_spec,
        route=policy.default_route,
        decision=step.decision,
        arrived_ms=now_ms,
        deadline_ms=now_ms + policy.attempt_cap_ms,
        reply_topic=step.reply_topic,
        content_type=arrival.content_type,
        body_hash=arrival.body_hash,
        traceparent=arrival.traceparent,
    )


def _whose(record: Delivered) -> Identity:
    key = (record.key or b"").decode("utf-8", "replace")
    tenant, _, name = key.partition("/")
    if "/" in name:
        # A tenant's name or an id with a slash: only the terminal itself says where one ends and the other begins.
        content_type = (record.header(HEADER_CONTENT_TYPE) or b"").decode("ascii", "replace")
        return decode_terminal(record.value or b"", content_type).identity
    return Identity(tenant, name, int(record.header(HEADER_REPLAY) or b"0"))

