"""Contexts on the wire, and a tracer that costs nothing when nobody listens."""

import subprocess
import sys
import time
from collections.abc import Iterable

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

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
