"""The router's spans. The trace comes with the record and leaves with what is written; with tracing off it passes through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import Span, SpanKind, get_current_span
from opentelemetry.util.types import AttributeValue

from trivium.core.outcome import Attempt, Terminal
from trivium.core.quick import quick
from trivium.core.request import Identity
from trivium.core.slip import Call
from trivium.kafka.record import Delivered
from trivium.kafka.topics import HEADER_FOLLOWS, HEADER_TRACEPARENT, HEADER_TRACESTATE
from trivium.telemetry import names
from trivium.telemetry.tracing import (
    Tracing,
    context_from_headers,
    context_from_traceparent,
    context_of,
    failed,
    headers_from_context,
    trace_id_of,
)

Headers = tuple[tuple[str, bytes], ...]

GROUP: Final = "trivium.router"
"""Faust's app id, which is the router's consumer group."""
_TRACE: frozenset[str] = frozenset((HEADER_TRACEPARENT, HEADER_TRACESTATE))


@quick
@dataclass(frozen=True, slots=True)
class Marked:
    """One record on its way through the router. `headers` go with what it causes; `root` is for the slip."""

    headers: Headers
    root: str
    span: Span | None = None
    tracing: Tracing | None = None

    def called(self, call: Call) -> Headers:
        """The record led to a call; returns the headers of its work."""
        if self.span is None:
            return self.headers
        self.span.set_attributes(
            {
                names.TASK_TYPE: call.journey.task.name,
                names.TARGET: call.work.target.name,
                names.TIER: call.work.target.tier.value,
                names.ATTEMPT: call.work.attempt,
                names.POLICY_REVISION: call.journey.decision.policy_revision,
            }
        )
        self._judged(call.journey.attempts[:-1])
        if call.work.attempt == 1 or self.root == call.journey.traceparent:
            return self.headers
        # Not a link of this span: to Jaeger a link to a span's own parent takes the place of the parent.
        return (*self.headers, (HEADER_FOLLOWS, self.root.encode()))

    def ended(self, terminal: Terminal, topic: str) -> Headers:
        """The record led to a terminal; returns the headers of the reply."""
        if self.span is None or self.tracing is None:
            return self.headers
        attributes = {
            names.MESSAGING_SYSTEM: "kafka",
            names.MESSAGING_OPERATION: "send",
            names.MESSAGING_DESTINATION: topic,
            names.TENANT: terminal.identity.tenant,
            names.REQUEST_ID: terminal.identity.id,
            names.TERMINAL_KIND: terminal.kind.value,
            names.TIER: terminal.tier,
            names.TARGET: terminal.target,
            names.TASK_TYPE: terminal.task_type,
            names.COST: terminal.cost_micro_dollars,
            names.DOOR: "kafka",
            names.CACHE: terminal.cache.kind if terminal.cache is not None else "miss",
        }
        span = self.tracing.tracer.start_span(
            names.SPAN_TERMINAL, context_of(self.span), SpanKind.PRODUCER, attributes
        )
        if terminal.reason is not None:
            span.set_attribute(names.REASON, terminal.reason.code.value)
            failed(span, terminal.reason.code.value, terminal.reason.message)
        self._judged(terminal.attempts)
        span.end()
        return headers_from_context(span)

    def _judged(self, attempts: Sequence[Attempt]) -> None:
        """What became of the attempt whose outcome this record is."""
        if self.span is not None and attempts:
            self.span.set_attribute(names.VERDICT, attempts[-1].verdict.value)

    def link(self, traceparent: str) -> None:
        """This record comes after the span that a traceparent names."""
        linked = get_current_span(context_from_traceparent(traceparent)).get_span_context()
        if self.span is not None and linked.is_valid:
            self.span.add_link(linked)

    def failed(self, error: BaseException) -> None:
        """The record could not be handled."""
        if self.span is not None:
            failed(self.span, type(error).__name__, str(error))

    def close(self) -> None:
        """The record was handled."""
        if self.span is not None:
            self.span.end()


NO_MARK: Final = Marked((), "")
"""Of a record that could not be read."""


def marked(tracing: Tracing, record: Delivered, name: str, root: str = "") -> Marked:
    """Begin the span of a record; the caller closes it. `root` is the parent when the record itself names none."""
    headers, parent = tuple([h for h in record.headers if h[0] in _TRACE]), ""
    for key, value in headers:
        if key == HEADER_TRACEPARENT:
            parent = value.decode("ascii", "replace")
            break
    if not parent and root:
        headers, parent = ((HEADER_TRACEPARENT, root.encode()),), root
    if not tracing.enabled:
        return Marked(headers, parent)
    span = tracing.tracer.start_span(name, context_from_headers(headers), SpanKind.CONSUMER)
    onward = headers_from_context(span)
    root = parent or _traceparent(onward)
    if not span.is_recording():
        return Marked(onward, root)
    attributes: dict[str, AttributeValue] = {
        names.MESSAGING_SYSTEM: "kafka",
        names.MESSAGING_OPERATION: "process",
        names.MESSAGING_DESTINATION: record.topic,
        names.MESSAGING_PARTITION: str(record.partition),
        names.MESSAGING_OFFSET: record.offset,
        names.MESSAGING_GROUP: GROUP,
    }
    span.set_attributes(attributes)
    return Marked(onward, root, span, tracing)


def identify(mark: Marked, identity: Identity, root: str = "") -> None:
    """Say whose record it is; `root`: the traceparent that the request came with, linked when it is another one."""
    span = mark.span
    if span is None:
        return
    span.set_attribute(names.TENANT, identity.tenant)
    span.set_attribute(names.REQUEST_ID, identity.id)
    if identity.replay:
        span.set_attribute(names.REPLAY, identity.replay)
    if root and root != mark.root and trace_id_of(root) != trace_id_of(mark.root):
        mark.link(root)


def _traceparent(headers: Headers) -> str:
    return next((value.decode() for key, value in headers if key == HEADER_TRACEPARENT), "")
