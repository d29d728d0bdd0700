"""Requests that come as CloudEvents in Kafka, and terminals that go out as such.

CloudEvents 1.0 (https://github.com/cloudevents/spec, bindings/kafka-protocol-binding.md and formats/json-format.md):

    binary       ce_* headers, content-type is that of the value, the value is the data
    structured   content-type application/cloudevents+json, the value is a JSON object with the data in it

Kafka knows no batches of events. An event without an id in its data gives its own: `ce_id` is the request's id then.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from trivium.core.errors import Undecodable
from trivium.core.outcome import Reason, ReasonCode, Terminal
from trivium.core.slip import ContentType

REQUEST_TYPE: Final = "trivium.request.v1"
TERMINAL_TYPE: Final = "trivium.terminal.v1"
SOURCE: Final = "trivium"

_PREFIX: Final = "ce_"
_ENVELOPE: Final = "application/cloudevents"
_STRUCTURED: Final = "application/cloudevents+json"
_REQUIRED: Final = ("specversion", "id", "source", "type")
_PROTOBUF_TYPES: Final = frozenset(["application/protobuf", "application/x-protobuf"])

_PROTOBUF_DATA: Final = frozenset([ContentType.PROTOBUF, ContentType.BINARY_EVENT, ContentType.STRUCTURED_EVENT])
_JSON_ENVELOPE: Final = b"application/cloudevents+json; charset=UTF-8"

BINARY: Final = frozenset([ContentType.BINARY_EVENT, ContentType.BINARY_EVENT_JSON])
STRUCTURED: Final = frozenset([ContentType.STRUCTURED_EVENT, ContentType.STRUCTURED_EVENT_JSON])

CONTENT_TYPES: Final[Mapping[ContentType, bytes]] = {
    ContentType.PROTOBUF: b"application/protobuf",
    ContentType.JSON: b"application/json",
    ContentType.BINARY_EVENT: b"application/protobuf",
    ContentType.BINARY_EVENT_JSON: b"application/json",
    ContentType.STRUCTURED_EVENT: _JSON_ENVELOPE,
    ContentType.STRUCTURED_EVENT_JSON: _JSON_ENVELOPE,
}
"""The header content-type of a reply in each form."""

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Event:
    """A request's event, opened. `wrong`: what the binding forbids in it, although its data can be read."""

    data: bytes
    content_type: str | None
    """Of the data."""
    id: str
    answer_as: ContentType
    wrong: Reason | None


def content_type_of(headers: Headers) -> tuple[str | None, bool]:
    """The record's content type, and whether the record is an event. One look at each header."""
    stated, event = None, False
    for name, value in headers:
        if name == "content-type":
            stated = value
        elif name.startswith(_PREFIX):
            event = True
    if stated is None:
        return None, event
    text = stated.decode("ascii", "replace")
    return text, event or text[: len(_ENVELOPE)].lower() == _ENVELOPE


def open_event(value: bytes, headers: Headers, stated: str | None) -> Event:
    """Take an event apart. Raises Undecodable when its data cannot be reached."""
    if stated is not None and stated.lower().startswith(_ENVELOPE):
        return _structured(value, stated)
    attributes = {name[len(_PREFIX) :]: text.decode("utf-8", "replace") for name, text in headers if name.startswith(_PREFIX)}
    json_data = _is_json(stated, value)
    answer_as = ContentType.BINARY_EVENT_JSON if json_data else ContentType.BINARY_EVENT
    return Event(value, stated, attributes.get("id", ""), answer_as, _wrong(attributes, _PREFIX))


def _structured(value: bytes, stated: str) -> Event:
    if _bare(stated) != _STRUCTURED:
        hint = f"{_STRUCTURED}, one event a record; or binary mode, with ce_ headers"
        raise _undecodable(f"content-type {stated[:80]!r} is not read here", "content-type", hint)
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise _undecodable(f"not a JSON event: {str(error)[:200]}", "value", "a JSON object with specversion, id ...") from None
    if not isinstance(fields, dict):
        raise _undecodable(f"a JSON {type(fields).__name__} instead of an event", "value", "a JSON object, one event a record")
    kind = fields.get("datacontenttype")
    if kind is not None and not isinstance(kind, str):
        raise _undecodable(f"datacontenttype is {str(kind)[:80]}", "datacontenttype", "application/json or application/protobuf")
    bare = _bare(kind or "application/json")
    if bare != "application/json" and bare not in _PROTOBUF_TYPES:
        hint = "application/json (the default) or application/protobuf"
        raise _undecodable(f"datacontenttype {bare[:80]!r} is not read here", "datacontenttype", hint)
    answer_as = ContentType.STRUCTURED_EVENT if bare in _PROTOBUF_TYPES else ContentType.STRUCTURED_EVENT_JSON
    attributes = {name: text for name, text in fields.items() if isinstance(text, str)}
    return Event(_data(fields, bare), bare, attributes.get("id", ""), answer_as, _wrong(attributes, ""))


def _data(fields: Mapping[str, object], content_type: str) -> bytes:
    coded = fields.get("data_base64")
    if coded is not None:
        try:
            return base64.b64decode(str(coded), validate=True)
        except (binascii.Error, ValueError):
            raise _undecodable("data_base64 is not Base64", "data_base64", "the data's bytes in Base64 (RFC 4648)") from None
    if content_type in _PROTOBUF_TYPES:
        raise _undecodable("protobuf without data_base64", "data_base64", "the bytes of a trivium.v1.Request in Base64")
    if "data" not in fields:
        raise _undecodable("an event without data", "data", "the JSON mapping of a trivium.v1.Request")
    try:
        return json.dumps(fields["data"]).encode()
    except RecursionError:
        raise _undecodable("the data are nested too deep", "data", "the JSON mapping of a trivium.v1.Request") from None


def _wrong(attributes: Mapping[str, str], prefix: str) -> Reason | None:
    for name in _REQUIRED:
        if not attributes.get(name):
            what = f"a CloudEvent without {name}"
            return Reason(ReasonCode.MISSING_FIELD, what, prefix + name, f"events have all of {', '.join(_REQUIRED)}")
    for name, right in (("specversion", "1.0"), ("type", REQUEST_TYPE)):
        if attributes[name] != right:
            return Reason(ReasonCode.UNKNOWN_WORD, f"{name} is {attributes[name][:80]!r}", prefix + name, right)
    return None


def attributes_of(terminal: Terminal) -> dict[str, str]:
    """The attributes of a terminal's event. The id is made of the identity: a terminal written twice is one event."""
    identity = terminal.identity
    ended = datetime.fromtimestamp(terminal.ended_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "specversion": "1.0",
        "id": f"{identity.key}/{identity.replay}",
        "source": SOURCE,
        "type": TERMINAL_TYPE,
        "subject": str(identity),
        "time": ended.replace("+00:00", "Z"),
    }


def event_headers(terminal: Terminal) -> tuple[tuple[str, bytes], ...]:
    """What binary mode has beside the headers of every reply."""
    return tuple((_PREFIX + name, text.encode()) for name, text in attributes_of(terminal).items())


def enclose(terminal: Terminal, data: bytes, kind: ContentType) -> bytes:
    """The value of a structured event; `data` as protobuf or JSON bytes, as `kind` says."""
    as_protobuf = kind in _PROTOBUF_DATA
    event = attributes_of(terminal) | {"datacontenttype": "application/protobuf" if as_protobuf else "application/json"}
    if as_protobuf:
        return json.dumps(event | {"data_base64": base64.b64encode(data).decode()}).encode()
    # The data are JSON already: they are put in as they are.
    return json.dumps(event).encode()[:-1] + b', "data": ' + data + b"}"


def data_is_protobuf(kind: ContentType) -> bool:
    """Whether the message itself is protobuf, in whatever it is enclosed."""
    return kind in _PROTOBUF_DATA


def form_of(value: bytes, headers: Headers) -> ContentType:
    """In which form a record is, by its headers. Raises Undecodable when it is an event that cannot be opened."""
    stated, event = content_type_of(headers)
    if event:
        return open_event(value, headers, stated).answer_as
    return ContentType.JSON if _is_json(stated, value) else ContentType.PROTOBUF


def disclose(value: bytes, stated: str) -> tuple[bytes, str]:
    """The data of a structured event, and their content type; what is no event is given back as it is."""
    if not stated.lower().startswith(_ENVELOPE):
        return value, stated
    event = _structured(value, stated)
    return event.data, event.content_type or ""


def _is_json(stated: str | None, value: bytes) -> bool:
    return "json" in stated.lower() if stated else value[:1] == b"{"


def _bare(stated: str) -> str:
    return stated.split(";")[0].strip().lower()


def _undecodable(what: str, field: str, hint: str) -> Undecodable:
    return Undecodable(Reason(ReasonCode.UNDECODABLE, what, field, hint))
