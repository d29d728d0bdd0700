"""A mesh whose processes and callers all send their spans to one real Jaeger, and that Jaeger's answers as trees."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local import LocalMesh, MeshOptions
from tests.integration.mesh.running import DOCUMENTS, RunningMesh, asking
from trivium.cli.trace import Span, fetch
from trivium.client import KafkaClient, TriviumClient
from trivium.core.errors import TriviumError
from trivium.core.outcome import Terminal, TerminalKind
from trivium.ingest.files import select
from trivium.ingest.send import ingest
from trivium.rpc.channels import channel
from trivium.telemetry import names
from trivium.telemetry.tracing import Tracing, start

ARRIVES_S = 90.0
"""Spans are sent every second by every process, and this machine may be busy."""


@dataclass(frozen=True, slots=True)
class Trace:
    """All spans of one trace, as the query API gives them."""

    id: str
    spans: tuple[Span, ...]

    def named(self, name: str, **tags: object) -> list[Span]:
        """The spans of a name (or of one that begins with `name `, as `chat MODEL`) that have these tags' values."""
        return [s for s in self.spans if f"{s.name} ".startswith(f"{name} ") and tags.items() <= s.tags.items()]

    def parent(self, span: Span) -> Span | None:
        """The span above; None at the root."""
        return next((s for s in self.spans if s.id == span.parent), None)

    @property
    def orphans(self) -> list[Span]:
        """Spans whose parent is named and was never sent."""
        return [s for s in self.spans if s.parent and self.parent(s) is None]

    @property
    def roots(self) -> list[Span]:
        """Spans without a parent."""
        return [s for s in self.spans if not s.parent]

    @property
    def edges(self) -> Counter[tuple[str, str]]:
        """How often (parent, child) occurs, each as `service:span`; the model's name of a vendor call is left out."""
        pairs = ((self.parent(span), span) for span in self.spans)
        return Counter((node(above), node(span)) for above, span in pairs if above is not None)


def node(span: Span) -> str:
    """`router:trivium.requests process`."""
    name = names.SPAN_CHAT if span.name.startswith(f"{names.SPAN_CHAT} ") else span.name
    return f"{span.service.removeprefix('trivium-')}:{name}"


@dataclass(slots=True)
class TracedMesh:
    """Both doors, and Jaeger's answers."""

    mesh: RunningMesh
    traces: str
    tracing: Tracing

    async def by_kafka(self, **fields: object) -> Terminal:
        """One request through Kafka."""
        return await self.mesh.by_kafka(**fields)

    async def by_grpc(self, **fields: object) -> Terminal:
        """One request through Complete."""
        return await self.mesh.by_grpc(**fields)

    async def by_stream(self, **fields: object) -> Terminal:
        """One request through CompleteStream."""
        return (await self.mesh.by_stream(**fields))[1]

    async def untraced(self, **fields: object) -> Terminal:
        """One request through Kafka by a product that knows of no traces."""
        async with KafkaClient(self.mesh.local.addresses.kafka, "acme") as client:
            return await client.ask(asking(**fields))

    async def together(self, requests: Sequence[dict[str, str]]) -> list[Terminal]:
        """All of them at once through Kafka."""
        return await asyncio.gather(*(self.by_kafka(**request) for request in requests))

    async def until_cached(self, request: dict[str, str]) -> Terminal:
        """The first terminal that the cache gave; its entry is read from the log a moment after the answer."""
        async with asyncio.timeout(ARRIVES_S):
            while (terminal := await self.by_kafka(**request)).cache is None:
                pass
        return terminal

    async def until_finetuned(self, ask: Callable[..., Awaitable[Terminal]]) -> None:
        """Returns once a restricted request, which only the own model may answer, has its answer through this door."""
        async with asyncio.timeout(ARRIVES_S):
            request = {"endpoint": "/sentiment", "prompt": "I am back.", "sensitivity": "restricted"}
            while (await ask(**request)).kind is not TerminalKind.ANSWERED:  # noqa: ASYNC110 - asks a mesh
                await asyncio.sleep(0.25)

    def order(self, standin: str, **order: object) -> None:
        """An order to a stand-in, from outside of any event loop."""
        asyncio.run(self.mesh.control(standin, **order))

    async def trace(self, terminal: Terminal, whole: Callable[[Trace], bool]) -> Trace:
        """The trace of a terminal, once `whole` says that it is; the last look when it never does."""
        assert terminal.trace_id, "the terminal names no trace"
        seen = Trace(terminal.trace_id, ())
        for _ in range(int(ARRIVES_S / 0.25)):
            try:
                found = await asyncio.to_thread(fetch, self.traces, terminal.trace_id)
                seen = Trace(terminal.trace_id, tuple(found))
            except TriviumError:
                pass
            if seen.spans and not seen.orphans and whole(seen):
                break
            await asyncio.sleep(0.25)
        return seen


@asynccontextmanager
async def traced_mesh(folder: Path, otlp: str, traces: str) -> AsyncIterator[TracedMesh]:
    """The embedded mesh, two documents in acme's corpus, and a caller at each door with a tracer of its own."""
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(LocalMesh(MeshOptions(data=folder, otlp=otlp, traces_url=traces)))
        async with channel(local.addresses.retrieval) as retrieval:
            report = await ingest(retrieval, "acme", "docs", select(DOCUMENTS), lambda _sent: None)
        assert not report.failed
        tracing = start("product", "product-1", otlp)
        stack.callback(tracing.close)
        kafka = await stack.enter_async_context(KafkaClient(local.addresses.kafka, "acme", tracer=tracing.tracer))
        grpc = await stack.enter_async_context(TriviumClient(local.addresses.gateway, tracer=tracing.tracer))
        yield TracedMesh(RunningMesh(local, kafka, grpc, letters=None), traces, tracing)  # type: ignore[arg-type]
