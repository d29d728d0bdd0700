"""One trace per request, across Kafka and gRPC (W3C trace context; https://www.w3.org/TR/trace-context/).

This module is the only one that reads or writes `traceparent`: two injectors would leave two headers.
Contexts are always passed explicitly: the consumers of some clients run in threads of their own, where the ambient
context is another request's.

    tracing = start("trivium-cloud", "cloud-1", "http://localhost:4317")
    span = tracing.tracer.start_span(SPAN_WORK, context_from_headers(record.headers), SpanKind.CONSUMER)
    record = Record(..., headers=headers_from_context(context_of(span)))

Without an endpoint the tracer is a no-op that hands the caller's context on, and the SDK is not even imported.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes

from trivium.kafka.topics import HEADER_TRACEPARENT, HEADER_TRACESTATE
from trivium.telemetry.names import ERROR_TYPE, SERVICE_INSTANCE, SERVICE_NAME
from trivium.telemetry.recording import Recorded, Recorder

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SpanExporter

NO_CONTEXT: Final = Context()
"""The context of a request that came without a trace; also what keeps OpenTelemetry from the ambient one."""

SCOPE: Final = "trivium"
"""Name of the instrumentation scope of every span."""

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_LAST_FLUSH_S: Final = 3.0


class Tracing:
    """The tracer of a process, and the end of it."""

    def __init__(self, tracer: Tracer, close: Callable[[float], None] | None = None) -> None:
        self.tracer = tracer
        self._close = close

    @property
    def enabled(self) -> bool:
        """False: every span is a no-op; do not compute attributes."""
        return self._close is not None

    def close(self, timeout_s: float = _LAST_FLUSH_S) -> None:
        """Send what is queued; gives up after `timeout_s`, because a collector that is down must not hold a process."""
        if self._close is not None:
            self._close(timeout_s)


def start(
    service: str,
    instance: str,
    otlp: str,
    exporter: "SpanExporter | None" = None,
    ratio: float = 1.0,
    headers: str = "",
) -> Tracing:
    """Tracing for one process. `otlp`: http(s)://host:port of an OTLP/gRPC collector, or empty for none.

    `ratio`: of the traces that begin here, how many are sent (trivium/telemetry/recording.py). `headers`: sent to the
    collector with every batch, as name=value,name=value. `exporter`: one of the SDK's instead of the collector; it gets
    every span at once. What spans say of their process is the SDK's resource, OTEL_RESOURCE_ATTRIBUTES with it. Raises
    BadSetting on an endpoint that is not a URL; a collector that is down is no error (trivium/telemetry/shipping.py).
    """
    if exporter is None and not otlp:
        return Tracing(NoOpTracer())
    # Not at the top: who sends no spans needs neither the SDK nor a thread of grpc's for it.
    from opentelemetry.sdk.resources import Resource

    from trivium.telemetry.shipping import Shipper

    resource = Resource.create({SERVICE_NAME: service, SERVICE_INSTANCE: instance})
    if exporter is not None:
        return Tracing(Recorder(_handing(exporter, resource), ratio), lambda _: exporter.shutdown())
    shipper = Shipper(otlp, resource.attributes, SCOPE, headers)
    return Tracing(Recorder(shipper.take, ratio), shipper.close)


def _handing(exporter: "SpanExporter", resource: "Resource") -> Callable[[Recorded], None]:
    from opentelemetry.sdk.trace import Event, ReadableSpan

    def hand(span: Recorded) -> None:
        events = [Event(name, attributes, at_ns) for name, at_ns, attributes in span.events or ()]
        links = [Link(context, attributes) for context, attributes in span.links or ()]
        exporter.export([ReadableSpan(
            span.name, span.context, span.parent, resource, span.attributes, events, links, span.kind,
            status=span.status or Status(), start_time=span.start_ns, end_time=span.end_ns,
        )])  # fmt: skip

    return hand


# --- contexts on the wire ------------------------------------------------------------------------------------------


def context_from_traceparent(traceparent: str, tracestate: str = "") -> Context:
    """The context that a traceparent names; NO_CONTEXT when it names none (a wrong header is no error: a new trace)."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return NO_CONTEXT
    state = TraceState.from_header([tracestate]) if tracestate else None
    flags = TraceFlags(int(found[4], 16))
    remote = SpanContext(int(found[2], 16), int(found[3], 16), is_remote=True, trace_flags=flags, trace_state=state)
    return set_span_in_context(NonRecordingSpan(remote), NO_CONTEXT) if remote.is_valid else NO_CONTEXT


def context_from_headers(headers: Iterable[tuple[str, bytes]]) -> Context:
    """The context in a Kafka record's headers."""
    return context_from_metadata(headers)


def context_from_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> Context:
    """The context in a gRPC call's metadata."""
    parent = state = ""
    for key, value in metadata:
        if key == HEADER_TRACEPARENT:
            parent = value if isinstance(value, str) else value.decode("ascii", "replace")
        elif key == HEADER_TRACESTATE:
            state = value if isinstance(value, str) else value.decode("ascii", "replace")
    return context_from_traceparent(parent, state) if parent else NO_CONTEXT


def traceparent_of(where: Context | Span) -> str:
    """The traceparent of a span, or of the span in a context; empty when there is none."""
    span = get_current_span(where) if isinstance(where, Context) else where
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def headers_from_context(context: Context | Span) -> tuple[tuple[str, bytes], ...]:
    """Headers for a Kafka record; none when there is no trace."""
    return tuple((key, value.encode()) for key, value in metadata_from_context(context))


def metadata_from_context(context: Context | Span) -> tuple[tuple[str, str], ...]:
    """Metadata for a gRPC call; none when there is no trace."""
    parent = traceparent_of(context)
    if not parent:
        return ()
    span = get_current_span(context) if isinstance(context, Context) else context
    state = span.get_span_context().trace_state
    if not state:
        return ((HEADER_TRACEPARENT, parent),)
    return ((HEADER_TRACEPARENT, parent), (HEADER_TRACESTATE, state.to_header()))


def trace_id_of(where: Context | Span | str) -> str:
    """The trace's id as 32 hex digits, of a context, a span or a traceparent; empty when there is none."""
    parent = where if isinstance(where, str) else traceparent_of(where)
    return parent[3:35]


# --- spans ---------------------------------------------------------------------------------------------------------


def context_of(span: Span) -> Context:
    """A context in which `span` is the parent."""
    return NO_CONTEXT if span is INVALID_SPAN else set_span_in_context(span, NO_CONTEXT)


def link_to(span: Span) -> tuple[Link, ...]:
    """For `links=`: this span comes after that one without being its child (a fallback after an attempt)."""
    context = span.get_span_context()
    return (Link(context),) if context.is_valid else ()


def link_named(traceparent: str) -> tuple[Link, ...]:
    """The same, to the span that a traceparent names."""
    return link_to(get_current_span(context_from_traceparent(traceparent)))


def failed(span: Span, error_type: str, message: str = "") -> None:
    """Mark a span as failed."""
    if span.is_recording():
        span.set_attribute(ERROR_TYPE, error_type)
        span.set_status(Status(StatusCode.ERROR, message or error_type))


@contextmanager
def spanning(
    tracer: Tracer,
    name: str,
    context: Context = NO_CONTEXT,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes = None,
    links: Sequence[Link] = (),
) -> Iterator[Span]:
    """A span that ends in every case: return, error and cancellation alike (the last two mark it as failed)."""
    span = tracer.start_span(name, context, kind, attributes, links)
    try:
        yield span
    except BaseException as error:
        failed(span, type(error).__name__, str(error))
        raise
    finally:
        span.end()
