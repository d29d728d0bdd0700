"""The cache over a broker: what one view's process writes, another view serves, until an order or a document ends it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from infra.broker import EmbeddedBroker
from trivium.cache.lookup import shipped_verifier
from trivium.cache.view import STALE_MS, CacheOptions, CacheView, clock_ms
from trivium.core.decision import Decision, Source
from trivium.core.outcome import Answer, Citation, Terminal, TerminalKind
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import CacheHit, CacheScope, ContentType, End
from trivium.embed.static import StaticEmbedder
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.kafka.topics import CACHE, DOCUMENTS
from trivium.v1 import records_pb2 as pb

PARTITIONS = 4
SCOPE = CacheScope("s1", "How do I get a refund?", True, True, True, 600, "docs")


class Mesh:
    """Two views, as two processes would have them, and a producer."""

    def __init__(self, views: tuple[CacheView, CacheView], producer: Producer) -> None:
        self.views = views
        self.producer = producer

    async def write(self, answer: Answer) -> pb.CacheEntry:
        """What a door writes when the first view's process has answered a request that surely saw every document."""
        now_ms = clock_ms()
        terminal = Terminal(Identity("acme", "r1"), TerminalKind.ANSWERED, answer, task_type="draft",
                            arrived_ms=now_ms + STALE_MS, ended_ms=now_ms)  # fmt: skip
        request = Request(terminal.identity, (Message(Role.USER, SCOPE.question),), tags=("prices",))
        end = End(terminal, Decision(1, "f", Source.DEFAULT, "draft"), request, "r", ContentType.PROTOBUF, SCOPE)
        entry = self.views[0].entry(end)
        assert entry is not None
        await self.send(CACHE, f"{entry.scope}/{entry.id}", entry)
        return entry

    async def document(self, version: str) -> None:
        change = pb.DocumentRecord(tenant="acme", corpus="docs", document="guide.md", version=version, state="present",
                                   epoch=clock_ms())  # fmt: skip
        await self.send(DOCUMENTS, "acme/docs/guide.md", change)

    async def send(
        self, topic: str, key: str, message: pb.CacheEntry | pb.DocumentRecord, partition: int | None = None
    ) -> None:
        await self.producer.publish(Record(topic, key.encode(), message.SerializeToString(), (), partition), 5_000)

    def served(self, number: int) -> bool:
        return isinstance(self.views[number].lookup(SCOPE, clock_ms()), CacheHit)

    async def until(self, what: Callable[[], bool]) -> float:
        """Seconds until it is so."""
        began = time.monotonic()
        async with asyncio.timeout(60):
            while not what():  # noqa: ASYNC110 (a look-up has no event)
                await asyncio.sleep(0.01)
        return time.monotonic() - began


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    embedder, verifier = StaticEmbedder.load(), shipped_verifier()
    with EmbeddedBroker({CACHE: PARTITIONS, DOCUMENTS: PARTITIONS}) as broker:
        async with AsyncExitStack() as stack:
            producer = await stack.enter_async_context(Producer(broker.bootstrap))
            options = CacheOptions(broker.bootstrap)
            one = await stack.enter_async_context(CacheView(options, embedder, verifier))
            two = await stack.enter_async_context(CacheView(options, embedder, verifier))
            assert await one.wait_caught_up(5_000)
            assert await two.wait_caught_up(5_000)
            yield Mesh((one, two), producer)


def sourced(version: str) -> Answer:
    return Answer("See the guide.", sources=(Citation("guide.md", "Refunds", version),))


async def test_an_entry_appears_in_another_view(mesh: Mesh) -> None:
    await mesh.write(Answer("Within 30 days."))
    await mesh.until(lambda: mesh.served(1))


async def test_a_drop_order_empties_every_view(mesh: Mesh) -> None:
    await mesh.write(Answer("Within 30 days."))
    await mesh.until(lambda: mesh.served(0) and mesh.served(1))
    order = pb.CacheEntry(drop=pb.CacheDrop(tenant="acme", tag="prices", before_ms=clock_ms() + 1))
    for partition in range(PARTITIONS):
        await mesh.send(CACHE, f"drop/{partition}", order, partition)
    await mesh.until(lambda: not mesh.served(0) and not mesh.served(1))


async def test_a_changed_document_ends_what_stands_on_it_within_the_stated_time(mesh: Mesh) -> None:
    await mesh.document("v1")
    await mesh.write(sourced("v1"))
    await mesh.until(lambda: mesh.served(0) and mesh.served(1))
    await mesh.document("v2")
    assert await mesh.until(lambda: not mesh.served(0) and not mesh.served(1)) < STALE_MS / 1000


async def test_documentary_answers_stop_when_the_broker_is_gone(mesh: Mesh) -> None:
    await mesh.document("v1")
    await mesh.write(sourced("v1"))
    await mesh.until(lambda: mesh.served(1))
    found = mesh.views[1].lookup(SCOPE, clock_ms())
    assert isinstance(found, CacheHit)
    await mesh.views[1].__aexit__()
    await mesh.until(lambda: not mesh.served(1))
    assert "not read to their end" in mesh.views[1].lookup(SCOPE, clock_ms()).refused[0].why
