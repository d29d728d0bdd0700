"""Spans as the bytes of OTLP, written at once: message objects of the same took thirteen times as long.

Source: opentelemetry/proto/trace/v1/trace.proto and collector/trace/v1/trace_service.proto, whose generated classes read
in the tests what is written here. Lengths and tags are protobuf's (https://protobuf.dev/programming-guides/encoding/).
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Any, Final

from opentelemetry.trace import SpanContext, StatusCode

from trivium.telemetry.recording import Event, Recorded

EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

_MOST_KEPT: Final = 2_048
_LONGEST_KEPT: Final = 128
_U64: Final = (1 << 64) - 1
_HAS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200
_IDS: Final = struct.Struct(">2sQQ2sQ")
_PARENT: Final = struct.Struct(">2sQ")
_LINK_IDS: Final = struct.Struct(">2sQQ2sQ")
_TIMES: Final = struct.Struct("<BBBQBQ")
_FLAGS: Final = struct.Struct("<BBI")
_DOUBLE: Final = struct.Struct("<Bd")
_FIXED: Final = struct.Struct("<BQ")


class Encoder:
    """Of one process. Not for several threads: it keeps what it wrote of attributes that come again and again."""

    def __init__(self, resource: Mapping[str, Any], scope: str) -> None:
        self._head = _field(1, b"".join(_field(1, _pair(key, value)) for key, value in resource.items()))
        self._scope = _field(1, _field(1, scope.encode()))
        self._names: dict[str, bytes] = {}
        # By type, because True and 1 are one key of a dict, and 1.0 too.
        self._kept: dict[type, dict[tuple[str, Any], bytes]] = {str: {}, int: {}}

    def request(self, spans: Iterable[bytes]) -> bytes:
        """An ExportTraceServiceRequest of what `span` gave."""
        scoped = b"".join((self._scope, *(_field(2, span) for span in spans)))
        return _field(1, self._head + _field(2, scoped))

    def span(self, span: Recorded) -> bytes:
        """A Span."""
        trace_id, span_id, _, flags, state, _ = span.context
        parent = span.parent
        seen = flags | _HAS_REMOTE
        parts = [_IDS.pack(b"\x0a\x10", trace_id >> 64, trace_id & _U64, b"\x12\x08", span_id)]
        if parent is not None:
            parts.append(_PARENT.pack(b"\x22\x08", parent.span_id))
            if parent.is_remote:
                seen |= _IS_REMOTE
        if state:
            parts.append(_field(3, state.to_header().encode()))
        parts.append(self._name(span.name))
        parts.append(_TIMES.pack(0x30, span.kind.value + 1, 0x39, span.start_ns, 0x41, span.end_ns))
        parts.extend([self._attribute(key, value) for key, value in span.attributes.items()])
        for event in span.events or ():
            parts.append(_field(11, _event(event)))
        for link, attributes in span.links or ():
            parts.append(_field(13, _link(link, attributes)))
        if span.status is not None and span.status.status_code is not StatusCode.UNSET:
            said = (span.status.description or "").encode("utf-8", "replace")
            parts.append(_field(15, _field(2, said) + bytes((0x18, span.status.status_code.value))))
        parts.append(_FLAGS.pack(0x85, 0x01, seen))
        return b"".join(parts)

    def _name(self, name: str) -> bytes:
        known = self._names.get(name)
        if known is None:
            if len(self._names) >= _MOST_KEPT:
                self._names.clear()
            known = self._names[name] = _field(5, name.encode("utf-8", "replace"))
        return known

    def _attribute(self, key: str, value: Any) -> bytes:
        kept = self._kept.get(type(value))
        known = kept.get((key, value)) if kept is not None else None
        if known is None:
            if value is None:
                return b""
            known = _field(9, _pair(key, value))
            if kept is not None and len(known) <= _LONGEST_KEPT:
                if len(kept) >= _MOST_KEPT:
                    kept.clear()
                kept[key, value] = known
        return known


def _pair(key: str, value: Any) -> bytes:
    """A KeyValue."""
    return _field(1, key.encode()) + _field(2, _value(value))


def _value(value: Any) -> bytes:
    """An AnyValue. What OTLP has no word for is written as its text."""
    if isinstance(value, str):
        return _field(1, value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return bytes((0x10, value))
    if isinstance(value, int):
        return b"\x18" + _varint(value & _U64)
    if isinstance(value, float):
        return _DOUBLE.pack(0x21, value)
    if isinstance(value, bytes):
        return _field(7, value)
    if isinstance(value, list | tuple):
        return _field(5, b"".join(_field(1, _value(one)) for one in value))
    return _field(1, str(value).encode("utf-8", "replace"))


def _event(event: Event) -> bytes:
    name, at_ns, attributes = event
    pairs = b"".join(_field(3, _pair(key, value)) for key, value in attributes.items())
    return _FIXED.pack(0x09, at_ns) + _field(2, name.encode("utf-8", "replace")) + pairs


def _link(context: SpanContext, attributes: Mapping[str, Any]) -> bytes:
    trace_id, span_id, remote, flags, state, _ = context
    seen = flags | _HAS_REMOTE | (_IS_REMOTE if remote else 0)
    ids = _LINK_IDS.pack(b"\x0a\x10", trace_id >> 64, trace_id & _U64, b"\x12\x08", span_id)
    pairs = b"".join(_field(4, _pair(key, value)) for key, value in attributes.items())
    return ids + (_field(3, state.to_header().encode()) if state else b"") + pairs + struct.pack("<BI", 0x35, seen)


def _field(number: int, body: bytes) -> bytes:
    """A field of bytes: tag, length, body. Numbers below 16 take one byte."""
    size = len(body)
    if size < 128:
        return bytes((number << 3 | 2, size)) + body
    return bytes((number << 3 | 2,)) + _varint(size) + body


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
