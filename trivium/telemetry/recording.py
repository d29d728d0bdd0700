"""Spans that cost little while the request is under way: written down as they are, made into OTLP later, elsewhere.

The SDK's spans took 44 microseconds each to make, and 77 to encode, all of it beside the requests; these take 5 and 6
(docs/decisions/0014-spans-of-our-own.md). They are the API's Span and Tracer, so that whoever makes one needs not know.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    get_current_span,
    use_span,
)

from trivium.telemetry.names import ERROR_TYPE

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_LOW: Final = (1 << 64) - 1

Event = tuple[str, int, Mapping[str, Any]]
"""Name, epoch ns, attributes."""


class Recorded(Span):
    """A span that is sent. Its fields are read by whoever takes it when it has ended, and by nobody else."""

    __slots__ = ("_take", "attributes", "context", "end_ns", "events", "kind", "links", "name", "parent", "start_ns", "status")

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, Any],
        links: list[tuple[SpanContext, Mapping[str, Any]]] | None,
        start_ns: int,
        take: "Callable[[Recorded], None]",
    ) -> None:
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = kind
        self.attributes = attributes
        self.links = links
        self.events: list[Event] | None = None
        self.status: Status | None = None
        self.start_ns = start_ns
        self.end_ns = 0
        self._take = take

    def end(self, end_time: int | None = None) -> None:
        """Only the first end counts."""
        if not self.end_ns:
            self.end_ns = end_time or time.time_ns()
            self._take(self)

    def get_span_context(self) -> SpanContext:
        """See opentelemetry.trace.Span; the others too."""
        return self.context

    def is_recording(self) -> bool:
        """Until it has ended."""
        return not self.end_ns

    def set_attribute(self, key: str, value: Any) -> None:
        """A string, number, truth or a list of one of these; nothing is checked or cut."""
        if not self.end_ns:
            self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Several at once."""
        if not self.end_ns:
            self.attributes.update(attributes)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Something that happened meanwhile."""
        if not self.end_ns:
            self.events = [*(self.events or ()), (name, timestamp or time.time_ns(), attributes or {})]

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Another span that this one has to do with."""
        if not self.end_ns and context.is_valid:
            self.links = [*(self.links or ()), (context, attributes or {})]

    def update_name(self, name: str) -> None:
        """Another name."""
        if not self.end_ns:
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """How it went."""
        if not self.end_ns:
            self.status = status if isinstance(status, Status) else Status(status, description)

    def record_exception(self, exception: BaseException, *_: Any, **__: Any) -> None:
        """Its type alone: a stack trace or a vendor's words have no place in a trace."""
        self.set_attribute(ERROR_TYPE, type(exception).__name__)


class Recorder(Tracer):
    """Makes spans and hands those that have ended to `take`.

    A trace that begins here is taken with the probability `ratio` (0 to 1), drawn from its id, so that every process
    draws alike; one that began elsewhere is taken when its `sampled` flag says so. What is not taken costs a context.
    """

    def __init__(self, take: Callable[[Recorded], None], ratio: float = 1.0) -> None:
        self._take = take
        self._below = round(ratio * (1 << 64))
        self._bits = Random().getrandbits

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """See opentelemetry.trace.Tracer. Whoever begins a span ends it: it does not look at exceptions."""
        parent = get_current_span(context).get_span_context()
        trace_id, _, _, flags, state, valid = parent
        if not valid:
            trace_id, flags = self._bits(128) or 1, _SAMPLED
            if trace_id & _LOW >= self._below:
                return NonRecordingSpan(SpanContext(trace_id, self._bits(64) or 1, False))
        elif not flags & TraceFlags.SAMPLED:
            return NonRecordingSpan(parent)
        return Recorded(
            name,
            SpanContext(trace_id, self._bits(64) or 1, False, flags, state),
            parent if valid else None,
            kind,
            dict(attributes) if attributes else {},
            [(link.context, link.attributes or {}) for link in links] if links else None,
            start_time or time.time_ns(),
            self._take,
        )

    @contextmanager
    def start_as_current_span(  # type: ignore[override]
        self, name: str, *args: Any, end_on_exit: bool = True, **kwargs: Any
    ) -> Iterator[Span]:
        """See opentelemetry.trace.Tracer."""
        span = self.start_span(name, *args, **kwargs)
        with use_span(span, end_on_exit, record_exception=False, set_status_on_exception=False):
            yield span
