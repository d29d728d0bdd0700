"""What every conversion needs: words of closed sets, and fields of a newer writer carried along."""

from enum import Enum
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from trivium.core.errors import BadRequest
from trivium.core.outcome import Reason, ReasonCode

E = TypeVar("E", bound=Enum)


def word(kind: type[E], text: str, field: str, default: E) -> E:
    """The member that `text` names; empty is the default. BadRequest with the words that exist."""
    if not text:
        return default
    found = kind._value2member_map_.get(text)
    if found is None:
        words = ", ".join(str(member.value) for member in kind if member.value)
        raise BadRequest(Reason(ReasonCode.UNKNOWN_WORD, f"{field} is {text[:80]!r}", field, f"one of {words}"))
    return found  # type: ignore[return-value]


def unknown_of(message: Message) -> bytes:
    """The serialised fields of `message` that this version does not know (top level)."""
    # UnknownFieldSet's own types are looser than Message's.
    if not len(UnknownFieldSet(message)):
        return b""
    rest: Any = type(message)()
    rest.CopyFrom(message)
    for known in message.DESCRIPTOR.fields:
        rest.ClearField(known.name)
    return bytes(rest.SerializeToString())
