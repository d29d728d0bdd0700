"""What every conversion needs: words of closed sets, fields of a newer writer carried along, messages made once.

The conversions of what every request has read an enum's word as `_value_`: `value` is a descriptor in Python and takes
four times as long."""

from collections.abc import Callable
from enum import Enum
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from trivium.core.errors import BadRequest
from trivium.core.outcome import Reason, ReasonCode

E = TypeVar("E", bound=Enum)
K = TypeVar("K")
M = TypeVar("M")

MEMO = 1024
"""Targets, legs and task specs are few and travel with every record: their conversions are remembered."""


class Shared(Generic[K, M]):
    """Messages of values that live long (the policy's, and those that were read before), found by identity: to hash a
    target costs more than to convert it. The messages are shared: callers put them into others, which copies."""

    def __init__(self, convert: Callable[[K], M]) -> None:
        self._convert = convert
        self._known: dict[int, tuple[K, M]] = {}

    def __call__(self, value: K) -> M:
        found = self._known.get(id(value))
        if found is not None:
            return found[1]
        if len(self._known) >= MEMO:
            self._known.clear()
        message = self._convert(value)
        # With the value itself, so that its identity is not given to another one.
        self._known[id(value)] = (value, message)
        return message


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
