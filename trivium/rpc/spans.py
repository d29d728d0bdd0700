"""Spans around gRPC calls that end in every case: return, error, cancellation, deadline, and streams nobody reads.

OpenTelemetry's own aio interceptors leak or hang in these cases (opentelemetry-python-contrib 3271, 5046, 3066).
"""

from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from typing import Any, Generic, TypeVar, cast

import grpc
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from trivium.telemetry.names import RPC_METHOD, RPC_STATUS, RPC_SYSTEM
from trivium.telemetry.tracing import NO_CONTEXT, context_from_metadata, failed, metadata_from_context

T = TypeVar("T")

Attributes = dict[str, AttributeValue]
Metadata = Sequence[tuple[str, str]]


def metadata_of(context: grpc.aio.ServicerContext[Any, Any]) -> Sequence[tuple[str, str | bytes]]:
    """The caller's metadata. Converted anew at every call: ask once a request."""
    return cast(Sequence[tuple[str, str | bytes]], context.invocation_metadata() or ())


class Ending:
    """`with` it: the span ends in every case. A class, because a generator for every call takes three times as long."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> Span:
        return self._span

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            _ended_badly(self._span, error)
        self._span.end()


def serving(
    tracer: Tracer,
    name: str,
    metadata: Iterable[tuple[str, str | bytes]],
    attributes: Attributes | None = None,
) -> Ending:
    """The SERVER span of one call, child of the caller's. `with` it inside the handler's own body."""
    return Ending(tracer.start_span(name, context_from_metadata(metadata), SpanKind.SERVER, attributes))


async def call_unary(
    tracer: Tracer,
    name: str,
    method: Any,
    request: Any,
    *,
    timeout_s: float,
    parent: Context = NO_CONTEXT,
    attributes: Attributes | None = None,
    links: Sequence[Link] = (),
    metadata: Metadata = (),
) -> Any:
    """Call `method` (a stub's unary method) inside a CLIENT span. Raises what the call raises; a cancelled caller
    cancels the call."""
    span = tracer.start_span(name, parent, SpanKind.CLIENT, attributes, links)
    try:
        return await method(request, timeout=timeout_s, metadata=(*metadata_from_context(span), *metadata) or None)
    except BaseException as error:
        _ended_badly(span, error)
        raise
    finally:
        span.end()


class TracedStream(Generic[T]):
    """A response stream whose CLIENT span ends with the call, whether anybody reads it or not."""

    def __init__(self, call: Any, span: Span) -> None:
        self._call = call
        self.span = span
        call.add_done_callback(self._done)

    async def __aiter__(self) -> AsyncIterator[T]:
        try:
            async for message in self._call:
                yield message
        finally:
            # grpc.aio cancels the call of a cancelled reader only while it waits for a message, not just before.
            self._call.cancel()

    def cancel(self) -> None:
        """Stop the call; the other side sees a cancellation."""
        self._call.cancel()

    def _done(self, call: Any) -> None:
        code = _at_once(call.code()) or grpc.StatusCode.UNKNOWN
        if code is not grpc.StatusCode.OK:
            _note_status(self.span, code, _at_once(call.details()) or "")
        self.span.end()


def _at_once(answer: Coroutine[Any, Any, T]) -> T | None:
    """What a coroutine gives that need not wait: the status of a call that is over."""
    try:
        answer.send(None)
    except StopIteration as stop:
        return cast(T, stop.value)
    answer.close()
    return None


def call_stream(
    tracer: Tracer,
    name: str,
    method: Any,
    request: Any,
    *,
    timeout_s: float,
    parent: Context = NO_CONTEXT,
    attributes: Attributes | None = None,
    links: Sequence[Link] = (),
    metadata: Metadata = (),
) -> TracedStream[Any]:
    """Call `method` (a stub's server-streaming method) inside a CLIENT span. Whoever leaves early calls cancel()."""
    span = tracer.start_span(name, parent, SpanKind.CLIENT, attributes, links)
    try:
        call = method(request, timeout=timeout_s, metadata=(*metadata_from_context(span), *metadata) or None)
        return TracedStream(call, span)
    except BaseException as error:
        _ended_badly(span, error)
        span.end()
        raise


def rpc_attributes(method: str) -> Attributes:
    """What every gRPC span says. `method`: package.Service/Method."""
    return {RPC_SYSTEM: "grpc", RPC_METHOD: method}


def _ended_badly(span: Span, error: BaseException) -> None:
    if not span.is_recording():
        return
    if isinstance(error, grpc.aio.AioRpcError):
        _note_status(span, error.code(), error.details() or "")
    else:
        failed(span, type(error).__name__, str(error))


def _note_status(span: Span, code: grpc.StatusCode, details: str) -> None:
    if span.is_recording():
        span.set_attribute(RPC_STATUS, code.value[0])
        failed(span, code.name, details)
