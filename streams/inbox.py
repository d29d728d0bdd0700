"""Reading what comes in: a record of trivium.requests or trivium.outcomes as the memory and the journey need it.

Used live and by the fold, so that both see the same thing in the same bytes.
"""

import hashlib
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from trivium.codec import content_type_of, decode_request, identity_from, open_event
from trivium.core.errors import BadRequest, Undecodable
from trivium.core.outcome import Reason, ReasonCode
from trivium.core.quick import quick
from trivium.core.request import Identity
from trivium.core.slip import ContentType
from trivium.kafka.record import Delivered
from trivium.kafka.suspects import KILLED
from trivium.kafka.topics import HEADER_FORWARDED
from trivium.v1 import journey_pb2, request_pb2


@quick
@dataclass(frozen=True, slots=True)
class RequestIn:
    """A request that somebody can be answered for. `message` is None when its body is wrong: then `wrong` says why."""

    identity: Identity
    body_hash: str
    content_type: ContentType
    message: request_pb2.Request | None
    wrong: Reason | None = None


@quick
@dataclass(frozen=True, slots=True)
class OutcomeIn:
    """An outcome with its request and slip, or a cancel (then only the identity counts)."""

    identity: Identity
    attempt: int
    deadline_ms: int
    """Of the attempt, as the slip has it."""
    message: journey_pb2.OutcomeRecord

    @property
    def cancel(self) -> bool:
        return self.message.cancel

    @property
    def body_hash(self) -> str:
        return self.message.slip.body_hash


def read_request(record: Delivered) -> RequestIn:
    """Raises BadRequest when there is no identity: nobody can be answered."""
    _readable(record)
    value = record.value or b""
    stated, event = content_type_of(record.headers)
    if event:
        return _read_event(record, value, stated)
    try:
        decoded = decode_request(value, stated)
    except BadRequest as bad:
        if bad.identity is None:
            raise
        # Only JSON can have an identity and yet be of the wrong shape.
        return RequestIn(bad.identity, _raw_hash(value), ContentType.JSON, None, bad.reason)
    return RequestIn(decoded.identity, decoded.body_hash, decoded.content_type, decoded.message)


def _read_event(record: Delivered, value: bytes, stated: str | None) -> RequestIn:
    event = open_event(value, record.headers, stated)
    try:
        decoded = decode_request(event.data, event.content_type, event.id)
    except BadRequest as bad:
        if bad.identity is None:
            raise Undecodable(event.wrong or bad.reason) from None
        return RequestIn(bad.identity, _raw_hash(value), event.answer_as, None, event.wrong or bad.reason)
    message = decoded.message if event.wrong is None else None
    return RequestIn(decoded.identity, decoded.body_hash, event.answer_as, message, event.wrong)


def _raw_hash(value: bytes) -> str:
    return hashlib.blake2b(value, digest_size=12).hexdigest()


def read_outcome(record: Delivered) -> OutcomeIn:
    """Raises Undecodable when it is no outcome record, or one that says nothing of its request."""
    _readable(record)
    try:
        message = journey_pb2.OutcomeRecord.FromString(record.value or b"")
    except DecodeError:
        raise _not_an_outcome("not a protobuf trivium.v1.OutcomeRecord") from None
    identity = identity_from(message.outcome.identity)
    if not identity.tenant or not identity.id:
        raise _not_an_outcome("an outcome without an identity")
    attempt = message.outcome.attempt
    if message.cancel:
        return OutcomeIn(identity, attempt, 0, message)
    if not message.HasField("slip") or not message.HasField("request"):
        raise _not_an_outcome("an outcome without the request and slip of its work record")
    return OutcomeIn(identity, attempt, attempt_deadline_ms(message.slip, attempt), message)


def attempt_deadline_ms(slip: journey_pb2.Slip, attempt: int) -> int:
    for opened in reversed(slip.attempts):
        if opened.number == attempt:
            return opened.deadline_ms
    return slip.deadline_ms


def is_forwarded(record: Delivered) -> bool:
    """Whether another owner sent it here: then it is decided here, wherever this is."""
    return record.header(HEADER_FORWARDED) is not None


def _readable(record: Delivered) -> None:
    if record.unreadable == KILLED:
        raise Undecodable(Reason(ReasonCode.STARTED_TOO_OFTEN, KILLED, "value", "look for what kills the router before it is replayed"))
    if record.unreadable:
        raise Undecodable(Reason(ReasonCode.UNDECODABLE, record.unreadable, "value", "write records with a Kafka client"))


def _not_an_outcome(what: str) -> Undecodable:
    hint = "write outcomes with trivium.codec.outcome_record"
    return Undecodable(Reason(ReasonCode.UNDECODABLE, what, "value", hint))
