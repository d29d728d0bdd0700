"""From the change of a document to the last answer of the cache that stood on the version before.

A file is changed and sent to the retrieval service with the client of `trivium ingest`; the service writes the topic
trivium.documents on the embedded broker; a view of the cache reads it as a router's and a gateway's does. Meanwhile
requests are decided without a pause, and each tells whether the cached answer still served. The clock starts when the
change is sent, so that what the service itself needs is counted. A door serves nothing that stands on documents once its
view is more than 2 s behind, so the bound is those 2 s after the service has announced the change.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from opentelemetry.trace import NoOpTracer

from benchmarks.report import finish, print_table
from benchmarks.shared_data import progress
from infra.broker import EmbeddedBroker
from services.retrieval.announcer import LogAnnouncer
from services.retrieval.embedding import bundled
from services.retrieval.library import Library
from services.retrieval.lite import LiteServer
from services.retrieval.milvus import Milvus, Place
from services.retrieval.servicer import Servicer
from trivium.cache.lookup import shipped_verifier
from trivium.cache.view import STALE_MS, CacheOptions, CacheView, clock_ms
from trivium.core.decision import Decision, Source
from trivium.core.outcome import Answer, Citation, Terminal, TerminalKind
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import CacheHit, CacheScope, ContentType, End
from trivium.embed.static import StaticEmbedder
from trivium.ingest.files import select
from trivium.ingest.send import Sent, ingest
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.kafka.topics import CACHE, DOCUMENTS
from trivium.rpc.channels import channel
from trivium.rpc.server import RpcServer, adding
from trivium.v1.services_pb2_grpc import add_RetrievalServicer_to_server

SCOPE: Final = CacheScope("s1", "How long may I return an item?", True, True, True, 3600, "docs")
TENANT: Final = "acme"
COLLECTION: Final = "trivium_benchmark_staleness"
CHANGE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Change:
    """One change. Times are ms since it was sent."""

    announced_ms: float
    """When the client had the service's word that the new version counts."""
    last_stale_ms: float
    """The last decision that the answer of the old version served; 0 when none did."""
    decisions: int


class Desk:
    """The file, the service that takes it in, and the door whose cache stands on it."""

    def __init__(self, view: CacheView, producer: Producer, connection: grpc.aio.Channel, file: Path) -> None:
        self._view = view
        self._producer = producer
        self._connection = connection
        self._file = file
        self._number = 0

    async def write(self) -> Sent:
        """A new version of the file goes in."""
        self._number += 1
        self._file.write_text(f"# Returns\n\nAn item may be returned within {self._number + 13} days.\n", encoding="utf-8")
        report = await ingest(self._connection, TENANT, SCOPE.corpus, select([self._file]))
        (sent,) = report.sent
        if sent.state not in ("added", "changed"):
            raise RuntimeError(f"the service did not take the file: {sent.state} {sent.message}")
        return sent

    async def keep(self, sent: Sent) -> None:
        """What a door writes when a model has answered from this version, as if long after it counted."""
        now = clock_ms()
        identity = Identity(TENANT, f"r{self._number}")
        answer = Answer(f"answer {self._number}", sources=(Citation(sent.document, "Returns", sent.version),))
        terminal = Terminal(identity, TerminalKind.ANSWERED, answer, task_type="ask", arrived_ms=now + STALE_MS, ended_ms=now)
        request = Request(identity, (Message(Role.USER, SCOPE.question),))
        end = End(terminal, Decision(1, "f", Source.DEFAULT, "ask"), request, "r", ContentType.PROTOBUF, SCOPE)
        entry = self._view.entry(end)
        if entry is None:
            raise RuntimeError("the answer was not kept")
        key = f"{entry.scope}/{entry.id}".encode()
        await self._producer.publish(Record(CACHE, key, entry.SerializeToString(), (), None), 10_000)
        async with asyncio.timeout(CHANGE_S):
            while not self._serves():  # noqa: ASYNC110 (a look-up has no event)
                await asyncio.sleep(0.005)

    async def change(self) -> Change:
        """Change the file while requests are decided, until the old answer is refused after the service's word."""
        began = time.monotonic()
        writing = asyncio.create_task(self.write(), name="change")
        announced = last = 0.0
        decisions = 0
        async with asyncio.timeout(CHANGE_S):
            while True:
                served = self._serves()
                now = 1000 * (time.monotonic() - began)
                decisions += 1
                last = now if served else last
                if writing.done() and not announced:
                    announced = now
                if announced and not served:
                    break
                await asyncio.sleep(0.001)
        await self.keep(await writing)
        return Change(announced, last, decisions)

    def _serves(self) -> bool:
        return isinstance(self._view.lookup(SCOPE, clock_ms()), CacheHit)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Desk]:
    """Broker, Milvus Lite, the retrieval service and a view, all of them their own."""
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker({CACHE: 4, DOCUMENTS: 4}))
        lite = await stack.enter_async_context(LiteServer(str(folder / "lite.db")))
        producer = await stack.enter_async_context(Producer(broker.bootstrap))
        embedding = bundled()
        store = Milvus(Place(lite.uri, lanes=2), embedding.dimensions)
        stack.push_async_callback(store.close)
        await store.connect()
        await store.open(COLLECTION)
        servicer = Servicer(Library(store, embedding, LogAnnouncer(producer)), NoOpTracer())
        server = await stack.enter_async_context(RpcServer(adding((add_RetrievalServicer_to_server, servicer)), notice_ms=0))
        view = CacheView(CacheOptions(broker.bootstrap), StaticEmbedder.load(), shipped_verifier())
        await stack.enter_async_context(view)
        if not await view.wait_caught_up(20_000):
            raise RuntimeError("the view did not read its topics to the end within 20 s")
        connection = await stack.enter_async_context(channel(f"127.0.0.1:{server.port}"))
        yield Desk(view, producer, connection, folder / "returns.md")


async def measure(count: int) -> list[Change]:
    """So many changes, one after another."""
    with tempfile.TemporaryDirectory(prefix="trivium-staleness-") as folder:
        async with running(Path(folder)) as library:
            await library.keep(await library.write())
            changes: list[Change] = []
            for number in range(count):
                changes.append(await library.change())
                if number % 20 == 19:
                    progress(f"{number + 1} of {count} changes")
            return changes


def figures_of(changes: list[Change]) -> dict[str, object]:
    """The worst and the median, in ms since the change was sent, and since the service's word."""
    stale = sorted(change.last_stale_ms for change in changes)
    after = [max(0.0, change.last_stale_ms - change.announced_ms) for change in changes]
    return {
        "changes": len(changes),
        "worst_ms": round(stale[-1], 1),
        "median_ms": round(stale[len(stale) // 2], 1),
        "worst_after_word_ms": round(max(after), 1),
        "slowest_word_ms": round(max(change.announced_ms for change in changes), 1),
        "bound_ms": STALE_MS,
        "decisions": sum(change.decisions for change in changes),
        "over_bound": sum(late > STALE_MS for late in after),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.staleness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.staleness --changes 100 --json",
    )
    parser.add_argument("--changes", type=int, default=100, help="how many changes (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    figures = figures_of(asyncio.run(measure(chosen.changes)))
    print_table("Change of a document to the last stale hit", [{"figure": name, "value": value} for name, value in figures.items()])
    if chosen.json:
        finish(figures, True)


if __name__ == "__main__":
    main()
