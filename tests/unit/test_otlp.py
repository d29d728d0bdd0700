"""OTLP's bytes, read by the classes that its own .proto files generate."""

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from trivium.telemetry.otlp import Encoder
from trivium.telemetry.recording import Recorded, Recorder
from trivium.telemetry.tracing import context_from_traceparent

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def read(*spans: Recorded, encoder: Encoder | None = None) -> trace_pb2.ResourceSpans:
    """What a collector reads of them."""
    encoder = encoder or Encoder({"service.name": "trivium-test"}, "trivium")
    request = ExportTraceServiceRequest.FromString(encoder.request([encoder.span(span) for span in spans]))
    (found,) = request.resource_spans
    return found


def ended(**said: Any) -> Recorded:
    """A span, ended, as the recorder makes it."""
    taken: list[Recorded] = []
    Recorder(taken.append).start_span("trivium.work process", **said).end()
    return taken[0]


def test_a_span_is_read_as_it_was_written() -> None:
    context = context_from_traceparent(PARENT, "vendor=1")
    span = ended(context=context, kind=SpanKind.CONSUMER, start_time=5)
    found = read(span)
    assert [(one.key, one.value.string_value) for one in found.resource.attributes] == [("service.name", "trivium-test")]
    assert found.scope_spans[0].scope.name == "trivium"
    (one,) = found.scope_spans[0].spans
    assert one == trace_pb2.Span(
        trace_id=bytes.fromhex(PARENT[3:35]), span_id=span.context.span_id.to_bytes(8, "big"),
        parent_span_id=bytes.fromhex(PARENT[36:52]), trace_state="vendor=1", flags=0x301, name="trivium.work process",
        kind=trace_pb2.Span.SPAN_KIND_CONSUMER, start_time_unix_nano=5, end_time_unix_nano=span.end_ns,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kind", "read_as"),
    [
        ("text", "string_value", "text"), ("", "string_value", ""), ("x" * 100_000, "string_value", "x" * 100_000),
        ("\u00fc\u4e09", "string_value", "\u00fc\u4e09"), ("\ud800", "string_value", "?"), (0, "int_value", 0), (300, "int_value", 300),
        (-1, "int_value", -1), (2**62, "int_value", 2**62), (True, "bool_value", True), (1, "int_value", 1),
        (1.0, "double_value", 1.0), (b"\x00\xff", "bytes_value", b"\x00\xff"),
    ],
)  # fmt: skip
def test_values_of_every_kind_are_read_as_they_were(value: object, kind: str, read_as: object) -> None:
    encoder = Encoder({}, "trivium")
    for _ in range(2):
        (one,) = read(ended(attributes={"key": value}), encoder=encoder).scope_spans[0].spans
        (pair,) = one.attributes
        assert (pair.key, pair.value.WhichOneof("value"), getattr(pair.value, kind)) == ("key", kind, read_as)


def test_equal_numbers_of_other_kinds_stay_apart_in_what_is_kept() -> None:
    encoder = Encoder({}, "trivium")
    values: list[Any] = [1, True, 1.0, 1, "1", True]
    spans = read(*(ended(attributes={"key": value}) for value in values), encoder=encoder).scope_spans[0].spans
    kinds = [span.attributes[0].value.WhichOneof("value") for span in spans]
    assert kinds == ["int_value", "bool_value", "double_value", "int_value", "string_value", "bool_value"]


def test_more_attributes_than_are_kept_are_all_written() -> None:
    encoder = Encoder({}, "trivium")
    for number in range(5_000):
        (one,) = read(ended(attributes={"id": f"r-{number}", "none": None}), encoder=encoder).scope_spans[0].spans
        assert [pair.value.string_value for pair in one.attributes] == [f"r-{number}"]


def test_lists_links_events_and_status_are_read() -> None:
    taken: list[Recorded] = []
    other = SpanContext(1, 2, True, TraceFlags(1), TraceState([("a", "b")]))
    span = Recorder(taken.append).start_span("x", links=[Link(other, {"why": "after"})])
    span.add_link(SpanContext(3, 4, False))
    span.add_event("queued", {"depth": 3}, 7)
    span.set_attribute("finish", ["stop", "length"])
    span.set_status(Status(StatusCode.ERROR, "away"))
    span.end()
    (one,) = read(*taken).scope_spans[0].spans
    first, second = one.links
    assert (first.trace_id, first.span_id, first.trace_state, first.flags) == (
        (1).to_bytes(16, "big"), (2).to_bytes(8, "big"), "a=b", 0x301,
    )  # fmt: skip
    assert [(pair.key, pair.value.string_value) for pair in first.attributes] == [("why", "after")]
    assert (second.span_id, second.flags) == ((4).to_bytes(8, "big"), 0x100)
    assert (one.events[0].name, one.events[0].time_unix_nano, one.events[0].attributes[0].value.int_value) == ("queued", 7, 3)
    assert [value.string_value for value in one.attributes[0].value.array_value.values] == ["stop", "length"]
    assert (one.status.code, one.status.message) == (trace_pb2.Status.STATUS_CODE_ERROR, "away")
    assert not one.parent_span_id
