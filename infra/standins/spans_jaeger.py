"""Jaeger's JSON (query API v1, as of 1.76) from OTLP spans, by the mapping of the OpenTelemetry specification."""

import base64
import json
from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from infra.standins.spans_memory import KINDS, Origin, Stored, attributes

CHILD_OF: Final = "CHILD_OF"
FOLLOWS_FROM: Final = "FOLLOWS_FROM"


def trace_shape(trace_id: bytes, stored: Sequence[Stored]) -> dict[str, Any]:
    """One trace; a process for each resource, spans by start."""
    processes: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}
    shapes: dict[str, dict[str, Any]] = {}
    spans: list[dict[str, Any]] = []
    for one in stored:
        key = (one.origin.service, tuple((name, repr(value)) for name, value in one.origin.tags))
        process = processes.setdefault(key, f"p{len(processes) + 1}")
        shapes[process] = {"serviceName": one.origin.service, "tags": [tag(k, v) for k, v in one.origin.tags]}
        spans.append(span_shape(one.span(), one.origin, process))
    spans.sort(key=lambda span: span["startTime"])
    return {"traceID": trace_id.hex(), "spans": spans, "processes": shapes, "warnings": None}


def span_shape(span: Span, origin: Origin, process: str) -> dict[str, Any]:
    """One span; times in microseconds."""
    return {
        "traceID": span.trace_id.hex(),
        "spanID": span.span_id.hex(),
        "flags": 1,
        "operationName": span.name,
        "references": _references(span),
        "startTime": span.start_time_unix_nano // 1_000,
        "duration": max(0, span.end_time_unix_nano - span.start_time_unix_nano) // 1_000,
        "tags": _tags(span, origin),
        "logs": [_log(event) for event in span.events],
        "processID": process,
        "warnings": None,
    }


def tag(name: str, value: object) -> dict[str, Any]:
    """A typed tag; what JSON has no type for is written as a JSON string."""
    match value:
        case bool():
            return {"key": name, "type": "bool", "value": value}
        case int():
            return {"key": name, "type": "int64", "value": value}
        case float():
            return {"key": name, "type": "float64", "value": value}
        case bytes():
            return {"key": name, "type": "binary", "value": base64.b64encode(value).decode()}
        case str():
            return {"key": name, "type": "string", "value": value}
        case _:
            return {"key": name, "type": "string", "value": json.dumps(value, ensure_ascii=False, default=str)}


def _references(span: Span) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    if span.parent_span_id.strip(b"\0"):
        found.append({"refType": CHILD_OF, "traceID": span.trace_id.hex(), "spanID": span.parent_span_id.hex()})
    for link in span.links:
        kind = str(attributes(link.attributes).get("opentracing.ref_type", "")).lower()
        name = CHILD_OF if kind == "child_of" else FOLLOWS_FROM
        found.append({"refType": name, "traceID": link.trace_id.hex(), "spanID": link.span_id.hex()})
    return found


def _tags(span: Span, origin: Origin) -> list[dict[str, Any]]:
    tags = [tag(name, value) for name, value in attributes(span.attributes).items()]
    if origin.scope:
        tags.append(tag("otel.scope.name", origin.scope))
    if kind := KINDS.get(span.kind):
        tags.append(tag("span.kind", kind))
    if span.status.code == Status.STATUS_CODE_OK:
        tags.append(tag("otel.status_code", "OK"))
    if span.status.code == Status.STATUS_CODE_ERROR:
        tags += [tag("otel.status_code", "ERROR"), tag("error", True)]
    if span.status.message:
        tags.append(tag("otel.status_description", span.status.message))
    if span.trace_state:
        tags.append(tag("w3c.tracestate", span.trace_state))
    return tags


def _log(event: Span.Event) -> dict[str, Any]:
    fields = [tag("event", event.name), *(tag(name, value) for name, value in attributes(event.attributes).items())]
    return {"timestamp": event.time_unix_nano // 1_000, "fields": fields}
