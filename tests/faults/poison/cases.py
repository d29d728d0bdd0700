"""Malformed records, drawn from a seed: of one message type, and of what producers may get wrong around it.

    draw = random.Random(seed)
    value, headers = record(draw, request_pb2.Request)

Nothing here knows what is right: a value is random bytes, another message, a sound message cut or with bytes changed, one
with fields that no writer makes, or JSON and CloudEvents of every wrong shape.
"""

import json
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from trivium.v1 import journey_pb2, outcome_pb2, records_pb2, request_pb2

Headers = tuple[tuple[bytes, bytes | None], ...]
Raw = tuple[bytes | None, Headers]

KINDS: Final = (
    request_pb2.Request, journey_pb2.Work, journey_pb2.OutcomeRecord, records_pb2.AttemptRecord, records_pb2.CacheEntry,
    records_pb2.DocumentRecord, records_pb2.Pulse, records_pb2.LedgerRecord, records_pb2.DeadLetter, outcome_pb2.Terminal,
)  # fmt: skip

_WORDS: Final = (
    "", "a", "acme", "globex", "high", "restricted", "text", "json", "user", "cloud/frontier", "finetuned/support", "/classify",
    "trivium.responses", "trivium.work.cloud", "no.such.topic", "../../etc", "a/b/c", "\x00", "\n", "\u202e", "\ud7ff", "e" * 300,
    "x" * 5_000, "{", '{"type": 1}', "' OR 1=1", "%s%n", "NaN", "-1", "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "started", "settled",
    "kafka", "grpc", "open", "router", "terminal", "stray",
)  # fmt: skip
_NUMBERS: Final = (0, 1, -1, 2, 127, 128, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, -(2**63), 1_800_000_000_000)
_REALS: Final = (0.0, -0.0, 1.0, -1.0, 0.5, 1e308, -1e308, 5e-324, float("inf"), float("-inf"), float("nan"))
_BOUNDS: Final[Mapping[int, tuple[int, int]]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1), FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1), FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}  # fmt: skip
_CONTENT_TYPES: Final = (
    b"application/protobuf", b"application/json", b"application/json; charset=latin-1", b"application/x-protobuf",
    b"application/cloudevents+json", b"application/cloudevents-batch+json", b"application/cloudevents+avro", b"text/plain", b"", b"\xff",
    b"application/" + b"x" * 5_000,
)  # fmt: skip
_NAMES: Final = (
    b"content-type", b"schema", b"traceparent", b"tracestate", b"forwarded", b"replay", b"kind", b"cause", b"follows", b"ce_id",
    b"ce_type", b"ce_source", b"ce_specversion", b"ce_datacontenttype", b"signature", b"trivium-signature", b"", b"\xff\xfe", b"\x00",
)  # fmt: skip


def record(draw: random.Random, kind: type[Message], sound: bytes = b"") -> Raw:
    """Value and headers for a topic that carries `kind`; `sound`: a value of that kind that is right."""
    makers: tuple[Callable[[], bytes | None], ...] = (
        lambda: None,
        lambda: b"",
        lambda: draw.randbytes(draw.choice((1, 2, 7, 40, 400))),
        lambda: odd(draw, kind).SerializeToString(),
        lambda: odd(draw, kind).SerializeToString(),
        lambda: odd(draw, kind).SerializeToString(),
        lambda: odd(draw, draw.choice(KINDS)).SerializeToString(),
        lambda: _cut(draw, sound or odd(draw, kind).SerializeToString()),
        lambda: _changed(draw, sound or odd(draw, kind).SerializeToString()),
        lambda: _json(draw),
        lambda: _json(draw),
        lambda: b"[" * draw.choice((10, 2_000, 20_000)),
    )
    return draw.choice(makers)(), _headers(draw)


def odd(draw: random.Random, kind: type[Message], depth: int = 0) -> Message:
    """A message of this kind whose fields are of the right types and mean nothing."""
    message = kind()
    for field in message.DESCRIPTOR.fields:
        if draw.random() < (0.45 if depth else 0.3):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        if field.message_type is not None:
            _put_messages(draw, message, field, depth)
        elif field.is_repeated:
            getattr(message, field.name).extend(_scalar(draw, field) for _ in range(draw.randint(0, 3)))
        else:
            setattr(message, field.name, _scalar(draw, field))
    return message


def _put_messages(draw: random.Random, message: Message, field: FieldDescriptor, depth: int) -> None:
    if depth > 4:
        return
    kind = type(getattr(message, field.name).add()) if field.is_repeated else type(getattr(message, field.name))
    if field.is_repeated:
        del getattr(message, field.name)[:]
        getattr(message, field.name).extend(odd(draw, kind, depth + 1) for _ in range(draw.randint(0, 2)))
    else:
        getattr(message, field.name).CopyFrom(odd(draw, kind, depth + 1))


def _scalar(draw: random.Random, field: FieldDescriptor) -> Any:
    kind = field.cpp_type
    if kind in _BOUNDS:
        low, high = _BOUNDS[kind]
        return min(high, max(low, draw.choice(_NUMBERS)))
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return draw.choice(_REALS)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return draw.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return draw.choice((0, 1, 2, 77))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return draw.randbytes(draw.choice((0, 1, 30)))
    return draw.choice(_WORDS)


def _cut(draw: random.Random, whole: bytes) -> bytes:
    return whole[: draw.randrange(len(whole))] if whole else b"\x0a"


def _changed(draw: random.Random, whole: bytes) -> bytes:
    changed = bytearray(whole or b"\x0a")
    for _ in range(draw.randint(1, 4)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def _json(draw: random.Random) -> bytes:
    body: Any = {
        "tenant": draw.choice(("acme", "acme", "nobody", 7, None, "\ud800", "")), "id": draw.choice(("j1", 3, "", "\udfff", "i" * 300)),
        draw.choice(("prompt", "promt", "messages", "timeout_ms", "temperature", "tools", "\ud800")): _value(draw),
        draw.choice(("endpoint", "replay", "sensitivity", "output")): _value(draw),
    }  # fmt: skip
    whole = draw.choice((body, body, body, [body], "text", 7, None, {"data": body}, {"specversion": "1.0", "data_base64": _value(draw)}))
    text = json.dumps(whole).encode()
    return draw.choice((text, text, text, text[:-1], text.replace(b":", b"::", 1), b"\xef\xbb\xbf" + text, text.decode().encode("utf-16")))


def _value(draw: random.Random) -> Any:
    return draw.choice(
        (None, True, "", "x", "\ud800", -1, 10**30, 1e999, [], [[]], {}, {"a": {}}, [{"role": "king", "text": 1}], {"kind": "json", "schema_json": "{"})
    )


def _headers(draw: random.Random) -> Headers:
    found: list[tuple[bytes, bytes | None]] = []
    if draw.random() < 0.5:
        found.append((b"content-type", draw.choice(_CONTENT_TYPES)))
    for _ in range(draw.choice((0, 0, 1, 2, 5))):
        found.append((draw.choice(_NAMES), draw.choice((None, b"", b"1", b"-1", b"abc", b"\xff\x00", draw.choice(_WORDS).encode()))))
    return tuple(found)
