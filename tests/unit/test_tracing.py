"""Contexts on the wire, and a tracer that costs nothing when nobody listens."""

import subprocess
import sys
import time
from collections.abc import Iterable

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, get_current_span

from infra.collector import collecting
from trivium.core.errors import BadSetting
from trivium.telemetry.names import ERROR_TYPE, SPAN_WORK
from trivium.telemetry.tracing import (
    NO_CONTEXT,
    context_from_headers,
    context_from_metadata,
    context_from_traceparent,
    context_of,
    headers_from_context,
    link_to,
    metadata_from_context,
    spanning,
    start,
    trace_id_of,
    traceparent_of,
)

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_traceparent_survives_headers_and_metadata() -> None:
    headers = (("content-type", b"x"), ("traceparent", PARENT.encode()), ("tracestate", b"vendor=1"))
    context = context_from_headers(headers)
    assert headers_from_context(context) == headers[1:]
    assert context_from_metadata(metadata_from_context(context)) != NO_CONTEXT
    assert metadata_from_context(context)[0] == ("traceparent", PARENT)
    assert trace_id_of(context) == PARENT[3:35]


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "nonsense",
        PARENT[:-1],
        PARENT.upper(),
        PARENT + "-more",
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + PARENT[35:],
        PARENT[:36] + "0" * 16 + PARENT[52:],
    ],
)
def test_a_wrong_traceparent_begins_a_new_trace_and_breaks_nothing(wrong: str) -> None:
    context = context_from_traceparent(wrong)
    assert context == NO_CONTEXT
    assert headers_from_context(context) == ()
    assert traceparent_of(context) == ""


def test_a_later_version_of_the_header_is_read() -> None:
    assert traceparent_of(context_from_traceparent("01" + PARENT[2:] + "-more")) == PARENT


def test_bytes_that_are_no_text_are_no_error() -> None:
    assert context_from_headers((("traceparent", b"\xff\xfe"),)) == NO_CONTEXT


def test_without_an_endpoint_the_callers_context_goes_on() -> None:
    tracing = start("s", "i", "")
    assert not tracing.enabled
    span = tracing.tracer.start_span(SPAN_WORK, context_from_traceparent(PARENT))
    assert traceparent_of(context_of(span)) == PARENT
    assert not span.is_recording()
    root = tracing.tracer.start_span(SPAN_WORK, NO_CONTEXT)
    assert headers_from_context(context_of(root)) == ()
    assert link_to(root) == ()
    tracing.close()


def test_without_an_endpoint_the_sdk_is_not_even_imported() -> None:
    program = "import sys; from trivium.telemetry.tracing import start; start('a', 'b', ''); print('opentelemetry.sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False\n"


def test_a_span_is_a_child_and_its_error_is_kept() -> None:
    exporter = InMemorySpanExporter()
    tracing = start("trivium-test", "one", "", exporter)

    def erring() -> None:
        with spanning(tracing.tracer, SPAN_WORK, context_from_traceparent(PARENT)) as span:
            assert trace_id_of(span) == PARENT[3:35]
            raise KeyError("x")

    with pytest.raises(KeyError):
        erring()
    (ended,) = exporter.get_finished_spans()
    assert ended.parent is not None
    assert ended.status.status_code is StatusCode.ERROR
    assert attributes(ended.attributes)[ERROR_TYPE] == "KeyError"
    assert attributes(ended.resource.attributes)["service.name"] == "trivium-test"
    tracing.close()


def attributes(found: object) -> dict[str, object]:
    assert isinstance(found, Iterable)
    return dict(found.items())  # type: ignore[attr-defined]


def test_a_share_of_the_traces_is_sent_drawn_from_the_traces_id() -> None:
    exporter = InMemorySpanExporter()
    tracing = start("s", "i", "", exporter, ratio=0.25)
    spans = [tracing.tracer.start_span(SPAN_WORK, NO_CONTEXT) for _ in range(2_000)]
    sent = [span for span in spans if span.is_recording()]
    assert 380 < len(sent) < 620
    assert all(int(trace_id_of(span)[16:], 16) < 2**62 for span in sent)
    assert all(traceparent_of(span).endswith("-01" if span.is_recording() else "-00") for span in spans)
    assert start("s", "i", "", exporter, ratio=1.0).tracer.start_span(SPAN_WORK, NO_CONTEXT).is_recording()
    assert not start("s", "i", "", exporter, ratio=0.0).tracer.start_span(SPAN_WORK, NO_CONTEXT).is_recording()


@pytest.mark.parametrize(("ratio", "flags"), [(0.0, "01"), (1.0, "00")])
def test_the_callers_flag_goes_first_and_its_traceparent_travels(ratio: float, flags: str) -> None:
    exporter = InMemorySpanExporter()
    tracing = start("s", "i", "", exporter, ratio=ratio)
    parent = PARENT[:-2] + flags
    span = tracing.tracer.start_span(SPAN_WORK, context_from_traceparent(parent))
    inner = tracing.tracer.start_span(SPAN_WORK, context_of(span))
    inner.end()
    span.end()
    assert len(exporter.get_finished_spans()) == 2 * (flags == "01")
    assert traceparent_of(inner)[:35] == parent[:35]
    assert traceparent_of(inner)[-2:] == flags
    assert (traceparent_of(inner) == parent) == (flags == "00")


def test_what_comes_after_the_end_of_a_span_is_not_in_it() -> None:
    exporter = InMemorySpanExporter()
    tracer = start("s", "i", "", exporter).tracer
    with tracer.start_as_current_span("outer") as span:
        assert get_current_span() is span
    span.set_attribute("late", 1)
    span.set_status(StatusCode.ERROR)
    span.update_name("late")
    span.end()
    (ended,) = exporter.get_finished_spans()
    assert (ended.name, dict(ended.attributes or {}), ended.status.is_ok) == ("outer", {}, True)


def test_an_endpoint_that_is_no_url_is_told() -> None:
    with pytest.raises(BadSetting, match="TRIVIUM_OTLP"):
        start("s", "i", "localhost:4317")


def test_a_collector_that_is_down_holds_nobody() -> None:
    tracing = start("s", "i", "http://127.0.0.1:1")
    for _ in range(20_000):
        tracing.tracer.start_span(SPAN_WORK, NO_CONTEXT).end()
    began = time.monotonic()
    tracing.close(timeout_s=0.2)
    assert time.monotonic() - began < 2


def test_a_collector_gets_its_headers_and_whose_process_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    seen: list[tuple[dict[str, str], bytes]] = []

    def export(request: bytes, context: grpc.ServicerContext) -> bytes:
        seen.append((dict(context.invocation_metadata()), request))
        return b""

    with collecting(export) as otlp:
        tracing = start("trivium-test", "one", otlp, headers="API-Key=a%20b, team=x")
        tracing.tracer.start_span(SPAN_WORK, NO_CONTEXT).end()
        tracing.close(30)
    ((metadata, request),) = seen
    assert (metadata["api-key"], metadata["team"]) == ("a b", "x")
    (spans,) = ExportTraceServiceRequest.FromString(request).resource_spans
    said = {one.key: one.value.string_value for one in spans.resource.attributes}
    assert (said["service.name"], said["service.instance.id"]) == ("trivium-test", "one")
    assert said["deployment.environment.name"] == "staging"


@pytest.mark.parametrize("headers", ["secret", "a=1,a=2", "=x"])
def test_headers_that_are_none_are_refused_without_their_text(headers: str) -> None:
    with pytest.raises(BadSetting, match="name=value,name=value") as told:
        start("trivium-test", "one", "http://127.0.0.1:1", headers=headers)
    assert headers not in str(told.value)
