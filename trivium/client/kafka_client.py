"""The log, as a Python product sees it: publish a request, await its first terminal."""

import asyncio
from collections import OrderedDict
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Self

from google.protobuf import json_format
from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, Span, SpanKind, Tracer

from trivium.client.memory import Kept, Memory
from trivium.client.requests import Asked, message_of
from trivium.codec import decode_terminal, identity_from
from trivium.core.errors import BadRequest, Unreachable
from trivium.core.outcome import Reason, ReasonCode, Terminal
from trivium.core.partition import home
from trivium.core.request import Identity
from trivium.core.slip import ContentType
from trivium.kafka.outbox import Outbox
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.reader import ReaderOptions, Tail, end_offsets, read_tail
from trivium.kafka.record import Delivered, Record
from trivium.kafka.signature import Signer
from trivium.kafka.topics import HEADER_CONTENT_TYPE, HEADER_REPLAY, HEADER_SCHEMA, PARTITIONS, REQUESTS, RESPONSES
from trivium.telemetry.names import (
    MESSAGING_DESTINATION,
    MESSAGING_OPERATION,
    MESSAGING_PARTITION,
    MESSAGING_SYSTEM,
    REQUEST_ID,
    SPAN_PUBLISH,
    TENANT,
)
from trivium.telemetry.tracing import NO_CONTEXT, headers_from_context, trace_id_of
from trivium.v1 import request_pb2

_CLOCKS_MS: Final = 60_000
"""How far this machine's clock and the broker's may be apart."""
_REMEMBERED: Final = 100_000
_SCHEMA: Final = (HEADER_SCHEMA, b"trivium.v1.Request")

Key = tuple[bytes, bytes]
"""tenant/id, replay."""


@dataclass(frozen=True, slots=True)
class KafkaClientOptions:
    """Times are ms."""

    partitions: int = PARTITIONS
    content_type: ContentType = ContentType.PROTOBUF
    """PROTOBUF or JSON: events are written with a library for CloudEvents (docs/wire.md)."""
    in_flight: int = 2_000
    """Unanswered requests at most; `publish` waits for room. The embedded broker keeps 5 MB a partition only."""
    timeout_ms: int = 120_000
    """How long a terminal is waited for."""
    fetch_max_wait_ms: int = 10
    connect_timeout_ms: int = 8_000
    max_record_bytes: int = 1_000_000
    memory: str = ""
    """A file that remembers across restarts what was asked and answered; empty: nothing is. One file for each client."""
    key: str = field(default="", repr=False)
    """The tenant's API key: every request is signed with it. Empty: none is."""

    def __post_init__(self) -> None:
        if self.content_type not in (ContentType.PROTOBUF, ContentType.JSON):
            raise ValueError(f"this client writes protobuf or JSON, not {self.content_type.value}")


class Pending:
    """A published request; awaiting it gives the first terminal. Raises TimeoutError when none came in time,
    Unreachable when the broker is gone, BadRequest when the record is too large for it."""

    def __init__(self, message: request_pb2.Request, identity: Identity, trace_id: str) -> None:
        self.identity = identity
        self.trace_id = trace_id
        """32 hex digits; empty without a tracer."""
        self.message = message
        self.future: asyncio.Future[Terminal] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None
        self.accepted = asyncio.Event()
        """Set once the broker has the request: from then on it gets its terminal."""

    def __await__(self) -> Generator[Any, None, Terminal]:
        return asyncio.shield(self.future).__await__()

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.future.done()

    def end(self, result: Terminal | Exception) -> None:
        """Give whoever waits the result; the first counts."""
        if self.timer is not None:
            self.timer.cancel()
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
            # Nobody may be waiting: an exception that is never looked at would be a warning at the end.
            self.future.exception()
        else:
            self.future.set_result(result)


class KafkaClient:
    """Publishes for one tenant and reads one reply topic; `async with` it.

    What repeats is harmless: the same identity published again joins the first, and only the first terminal counts
    (`duplicates` counts the others). With `options.memory` that holds across restarts too: what was asked and not answered
    is in `resumed` after the start, what was answered is answered from the file and not published again."""

    def __init__(
        self,
        bootstrap: str,
        tenant: str,
        reply_topic: str = RESPONSES,
        *,
        options: KafkaClientOptions | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._options = chosen = options or KafkaClientOptions()
        self._tenant = tenant
        self._tracer = tracer or NoOpTracer()
        self._signer = Signer(chosen.key) if chosen.key else None
        self._producer = Producer(
            bootstrap,
            ProducerOptions(max_record_bytes=chosen.max_record_bytes, start_timeout_ms=chosen.connect_timeout_ms),
        )
        reading = ReaderOptions(fetch_max_wait_ms=chosen.fetch_max_wait_ms, start_timeout_ms=chosen.connect_timeout_ms)
        self._bootstrap, self._reading = bootstrap, reading
        self._replies = Tail(bootstrap, reply_topic, self._take, from_beginning=False, options=reading)
        self._reply_topic = reply_topic
        self._outbox: Outbox | None = None
        self._pending: dict[Key, Pending] = {}
        self._room = asyncio.Semaphore(chosen.in_flight)
        self._answered: OrderedDict[Key, None] = OrderedDict()
        self._memory = Memory(chosen.memory) if chosen.memory else None
        self.duplicates = 0
        """Terminals that came for an identity after its first."""
        self.resumed: tuple[Pending, ...] = ()
        """What this client asked before its restart and was not answered then; await them."""

    async def __aenter__(self) -> Self:
        await self._producer.start()
        try:
            self._replies.start()
            if not await self._replies.wait_caught_up(self._options.connect_timeout_ms):
                raise Unreachable(f"the reply topic {self._reply_topic} cannot be read")
            self._outbox = Outbox(self._producer, self._too_large)
            self._outbox.start()
            self._outbox.failed.add_done_callback(self._broker_lost)
            if self._memory is not None:
                await self._resume(self._memory)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop; what is unanswered raises Unreachable for whoever still awaits it."""
        if self._outbox is not None:
            await self._outbox.stop()
        await self._replies.stop()
        await self._producer.stop()
        for pending in list(self._pending.values()):
            self._end(pending, Unreachable(f"the client was closed before {pending.identity} was answered"))
        if self._memory is not None:
            self._memory.close()

    @property
    def room(self) -> int:
        """Unanswered requests at most."""
        return self._options.in_flight

    @property
    def in_flight(self) -> int:
        """Requests that were published and are not answered."""
        return len(self._pending)

    async def publish(self, asked: Asked, *, parent: Context = NO_CONTEXT, timeout_ms: int | None = None) -> Pending:
        """Publish a request at its home; returns when there was room for it. Await the result for the terminal.

        Raises BadRequest when its identity is in flight with another body, TimeoutError when no room came."""
        message = message_of(asked, self._tenant)
        identity = identity_from(message)
        key = _key(identity)
        patience_ms = timeout_ms or self._options.timeout_ms
        known = self._joined(key, message) or self._remembered(identity, message)
        known = known or await self._after_room(key, message, patience_ms)
        if known is not None:
            return known
        if self._memory is not None:
            self._memory.ask(identity, message)
        return self._published(message, identity, parent, patience_ms)

    def _published(
        self, message: request_pb2.Request, identity: Identity, parent: Context, patience_ms: int, again: bool = False
    ) -> Pending:
        """`again`: it is pending already."""
        key, partition = _key(identity), home(identity.key, self._options.partitions)
        span = self._tracer.start_span(SPAN_PUBLISH, parent, SpanKind.PRODUCER)
        if span.is_recording():
            span.set_attributes({
                TENANT: identity.tenant, REQUEST_ID: identity.id, MESSAGING_SYSTEM: "kafka", MESSAGING_OPERATION: "send",
                MESSAGING_DESTINATION: REQUESTS, MESSAGING_PARTITION: str(partition),
            })  # fmt: skip
        pending = self._pending[key] if again else self._expected(message, identity, trace_id_of(span), patience_ms)
        value, headers = self._encode(message), self._headers(headers_from_context(span))
        if self._signer is not None:
            headers = (*headers, *self._signer.headers(identity, value))
        record = Record(REQUESTS, key[0], value, headers, partition)
        self._box().put(((record,),), partial(_accepted, pending, span))
        return pending

    def _expected(self, message: request_pb2.Request, identity: Identity, trace_id: str, patience_ms: int) -> Pending:
        pending = self._pending[_key(identity)] = Pending(message, identity, trace_id)
        pending.timer = asyncio.get_running_loop().call_later(patience_ms / 1000, self._expire, pending)
        return pending

    def _remembered(self, identity: Identity, message: request_pb2.Request) -> Pending | None:
        """Answered before a restart."""
        if self._memory is None or not self._memory.has_answer(identity):
            return None
        kept = self._memory.ask(identity, message)
        assert kept is not None
        pending = Pending(message, identity, "")
        pending.end(decode_terminal(kept.value, kept.content_type))
        return pending

    async def _resume(self, memory: Memory) -> None:
        """What was asked before: its terminal may have come meanwhile; else it is published again, which is harmless where
        it is known, and right where it never arrived."""
        earlier = list(memory.unanswered())
        if not earlier:
            return
        self._room = asyncio.Semaphore(max(0, self._options.in_flight - len(earlier)))
        patience_ms = self._options.timeout_ms
        self.resumed = tuple(self._expected(asked, identity_from(asked), "", patience_ms) for _, asked in earlier)
        ends = await end_offsets(self._bootstrap, self._reply_topic, self._reading)
        since = earlier[0][0] - _CLOCKS_MS
        async for record in read_tail(self._bootstrap, self._reply_topic, since, ends, self._reading):
            self._take(record)
        for pending in self.resumed:
            if not pending.done:
                self._published(pending.message, pending.identity, NO_CONTEXT, patience_ms, again=True)

    async def ask(self, asked: Asked, *, parent: Context = NO_CONTEXT, timeout_ms: int | None = None) -> Terminal:
        """Publish and await, in one."""
        return await (await self.publish(asked, parent=parent, timeout_ms=timeout_ms))

    async def send_raw(self, value: bytes, key: bytes | None = None, content_type: str = "") -> None:
        """Publish bytes as they are, for what is not a request (yet); returns when the broker has them. A dead letter
        or a refusal is the answer to what cannot be read."""
        headers = ((HEADER_CONTENT_TYPE, content_type.encode()),) if content_type else ()
        await self._producer.publish(Record(REQUESTS, key, value, headers), self._options.connect_timeout_ms)

    async def _after_room(self, key: Key, message: request_pb2.Request, patience_ms: int) -> Pending | None:
        """None when there is room; else somebody published the same meanwhile."""
        async with asyncio.timeout(patience_ms / 1000):
            await self._room.acquire()
        known = self._joined(key, message)
        if known is not None:
            self._room.release()
        return known

    def _joined(self, key: Key, message: request_pb2.Request) -> Pending | None:
        known = self._pending.get(key)
        if known is not None and known.message != message:
            what = f"{known.identity} is in flight with another body"
            raise BadRequest(Reason(ReasonCode.ID_REUSED, what, "id", "a new id for a new request"), known.identity)
        return known

    def _take(self, record: Delivered) -> None:
        key = (record.key or b"", record.header(HEADER_REPLAY) or b"0")
        pending = self._pending.get(key)
        if pending is None:
            self.duplicates += key in self._answered or self._was_answered(key)
            return
        kind = record.header(HEADER_CONTENT_TYPE)
        if self._memory is not None:
            self._memory.answered(pending.identity, Kept(record.value or b"", kind.decode() if kind else None))
        try:
            self._end(pending, decode_terminal(record.value or b"", kind.decode() if kind else None))
        except (ValueError, BadRequest) as error:
            self._end(pending, Unreachable(f"the terminal of {pending.identity} cannot be read: {error}"))
        self._answered[key] = None
        if len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)

    def _was_answered(self, key: Key) -> bool:
        if self._memory is None:
            return False
        name = key[0].decode("utf-8", "replace").removeprefix(f"{self._tenant}/")
        return self._memory.has_answer(Identity(self._tenant, name, int(key[1])))

    def _end(self, pending: Pending, result: Terminal | Exception) -> None:
        if self._pending.pop(_key(pending.identity), None) is not None:
            self._room.release()
        pending.end(result)

    def _expire(self, pending: Pending) -> None:
        self._end(pending, TimeoutError(f"no terminal for {pending.identity} in time; it may still come"))

    def _too_large(self, record: Record, error: BaseException) -> Sequence[Record]:
        for key, pending in list(self._pending.items()):
            if key[0] == record.key:
                if self._memory is not None:
                    self._memory.forget(pending.identity)
                hint = f"at most {self._options.max_record_bytes} bytes"
                reason = Reason(
                    ReasonCode.PROMPT_TOO_LARGE, f"the broker refuses the record: {error}", "messages", hint
                )
                self._end(pending, BadRequest(reason, pending.identity))
        return ()

    def _broker_lost(self, failed: "asyncio.Future[None]") -> None:
        if failed.cancelled():
            return
        for pending in list(self._pending.values()):
            self._end(pending, Unreachable(str(failed.exception())))

    def _encode(self, message: request_pb2.Request) -> bytes:
        if self._options.content_type is ContentType.JSON:
            return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None).encode()
        return message.SerializeToString()

    def _headers(self, trace: tuple[tuple[str, bytes], ...]) -> tuple[tuple[str, bytes], ...]:
        return ((HEADER_CONTENT_TYPE, self._options.content_type.value.encode()), _SCHEMA, *trace)

    def _box(self) -> Outbox:
        if self._outbox is None:
            raise Unreachable("the client is not open: use it with `async with`")
        return self._outbox


def _accepted(pending: Pending, span: Span) -> None:
    span.end()
    pending.accepted.set()


def _key(identity: Identity) -> Key:
    return identity.key.encode(), b"%d" % identity.replay

