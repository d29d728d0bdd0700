"""Publishing a file to a running mesh and taking in everything that comes back."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.trace import SpanKind

from infra.demo.requests import Asked
from infra.demo.tally import Tally
from trivium.codec import decode_terminal
from trivium.kafka.producer import Producer
from trivium.kafka.reader import ReaderOptions, Tail
from trivium.kafka.record import Delivered
from trivium.kafka.topics import DEADLETTER, HEADER_CONTENT_TYPE, REQUESTS
from trivium.telemetry.names import (
    MESSAGING_DESTINATION,
    MESSAGING_OPERATION,
    MESSAGING_SYSTEM,
    REQUEST_ID,
    SPAN_PUBLISH,
    TENANT,
)
from trivium.telemetry.tracing import Tracing, context_of, headers_from_context, spanning
from trivium.v1.records_pb2 import DeadLetter

IN_FLIGHT: Final = 24
"""Enough to keep three tiers busy on two cores, few enough that a repeat finds its original in the cache."""

LOOKS_BACK: Final = ("repeat", "paraphrase", "near-miss", "reused-id")
"""These ask what was asked before: they begin when all that was has been answered."""

VIEW_S: Final = 0.5
"""The cache's view of its topic polls every 200 ms."""

SETTLE_S: Final = 1.5
"""After the last terminal: a second one for the same identity would come within a router's next commit."""

GIVE_UP_S: Final = 90.0
"""The longest timeout in the shipped file is 60 s."""


@dataclass(slots=True)
class Run:
    """One pass over a file. `progress` is called with the number of requests that are done."""

    kafka: str
    partitions: int
    reply_topics: Sequence[str]
    tracing: Tracing
    progress: Callable[[int], None]
    before: Callable[[int], None] = lambda _number: None
    """Called before each request with its place in the file."""
    tally: Tally = field(default_factory=Tally)
    _open: dict[str, asyncio.Event] = field(default_factory=dict)
    _settled: set[str] = field(default_factory=set)
    _done: int = 0

    async def publish(self, asked: Sequence[Asked]) -> Tally:
        """Publishes in order, bounded in flight, and waits for everything that can still come."""
        self.tally.asked = len(asked)
        options = ReaderOptions("trivium-demo")
        async with contextlib.AsyncExitStack() as stack:
            for topic in self.reply_topics:
                await self._follow(stack, topic, self._on_reply, options)
            await self._follow(stack, DEADLETTER, self._on_letter, options)
            producer = await stack.enter_async_context(Producer(self.kafka))
            room = asyncio.Semaphore(IN_FLIGHT)
            async with asyncio.TaskGroup() as group:
                for number, one in enumerate(asked):
                    if one.kind in LOOKS_BACK and asked[number - 1].kind not in LOOKS_BACK:
                        await self._all_answered(room)
                    await room.acquire()
                    self.before(one.number)
                    group.create_task(self._one(producer, one, room))
            await asyncio.sleep(SETTLE_S)
        return self.tally

    async def _all_answered(self, room: asyncio.Semaphore) -> None:
        for _ in range(IN_FLIGHT):
            await room.acquire()
        await asyncio.sleep(VIEW_S)
        for _ in range(IN_FLIGHT):
            room.release()

    async def _follow(
        self, stack: contextlib.AsyncExitStack, topic: str, take: Callable[[Delivered], None], options: ReaderOptions
    ) -> None:
        tail = await stack.enter_async_context(Tail(self.kafka, topic, take, from_beginning=False, options=options))
        await tail.wait_caught_up(10_000)

    async def _one(self, producer: Producer, asked: Asked, room: asyncio.Semaphore) -> None:
        with spanning(self.tracing.tracer, SPAN_PUBLISH, kind=SpanKind.PRODUCER, attributes=_attributes(asked)) as span:
            trace = headers_from_context(context_of(span))
            place = await producer.publish(asked.record(self.partitions, trace), 10_000)
        where = f"{place.topic}-{place.partition}-{place.offset}"
        if asked.identity is None:
            self.tally.unreadable.add(where)
        else:
            self.tally.expected.add(asked.identity)
        await self._until_settled(str(asked.identity) if asked.identity else where)
        self._done += 1
        self.progress(self._done)
        room.release()

    async def _until_settled(self, name: str) -> None:
        """Until a terminal of that identity, or a dead letter of that place, has come; or until it is hopeless."""
        if name in self._settled:
            return
        event = self._open.setdefault(name, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GIVE_UP_S):
                await event.wait()

    def _on_reply(self, record: Delivered) -> None:
        headers = dict(record.headers)
        terminal = decode_terminal(record.value or b"", headers.get(HEADER_CONTENT_TYPE, b"").decode())
        self.tally.terminal(terminal, record.timestamp_ms)
        self._settle(str(terminal.identity))

    def _on_letter(self, record: Delivered) -> None:
        letter = DeadLetter.FromString(record.value or b"")
        self.tally.letters[letter.id] = letter
        self._settle(letter.id)

    def _settle(self, name: str) -> None:
        self._settled.add(name)
        if event := self._open.pop(name, None):
            event.set()


def _attributes(asked: Asked) -> dict[str, str]:
    about = {MESSAGING_SYSTEM: "kafka", MESSAGING_OPERATION: "send", MESSAGING_DESTINATION: REQUESTS}
    return about if asked.identity is None else about | {TENANT: asked.identity.tenant, REQUEST_ID: asked.identity.id}
