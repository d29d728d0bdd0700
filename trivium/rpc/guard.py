"""What stands before every handler: readable bytes, the size cap, a deadline, and errors as statuses.

Handlers are wrapped once, when they are registered; interceptors would be asked again at every call.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from trivium.core.errors import BadRequest
from trivium.core.outcome import Reason
from trivium.rpc.channels import MAX_MESSAGE_BYTES
from trivium.rpc.gate import Gate

_LOG = logging.getLogger(__name__)

NO_DEADLINE: Final = (
    "this call has no deadline: set one (timeout= in Python, WithTimeout in Go, withDeadlineAfter in Java)"
)
TRAILER_REASON: Final = "trivium-reason"
"""Trailing metadata of a refusal: the reason's code."""
TRAILER_FIELD: Final = "trivium-field"
"""Trailing metadata of a refusal: where in the request."""

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """Stands for a message that the handler must not see."""

    code: grpc.StatusCode
    details: str


class GuardedServer:
    """Looks like a server to the generated `add_XServicer_to_server` functions, and wraps what they register."""

    def __init__(self, server: grpc.aio.Server, gate: Gate | None = None) -> None:
        """`gate`: asked before every handler; None: nobody is asked for a key, and nothing is paid for it."""
        self._server = server
        self._gate = gate
        self.names: list[str] = []
        """Full names of the services that were registered."""

    def add_generic_rpc_handlers(self, _handlers: object) -> None:
        """Nothing: generated code registers each service twice, the second time with names."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Register the guarded handlers of one service."""
        guarded = {name: guard(f"{service}/{name}", handler, self._gate) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, guarded),))
        self._server.add_registered_method_handlers(service, guarded)  # type: ignore[attr-defined]
        self.names.append(service)


def guard(method: str, handler: Handler, gate: Gate | None = None) -> Handler:
    """The same handler behind the checks. `method`: service/method, for messages."""
    read, write = _reader(method, handler.request_deserializer), handler.response_serializer

    def unary(inner: Callable[..., Any]) -> Callable[..., Any]:
        return _unary(method, inner if gate is None else gate.locked(method, inner, streamed=False))

    def streaming(inner: Callable[..., Any]) -> Callable[..., Any]:
        return _streaming(method, inner if gate is None else gate.locked(method, inner, streamed=True))

    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(unary(handler.unary_unary), read, write)
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(streaming(handler.unary_stream), read, write)
    if handler.stream_unary is not None:
        return grpc.stream_unary_rpc_method_handler(unary(handler.stream_unary), read, write)
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(streaming(handler.stream_stream), read, write)
    raise TypeError(f"{method} has no behaviour")


async def refuse(
    context: Context, reason: Reason, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT
) -> NoReturn:
    """End a call with what was wrong, where, and what would be right."""
    context.set_trailing_metadata(((TRAILER_REASON, reason.code.value), (TRAILER_FIELD, reason.field)))
    await context.abort(code, sentence(reason))
    raise AssertionError("abort returned")


def sentence(reason: Reason) -> str:
    """A reason as one line for a person."""
    where = f" ({reason.field})" if reason.field else ""
    return f"{reason.message}{where}" + (f"; {reason.hint}" if reason.hint else "")


def _reader(method: str, parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        if len(data) > MAX_MESSAGE_BYTES:
            said = f"{method}: the message has {len(data):,} bytes; at most {MAX_MESSAGE_BYTES:,} are taken"
            return _Unreadable(grpc.StatusCode.RESOURCE_EXHAUSTED, said)
        try:
            return parse(data) if parse else data
        except DecodeError:
            said = f"{method}: the {len(data):,} bytes of the message are not the protobuf message of this method"
            return _Unreadable(grpc.StatusCode.INVALID_ARGUMENT, said)

    return read


def _unary(method: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    async def guarded(request: Any, context: Context) -> Any:
        if type(request) is _Unreadable:
            await context.abort(request.code, request.details)
        if context.time_remaining() is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, NO_DEADLINE)
        try:
            return await inner(request, context)
        except Exception as error:
            await _told(method, error, context)

    return guarded


def _streaming(method: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
        if type(request) is _Unreadable:
            await context.abort(request.code, request.details)
        if context.time_remaining() is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, NO_DEADLINE)
        answers = inner(request, context)
        try:
            async for message in answers:
                yield message
        except Exception as error:
            await _told(method, error, context)
        finally:
            # Cancelled between two messages: the handler's own finally must run now, not at collection.
            await answers.aclose()

    return guarded


async def _told(method: str, error: Exception, context: Context) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, BadRequest):
        await refuse(context, error.reason)
    _LOG.error("%s failed", method, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, f"{method} failed inside: {type(error).__name__}; its log says more")
    raise AssertionError("abort returned")
