"""A work record as the worker needs it, or the reason why it is put aside."""

import logging

from google.protobuf.message import DecodeError

from trivium import codec
from trivium.core.errors import BadRequest
from trivium.core.outcome import Reason, ReasonCode
from trivium.core.request import Identity
from trivium.core.slip import Work
from trivium.kafka.record import Delivered
from trivium.kafka.suspects import KILLED
from trivium.v1 import journey_pb2

_LOG = logging.getLogger(__name__)


def read(record: Delivered) -> tuple[journey_pb2.Work, Work] | Reason:
    """Never raises."""
    if record.unreadable == KILLED:
        return Reason(ReasonCode.STARTED_TOO_OFTEN, KILLED, "value", "look for what kills the tier before it is replayed")
    if record.unreadable:
        return Reason(ReasonCode.UNDECODABLE, record.unreadable, "value", "write records with a Kafka client")
    try:
        message = journey_pb2.Work.FromString(record.value or b"")
        return message, codec.work_from(message)
    except DecodeError:
        return Reason(ReasonCode.UNDECODABLE, f"the {len(record.value or b'')} bytes are not a work record")
    except BadRequest as error:
        return error.reason
    except Exception as error:
        _LOG.exception("a work record could not be read")
        return Reason(ReasonCode.INTERNAL, f"the record could not be read: {type(error).__name__}")


def whose(record: Delivered) -> Identity | None:
    """Whose work it is by its key, for a record into which nobody looks; of replays the key says nothing."""
    tenant, slash, name = (record.key or b"").decode("utf-8", "replace").partition("/")
    return Identity(tenant, name) if record.unreadable == KILLED and slash and tenant and name else None
