"""The router: one record in, one decision, staged effects out. Never waits for a model, never raises.

    request -> at home? -> known? -> begin   -> call: work record | end: ledger, terminal
    outcome -> first?            -> advance -> the same

The record is acknowledged (`done`) when the outbox has the effects in the log.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from streams.effects import CANCELLED, UNSIGNED, Effects, TooLarge
from streams.inbox import OutcomeIn, RequestIn, is_forwarded, read_outcome, read_request
from streams.memory import Arrived, CameBack, Memory
from streams.spans import NO_MARK, Marked, identify, marked
from trivium.codec import journey_from, outcome_from, request_from
from trivium.core.admit import reply_topic_of
from trivium.core.errors import BadRequest
from trivium.core.journey import advance, begin, cancel, refuse
from trivium.core.outcome import Fault, FaultKind, Outcome, Reason, ReasonCode, TerminalKind
from trivium.core.policy import Policy
from trivium.core.request import Identity, Request
from trivium.core.slip import Arrival, Call, ContentType, End, Journey, Step
from trivium.core.walk import RETRY
from trivium.facts import FactSource, Policies, RetryBudget
from trivium.kafka.outbox import Outbox
from trivium.kafka.record import Delivered, Record
from trivium.kafka.signature import Signatures
from trivium.kafka.topics import HEADER_WAITS, REPLIES_PREFIX, REQUESTS, RESPONSES
from trivium.telemetry.metrics import Metrics
from trivium.telemetry.names import SPAN_OUTCOME, SPAN_ROUTE
from trivium.telemetry.tracing import Tracing
from trivium.v1 import journey_pb2, request_pb2

_LOG = logging.getLogger(__name__)

Done = Callable[[], None]
"""Acknowledges the record: its effects are in the log."""


@dataclass(frozen=True, slots=True)
class RouterPorts:
    """What the router stands on."""

    policies: Policies
    facts: FactSource
    effects: Effects
    outbox: Outbox
    metrics: Metrics
    tracing: Tracing
    retries: RetryBudget = field(default_factory=RetryBudget)
    signatures: Signatures | None = None
    """Asked about every request; None: no tenant signs."""


@dataclass(slots=True)
class _Event:
    """One record being handled. `cause`: what a terminal will name as its cause."""

    record: Delivered
    memory: Memory
    policy: Policy
    done: Done
    mark: Marked = NO_MARK
    identity: Identity | None = None
    content_type: ContentType = ContentType.PROTOBUF
    reply_topic: str = ""
    cause: int = 0

    @property
    def now_ms(self) -> int:
        """The broker's time of the record: the only clock of a decision."""
        return self.record.timestamp_ms


class Router:
    """Decides. `memories` holds the home partitions that this worker owns, rebuilt before their records come."""

    def __init__(self, ports: RouterPorts) -> None:
        self._ports = ports
        self.memories: dict[int, Memory] = {}

    def take(self, record: Delivered, done: Done) -> None:
        """Handle one record of requests or outcomes.

        One of a partition that this worker does not own is left alone: its owner will get it.
        """
        memory = self.memories.get(record.partition)
        if memory is None:
            return
        event = _Event(record, memory, self._ports.policies.current, done)
        try:
            if record.topic == REQUESTS:
                self._request(event)
            else:
                self._outcome(event)
        except Exception as error:
            _LOG.exception("%s-%d offset %d", record.topic, record.partition, record.offset)
            event.mark.failed(error)
            self._give_up_at_last(event, error)
        finally:
            event.mark.close()

    # --- requests --------------------------------------------------------------------------------------------------

    def _request(self, event: _Event) -> None:
        event.mark = marked(self._ports.tracing, event.record, SPAN_ROUTE)
        try:
            arrived = read_request(event.record)
        except BadRequest as bad:
            self._put_aside(event, bad.reason)
            return
        event.content_type = arrived.content_type
        identify(event.mark, arrived.identity)
        effects = self._ports.effects
        if effects.home(arrived.identity) != event.record.partition and not is_forwarded(event.record):
            self._ports.outbox.put(((effects.forward(event.record, arrived.identity),),), event.done)
            return
        if self._ports.signatures is not None and self._forged(event, arrived.identity, self._ports.signatures):
            return
        match event.memory.request(arrived.identity, arrived.body_hash, event.now_ms):
            case Arrived.NEW:
                event.identity = arrived.identity
                self._new_request(event, arrived)
            case Arrived.DUPLICATE:
                self._ports.metrics.duplicate()
                event.done()
            case Arrived.REUSED:
                self._put_aside(event, _reused(arrived.identity), arrived.identity)

    def _forged(self, event: _Event, identity: Identity, signatures: Signatures) -> bool:
        """A request that its tenant did not sign is put aside. It takes no identity from its owner: the memory does not learn of it,
        and only an identity that nobody used is told."""
        reason = signatures.wrong(event.record, identity)
        if reason is None:
            return False
        signatures.refused(reason, identity)
        if event.memory.find(identity) is not None or event.memory.has_ended(identity):
            self._put_aside(event, reason, identity)
            return True
        ports, end = self._ports, self._unread(event, identity, TerminalKind.FAILED, reason)
        before, last = ports.effects.end(end, UNSIGNED, event.mark.ended(end.terminal, end.reply_topic))
        ports.metrics.deadletter(reason.code)
        ports.metrics.terminal(end.terminal, "kafka", end.request, event.policy.shown)
        ports.outbox.put(((ports.effects.dead(event.record, reason, identity), *before), last), event.done)
        return True

    def _new_request(self, event: _Event, arrived: RequestIn) -> None:
        message, wrong = arrived.message, arrived.wrong
        if message is not None:
            event.reply_topic = message.reply_to
            try:
                request = request_from(message)
            except BadRequest as bad:
                wrong = bad.reason
        if message is None or wrong is not None:
            self._refuse(event, arrived.identity, wrong or Reason(ReasonCode.WRONG_SHAPE, "no body", "value"))
            return
        request, found = self._ports.facts.examined(request)
        if found:
            # What travels on must say it too: to the tiers, and to whoever takes this journey over.
            message.sensitivity = request.sensitivity.value
        facts = self._ports.facts.at(event.now_ms, arrived.identity.tenant)
        may_wait = event.record.header(HEADER_WAITS) is None
        arrival = Arrival(arrived.content_type, arrived.body_hash, event.mark.root, detected=found, may_wait=may_wait)
        step = begin(request, event.policy, facts, arrival)
        if isinstance(step, Call) and event.memory.was_cancelled(arrived.identity):
            step = cancel(step.journey, facts)
        self._carry_out(event, step, message)

    def _refuse(self, event: _Event, identity: Identity, reason: Reason) -> None:
        """Bad input of somebody who can be told: a dead letter and a refused terminal."""
        end = self._unread(event, identity, TerminalKind.REFUSED, reason)
        letter = self._ports.effects.dead(event.record, reason, identity)
        self._ports.metrics.deadletter(reason.code)
        self._end(event, end, letter)

    # --- outcomes --------------------------------------------------------------------------------------------------

    def _outcome(self, event: _Event) -> None:
        try:
            came = read_outcome(event.record)
        except BadRequest as bad:
            self._put_aside(event, bad.reason)
            return
        root = came.message.slip.traceparent
        event.mark = marked(self._ports.tracing, event.record, SPAN_OUTCOME, root)
        identify(event.mark, came.identity, root)
        if came.cancel:
            self._cancel(event, came.identity)
            return
        seen = event.memory.outcome(came.identity, came.attempt, came.body_hash, came.deadline_ms, event.now_ms)
        match seen:
            case CameBack.FIRST:
                event.identity, event.cause = came.identity, came.attempt
                event.reply_topic = came.message.slip.reply_topic
                self._first_outcome(event, came)
            case CameBack.STRAY:
                self._stray(event, came)

    def _first_outcome(self, event: _Event, came: OutcomeIn) -> None:
        journey = event.memory.sent(came.identity, came.attempt)
        if journey is None or journey.attempts[-1].target != came.message.outcome.target:
            # After a fold, or work that an earlier owner sent for the same attempt: its own slip counts.
            journey = _answerable(journey_from(came.message.request, came.message.slip), event.policy)
        else:
            # Its request was decided in this partition.
            self._ports.effects.came_home(came.identity, event.record.partition)
        event.content_type = journey.content_type
        outcome = outcome_from(came.message.outcome)
        facts, retries = self._ports.facts.later(event.now_ms), self._ports.retries
        if isinstance(outcome.result, Fault):
            facts = replace(facts, retry_tokens=retries.tokens)
        step = advance(journey, outcome, event.policy, facts)
        if step is None:
            raise ValueError(f"{came.identity}: the slip does not wait for attempt {came.attempt} of {outcome.target}")
        if isinstance(step, End):
            retries.add(max(0.0, journey.retry_tokens))
        elif step.journey.retry_tokens < journey.retry_tokens:
            retries.add(journey.retry_tokens - RETRY)
        self._carry_out(event, step, came.message.request)

    def _stray(self, event: _Event, came: OutcomeIn) -> None:
        self._ports.metrics.stray()
        if not came.message.outcome.cost_micro_dollars:
            event.done()
            return
        journey = journey_from(came.message.request, came.message.slip)
        record = self._ports.effects.stray(journey, outcome_from(came.message.outcome))
        self._ports.outbox.put(((record,),), event.done)

    def _cancel(self, event: _Event, identity: Identity) -> None:
        entry = event.memory.cancel(identity, event.now_ms)
        if entry is None:
            event.done()
            return
        sent = journey_pb2.Work.FromString(entry.carry)
        journey = journey_from(sent.request, sent.slip)
        event.identity, event.cause = identity, CANCELLED
        event.reply_topic, event.content_type = journey.reply_topic, journey.content_type
        self._end(event, cancel(journey, self._ports.facts.later(event.now_ms)))

    # --- effects ---------------------------------------------------------------------------------------------------

    def _carry_out(self, event: _Event, step: Step, request: request_pb2.Request) -> None:
        ports = self._ports
        while isinstance(step, Call):
            headers = event.mark.called(step)
            work, identity = step.work, step.work.request.identity
            try:
                record = ports.effects.work(step, request, event.policy, headers)
            except TooLarge as error:
                step = self._without(step, error, event)
                continue
            carry = record.value or b""
            patient = work.wait is not None
            event.memory.opened(identity, work.attempt, work.deadline_ms, work.target.name, carry, step.journey, patient)
            ports.outbox.put(((record,),), event.done)
            return
        self._end(event, step)

    def _without(self, call: Call, error: TooLarge, event: _Event) -> Step:
        """The step after a call that could not be written down: the fault `too_large`, without a round trip."""
        work = call.work
        outcome = Outcome(
            work.request.identity, work.attempt, work.target.name, Fault(FaultKind.TOO_LARGE, str(error)),
            started_ms=event.now_ms, ended_ms=event.now_ms,
        )  # fmt: skip
        step = advance(call.journey, outcome, event.policy, self._ports.facts.later(event.now_ms))
        if step is None:
            raise ValueError(f"{work.request.identity}: no step after attempt {work.attempt} of {work.target.name}")
        return step

    def _end(self, event: _Event, end: End, *letters: Record) -> None:
        ports = self._ports
        trace = event.mark.ended(end.terminal, end.reply_topic)
        before, last = ports.effects.end(end, event.cause, trace)
        event.memory.ended(end.terminal.identity, event.now_ms)
        ports.metrics.terminal(end.terminal, "kafka", end.request, event.policy.shown)
        ports.outbox.put(((*letters, *before), last), event.done)

    def _put_aside(self, event: _Event, reason: Reason, identity: Identity | None = None) -> None:
        """A dead letter and no terminal: nobody can be told, or the identity has its one terminal."""
        self._ports.metrics.deadletter(reason.code)
        self._ports.outbox.put(((self._ports.effects.dead(event.record, reason, identity),),), event.done)

    def _give_up_at_last(self, event: _Event, error: Exception) -> None:
        """Whatever a record holds, it does not end the router: what cannot even be told is put aside as bytes."""
        try:
            self._give_up(event, error)
        except Exception:
            _LOG.exception("%s-%d offset %d: nobody can be told", event.record.topic, event.record.partition, event.record.offset)
            if event.identity is not None:
                event.memory.forget(event.identity)
            self._put_aside(event, Reason(ReasonCode.INTERNAL, f"{type(error).__name__} while this record was handled"))

    def _give_up(self, event: _Event, error: Exception) -> None:
        """Something of ours is broken. The record goes aside whole, and who waits for it is told so."""
        reason = Reason(ReasonCode.INTERNAL, f"{type(error).__name__} while this record was handled")
        if event.identity is None:
            self._put_aside(event, reason)
            return
        letter = self._ports.effects.dead(event.record, reason, event.identity)
        self._ports.metrics.deadletter(reason.code)
        self._end(event, self._unread(event, event.identity, TerminalKind.FAILED, reason), letter)

    def _unread(self, event: _Event, identity: Identity, kind: TerminalKind, reason: Reason) -> End:
        """The end of a request of which little more than the identity is sure."""
        asked = Request(identity, (), reply_to=event.reply_topic)
        arrival = Arrival(event.content_type, traceparent=event.mark.root)
        end = refuse(asked, reason, event.policy, event.now_ms, arrival)
        return end if kind is TerminalKind.REFUSED else replace(end, terminal=replace(end.terminal, kind=kind))


def _answerable(journey: Journey, policy: Policy) -> Journey:
    """A slip that names what is no reply topic must not make the mesh wait for that topic."""
    if journey.reply_topic in ("", RESPONSES) or journey.reply_topic.startswith(REPLIES_PREFIX):
        return journey
    return replace(journey, reply_topic=reply_topic_of(journey.request, policy))


def _reused(identity: Identity) -> Reason:
    what = f"{identity} was used for another request a moment ago"
    return Reason(ReasonCode.ID_REUSED, what, "id", "a new id for a new request, or the next replay number")
