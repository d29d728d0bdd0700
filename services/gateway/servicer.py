"""Gateway: the five methods, and what they have in common."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import grpc
from opentelemetry.trace import Span

from services.gateway.book import Book
from services.gateway.describe import describe
from services.gateway.flights import Flight, Flights
from services.gateway.log import Log
from services.gateway.running import Running
from trivium.codec import identity_from, request_from, terminal_to
from trivium.core.errors import BadRequest, Unreachable
from trivium.core.journey import refuse as refused_end
from trivium.core.outcome import Reason, ReasonCode, Terminal
from trivium.core.request import Identity, Request
from trivium.core.slip import Arrival, End
from trivium.facts import Policies
from trivium.process import Process
from trivium.rpc.guard import refuse
from trivium.rpc.spans import metadata_of, serving
from trivium.telemetry.names import SPAN_COMPLETE
from trivium.telemetry.tracing import context_from_metadata, context_of, traceparent_of
from trivium.v1 import outcome_pb2, records_pb2, request_pb2, services_pb2, services_pb2_grpc

Context = Any
Metadata = Sequence[tuple[str, str | bytes]]
Event = services_pb2.CompletionEvent

IDEMPOTENCY_KEY: Final = "idempotency-key"
"""Metadata that takes Complete through the log; its value is the request's id."""
_MARGIN_MS: Final = 200
"""Before the caller's deadline: time to tell how it ended."""
_LOOK_BACK_AFTER_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the servicer stands on. `now_ms`: epoch ms."""

    process: Process
    policies: Policies
    running: Running
    log: Log
    book: Book
    now_ms: Callable[[], int]


class Gateway(services_pb2_grpc.GatewayServicer):
    """The servicer. Refusals of the journey are terminals; what has no identity is INVALID_ARGUMENT."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._flights = Flights()

    async def Complete(self, message: request_pb2.Request, context: Context) -> outcome_pb2.Terminal:
        """With metadata idempotency-key through the log; without it in process."""
        metadata = metadata_of(context)
        key = _idempotency_key(metadata)
        with serving(self._parts.process.tracer, SPAN_COMPLETE, metadata) as span:
            if key is not None:
                return await self._through_log(message, key, context, span)
            flight = await self._entered(message, context)
            if not isinstance(flight, Flight):
                return flight
            try:
                return await self._completed(flight, context, span)
            finally:
                self._flights.leave(flight)

    async def CompleteStream(self, message: request_pb2.Request, context: Context) -> AsyncGenerator[Event]:
        """Deltas, then exactly one terminal. With metadata idempotency-key the whole answer is one delta."""
        metadata = metadata_of(context)
        key = _idempotency_key(metadata)
        with serving(self._parts.process.tracer, SPAN_COMPLETE, metadata) as span:
            known = await self._through_log(message, key, context, span) if key is not None else None
            flight = known or await self._entered(message, context)
            if not isinstance(flight, Flight):
                for event in _whole(flight):
                    yield event
                return
            try:
                async with aclosing(self._streamed(flight, context, span)) as events:
                    async for event in events:
                        yield event
            finally:
                self._flights.leave(flight)

    async def Submit(self, message: request_pb2.Request, context: Context) -> services_pb2.Receipt:
        """Publishes; returns after the broker has it. A bad request is refused before."""
        identity = await self._identified(message, context)
        await self._refuse_other_body(identity, message, context)
        parent = context_from_metadata(metadata_of(context))
        try:
            return await self._parts.log.submit(message, parent, self._left_ms(context))
        except Unreachable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            raise AssertionError from error

    async def Await(self, asked: services_pb2.AwaitRequest, context: Context) -> outcome_pb2.Terminal:
        """The terminal of a submitted request, old or new; DEADLINE_EXCEEDED when there is none in time."""
        identity = await self._named(asked.identity, context)
        flight = self._flights.find(identity)
        here = await flight.joined() if flight is not None else None
        return here or terminal_to(await self._awaited(identity, asked.reply_to, 0.0, context))

    async def Cancel(self, asked: services_pb2.CancelRequest, context: Context) -> services_pb2.CancelReply:
        """Stops what runs here; else tells the owner through the log."""
        identity = await self._named(asked.identity, context)
        self._parts.log.tenant(identity.tenant)
        flight = self._flights.find(identity)
        if flight is not None:
            flight.cancel()
            return services_pb2.CancelReply(state="cancelled")
        try:
            await self._parts.log.cancel(identity, self._left_ms(context))
        except Unreachable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        return services_pb2.CancelReply(state="requested")

    async def Feedback(self, message: records_pb2.FeedbackRecord, context: Context) -> services_pb2.Receipt:
        """How an answer was received; returns after the broker has it, whether or not the request is known yet."""
        identity = await self._named(message.identity, context)
        self._parts.log.tenant(identity.tenant)
        try:
            return await self._parts.log.feedback(message, self._left_ms(context), self._parts.now_ms)
        except Unreachable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            raise AssertionError from error

    # --- in process ------------------------------------------------------------------------------------------------

    async def _entered(self, message: request_pb2.Request, context: Context) -> Flight | outcome_pb2.Terminal:
        """A flight of its own, or the terminal of an equal request that was under way."""
        identity = await self._identified(message, context)
        while (other := await self._refuse_other_body(identity, message, context)) is not None:
            self._parts.process.metrics.duplicate()
            terminal = await other.joined()
            if terminal is not None:
                return terminal
        if self._parts.book.full:
            said = "the ledger cannot be written: the broker confirms nothing; ask again later"
            await context.abort(grpc.StatusCode.UNAVAILABLE, said)
        return self._flights.enter(identity, message)

    async def _completed(self, flight: Flight, context: Context, span: Span) -> outcome_pb2.Terminal:
        arrival = self._arrival(context, span)
        asked = self._read(flight, arrival)
        if isinstance(asked, End):
            return self._finish(asked, flight, span)
        try:
            end = await self._parts.running.run(asked, flight, arrival, span)
        except asyncio.CancelledError:
            self._abandon(flight, span)
            raise
        return self._finish(end, flight, span)

    async def _streamed(self, flight: Flight, context: Context, span: Span) -> AsyncGenerator[Event]:
        arrival = self._arrival(context, span)
        asked = self._read(flight, arrival)
        if isinstance(asked, End):
            yield Event(terminal=self._finish(asked, flight, span))
            return
        try:
            async with aclosing(self._parts.running.stream(asked, flight, arrival, span)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, End):
                        yield Event(terminal=self._finish(piece, flight, span))
                    else:
                        yield Event(delta=piece)
        except (asyncio.CancelledError, GeneratorExit):
            self._abandon(flight, span)
            raise

    def _read(self, flight: Flight, arrival: Arrival) -> Request | End:
        try:
            return request_from(flight.message)
        except BadRequest as error:
            return refused_end(
                flight.identity, error.reason, self._parts.policies.current, self._parts.now_ms(), arrival
            )

    def _arrival(self, context: Context, span: Span) -> Arrival:
        left = int(context.time_remaining() * 1000)
        deadline = self._parts.now_ms() + max(1, left - min(_MARGIN_MS, left // 5))
        return Arrival(traceparent=traceparent_of(span), deadline_ms=deadline)

    def _finish(self, end: End, flight: Flight, span: Span) -> outcome_pb2.Terminal:
        """The end is written down, counted and described; nothing is waited for."""
        parts = self._parts
        flight.terminal = terminal = terminal_to(end.terminal)
        parts.book.write(end, terminal)
        parts.process.metrics.terminal(end.terminal, "grpc", end.request, parts.policies.current.shown)
        if span.is_recording():
            describe(span, end.request, end.terminal, parts.process.settings.capture_prompts)
        return terminal

    def _abandon(self, flight: Flight, span: Span) -> None:
        """The caller went away: what was spent is written down all the same."""
        if flight.terminal is None and flight.journey is not None:
            self._finish(self._parts.running.cancelled(flight.journey), flight, span)
            flight.terminal = None

    # --- through the log -------------------------------------------------------------------------------------------

    async def _through_log(
        self, message: request_pb2.Request, key: str, context: Context, span: Span
    ) -> outcome_pb2.Terminal:
        if not key or (message.id and message.id != key):
            what = f"the metadata idempotency-key is {key[:80]!r} and the id is {message.id[:80]!r}"
            await refuse(context, Reason(ReasonCode.WRONG_SHAPE, what, "id", "set one of them, or both to the same"))
        message.id = key
        identity = await self._identified(message, context)
        await self._refuse_other_body(identity, message, context)
        try:
            once = await self._parts.log.submit_once(message, context_of(span), self._left_ms(context))
        except BadRequest as error:
            if error.reason.code is not ReasonCode.ID_REUSED:
                raise
            await refuse(context, error.reason, grpc.StatusCode.ALREADY_EXISTS)
        except Unreachable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"whether {identity} has ended was not found out in time")
        if isinstance(once, Terminal):
            terminal = once
        else:
            terminal = await self._awaited(identity, message.reply_to, _LOOK_BACK_AFTER_S, context, once)
        if span.is_recording():
            describe(span, request_from(message), terminal, self._parts.process.settings.capture_prompts)
        return terminal_to(terminal)

    async def _awaited(
        self, identity: Identity, reply_to: str, look_back_after_s: float, context: Context, since_ms: int = 0
    ) -> Terminal:
        try:
            async with asyncio.timeout(self._left_ms(context) / 1000):
                return await self._parts.log.wait(identity, reply_to, look_back_after_s, since_ms)
        except Unreachable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            raise AssertionError from error
        except TimeoutError:
            said = f"{identity} has no terminal yet; it goes on: Await it again"
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, said)
            raise AssertionError from None

    # --- identities and deadlines ----------------------------------------------------------------------------------

    async def _identified(self, message: request_pb2.Request, context: Context) -> Identity:
        """The identity; one who chose no id gets a new one, in the terminal and the receipt."""
        if not message.tenant:
            await refuse(context, _missing("tenant"))
        if not message.id:
            message.id = os.urandom(16).hex()
        return identity_from(message)

    async def _named(self, message: request_pb2.Identity, context: Context) -> Identity:
        for name, value in (("identity.tenant", message.tenant), ("identity.id", message.id)):
            if not value:
                await refuse(context, _missing(name))
        return identity_from(message)

    async def _refuse_other_body(
        self, identity: Identity, message: request_pb2.Request, context: Context
    ) -> Flight | None:
        """The flight of an equal request, if there is one; a different request under the same id is refused."""
        other = self._flights.find(identity)
        if other is not None and other.message != message:
            what = f"{identity} is under way with another body"
            reason = Reason(ReasonCode.ID_REUSED, what, "id", "a new id for a new request, or the next replay number")
            await refuse(context, reason, grpc.StatusCode.ALREADY_EXISTS)
        return other

    def _left_ms(self, context: Context) -> int:
        left = int(context.time_remaining() * 1000)
        return max(1, left - min(_MARGIN_MS, left // 5))


def _idempotency_key(metadata: Metadata) -> str | None:
    for key, value in metadata:
        if key == IDEMPOTENCY_KEY:
            return value if isinstance(value, str) else value.decode("utf-8", "replace")
    return None


def _whole(terminal: outcome_pb2.Terminal) -> Iterator[Event]:
    if terminal.answer.text:
        yield Event(delta=terminal.answer.text)
    yield Event(terminal=terminal)


def _missing(field: str) -> Reason:
    return Reason(
        ReasonCode.MISSING_FIELD, f"the {field} is missing", field, "name it; the tenant is one of the policy's"
    )
