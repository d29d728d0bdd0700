"""Records put together from parts that are bytes already.

On the wire a message is its fields in any order, and a message in it is a tag, a length and its bytes
(https://protobuf.dev/programming-guides/encoding). So a part that was serialised once need not be copied into a larger
message and serialised again: what travels with every record (targets, legs, task specs) is remembered as bytes, and a
request goes on as it is. A reader sees the same as of the whole message, unknown fields included.
"""

from typing import Final

from google.protobuf.message import Message

from trivium.codec.journey import decision_to, scope_to, spec_to, target_to, wait_to
from trivium.codec.outcome import outcome_to, put_attempt, refused_to
from trivium.codec.records import put_unusual
from trivium.codec.wire import Shared
from trivium.core.policy import Leg, Route, Target, TaskSpec
from trivium.core.slip import Call, End, Journey
from trivium.v1 import journey_pb2, outcome_pb2, records_pb2


def _varint(value: int) -> bytes:
    """A number that is not negative, seven bits a byte, the lowest first."""
    if value <= _SEVEN_BITS:
        return bytes((value,))
    if value >> 14 == 0:
        return bytes((value & _SEVEN_BITS | _MORE, value >> 7))
    made = bytearray()
    while value > _SEVEN_BITS:
        made.append(value & _SEVEN_BITS | _MORE)
        value >>= 7
    made.append(value)
    return bytes(made)


_SEVEN_BITS: Final = 0x7F
_MORE: Final = 0x80


def _tag(number: int) -> bytes:
    return _varint(number << 3 | 2)


def _part(number: int, message: Message) -> bytes:
    value = message.SerializeToString()
    return _tag(number) + _varint(len(value)) + value


_WORK_REQUEST: Final = _tag(journey_pb2.Work.REQUEST_FIELD_NUMBER)
_WORK_SLIP: Final = _tag(journey_pb2.Work.SLIP_FIELD_NUMBER)
_SLIP_ROUTE: Final = _tag(journey_pb2.Slip.ROUTE_FIELD_NUMBER)
_SLIP_DECISION: Final = _tag(journey_pb2.Slip.DECISION_FIELD_NUMBER)
_LEDGER_TERMINAL: Final = _tag(records_pb2.LedgerRecord.TERMINAL_FIELD_NUMBER)
_LEDGER_DECISION: Final = _tag(records_pb2.LedgerRecord.DECISION_FIELD_NUMBER)


def _leg_target(target: Target) -> bytes:
    return _part(journey_pb2.Leg.TARGET_FIELD_NUMBER, target_to(target))


def _work_target(target: Target) -> bytes:
    return _part(journey_pb2.Work.TARGET_FIELD_NUMBER, target_to(target))


def _work_task(spec: TaskSpec) -> bytes:
    return _part(journey_pb2.Work.TASK_FIELD_NUMBER, spec_to(spec))


def _slip_task(spec: TaskSpec) -> bytes:
    return _part(journey_pb2.Slip.TASK_FIELD_NUMBER, spec_to(spec))


def _slip_route(route: Route) -> bytes:
    return b"".join([_leg_wire(leg) for leg in route])


_leg_target_part, _work_target_part = Shared(_leg_target), Shared(_work_target)
_slip_route_part = Shared(_slip_route)
_work_task_part, _slip_task_part = Shared(_work_task), Shared(_slip_task)


def work_wire(call: Call, request: bytes) -> bytes:
    """`call_to_work` as bytes. `request`: the serialised trivium.v1.Request of the call."""
    work = call.work
    message = journey_pb2.Work(attempt=work.attempt, deadline_ms=work.deadline_ms)
    if work.wait is not None:
        message.wait.CopyFrom(wait_to(work.wait))
    own = message.SerializeToString()
    slip = _slip_wire(call.journey)
    return b"".join((
        _WORK_REQUEST, _varint(len(request)), request, own, _work_target_part(work.target), _work_task_part(work.task),
        _WORK_SLIP, _varint(len(slip)), slip,
    ))  # fmt: skip


def ledger_wire(end: End, door: str, terminal: outcome_pb2.Terminal) -> bytes:
    """`ledger_record` as bytes. Takes `terminal` to pieces: its answer is left without text and tool calls."""
    if terminal.HasField("answer"):
        terminal.answer.ClearField("text")
        terminal.answer.ClearField("tool_calls")
    request = end.request
    own = records_pb2.LedgerRecord(
        role="terminal",
        door=door,
        at_ms=end.terminal.ended_ms,
        team=request.team,
        application=request.application,
        use_case=request.use_case,
        end_user=request.end_user,
        user_tier=request.user_tier,
        sensitivity=request.sensitivity._value_,
        endpoint=request.endpoint,
    )
    put_unusual(own, request)
    bare, decision = terminal.SerializeToString(), decision_to(end.decision).SerializeToString()
    return b"".join(
        (own.SerializeToString(), _LEDGER_TERMINAL, _varint(len(bare)), bare, _LEDGER_DECISION, _varint(len(decision)), decision)
    )


def _slip_wire(j: Journey) -> bytes:
    own = journey_pb2.Slip(
        task_type=j.task.name,
        position=j.position,
        arrived_ms=j.arrived_ms,
        deadline_ms=j.deadline_ms,
        reply_topic=j.reply_topic,
        content_type=j.content_type._value_,
        body_hash=j.body_hash,
        spare=j.spare,
        retry_tokens=j.retry_tokens,
        traceparent=j.traceparent,
        patient=j.patient,
    )
    for attempt in j.attempts:
        put_attempt(own.attempts.add(), attempt)
    if j.cache is not None:
        own.cache.CopyFrom(scope_to(j.cache))
    if j.earlier is not None:
        own.earlier.CopyFrom(outcome_to(j.earlier))
    if j.refused_candidates:
        own.refused_candidates.extend([refused_to(r) for r in j.refused_candidates])
    decision = decision_to(j.decision).SerializeToString()
    return b"".join((
        own.SerializeToString(), _slip_route_part(j.route), _slip_task_part(j.task),
        _SLIP_DECISION, _varint(len(decision)), decision, j.unknown,
    ))  # fmt: skip


def _leg_wire(leg: Leg) -> bytes:
    # Routes and legs may be made for one request, their targets are the policy's.
    target = _leg_target_part(leg.target)
    bar = b"" if leg.bar is None else journey_pb2.Leg(bar=leg.bar).SerializeToString()
    return b"".join((_SLIP_ROUTE, _varint(len(target) + len(bar)), target, bar))
