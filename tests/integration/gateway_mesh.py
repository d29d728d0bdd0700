"""A gateway as it runs, before an embedded broker and tiers that do what the prompt says."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from infra.broker import EmbeddedBroker
from services.gateway.__main__ import main, now_ms
from trivium.codec import answer_to, identity_from, identity_to
from trivium.core.outcome import Answer
from trivium.kafka.reader import Tail
from trivium.kafka.record import Delivered
from trivium.kafka.topics import LEDGER, all_topics
from trivium.process import Process
from trivium.rpc.channels import channel, stub
from trivium.rpc.server import RpcServer, adding
from trivium.settings import ProcessSettings
from trivium.telemetry.tracing import Tracing
from trivium.v1 import journey_pb2, outcome_pb2, records_pb2, request_pb2, services_pb2, services_pb2_grpc

PARTITIONS = 4
TIMEOUT = 10.0

POLICY = """
revision: 1
tenants:
  acme: {reply_topics: [trivium.responses, trivium.replies.acme], corpora: [docs]}
  globex: {reply_topics: [trivium.replies.globex], corpora: []}
targets:
  finetuned/a: {tier: finetuned, model: a}
  retrieval/docs: {tier: retrieval, model: hybrid, generator: finetuned/a}
  cloud/small: {tier: cloud, model: s, prices: {input: 1, output: 5}}
endpoints: {/one: one, /cascade: cascade, /docs: docs, /json: json, /only: only, /known: known}
tasks:
  one: {route: [finetuned/a, cloud/small], system: s, timeout_ms: 8000}
  known: {route: [finetuned/a], system: s, timeout_ms: 8000, cache: true}
  only: {route: [cloud/small], system: s, timeout_ms: 8000}
  cascade: {can_wait: true, route: [{target: finetuned/a, bar: 0.5}, cloud/small], system: s, timeout_ms: 8000}
  docs: {route: [retrieval/docs, cloud/small], system: s, corpus: docs, timeout_ms: 8000}
  json: {route: [finetuned/a], system: s, output: {kind: json}, timeout_ms: 8000}
novel: {route: [cloud/small], system: s}
default: {route: [cloud/small]}
"""


@dataclass
class ScriptedTier(services_pb2_grpc.TierServicer):
    """`script`: what this tier does. answer, low, fault, poor (over budget), drop (no status of ours), cut (half a stream),
    wait."""

    name: str
    script: str = "answer"
    works: list[journey_pb2.Work] = field(default_factory=list)
    metadata: list[Mapping[str, Any]] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def renew(self) -> None:
        """Forget what was seen, answer as at first."""
        self.go.set()
        self.script = "answer"
        self.works, self.metadata = [], []
        self.entered, self.left, self.go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def Generate(self, work: journey_pb2.Work, context: Any) -> outcome_pb2.Outcome:
        await self._seen(work, context)
        return self._outcome(work)

    async def GenerateStream(self, work: journey_pb2.Work, context: Any) -> AsyncIterator[services_pb2.TierEvent]:
        if self.script in ("cut", "wait after a piece", "fault after a piece"):
            yield services_pb2.TierEvent(delta=f"{self.name}:")
        await self._seen(work, context)
        if self.script == "answer":
            for piece in (f"{self.name}: ", "an ", "answer"):
                yield services_pb2.TierEvent(delta=piece)
        if self.script != "cut":
            yield services_pb2.TierEvent(outcome=self._outcome(work))

    async def _seen(self, work: journey_pb2.Work, context: Any) -> None:
        self.works.append(work)
        self.metadata.append(dict(context.invocation_metadata()))
        if self.script == "drop":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "dropped")
        if self.script.startswith("wait"):
            self.entered.set()
            try:
                await self.go.wait()
            finally:
                self.left.set()

    def _outcome(self, work: journey_pb2.Work) -> outcome_pb2.Outcome:
        request, now = work.request, now_ms()
        outcome = outcome_pb2.Outcome(
            identity=identity_to(identity_from(request)), attempt=work.attempt, target=work.target.name,
            started_ms=now, ended_ms=now, cost_micro_dollars=7, ttft_ms=1, instance=self.name,
        )  # fmt: skip
        if self.script == "poor":
            outcome.cost_micro_dollars = 0
            outcome.fault.CopyFrom(outcome_pb2.Fault(kind="over_budget", message="too little left", budget="acme-month"))
        elif self.script.startswith("fault"):
            outcome.fault.CopyFrom(outcome_pb2.Fault(kind="overloaded", message="full", retry_after_ms=1_000))
        else:
            confidence = 0.1 if self.script == "low" else 0.9
            outcome.answer.CopyFrom(answer_to(Answer(f"{self.name}: an answer", confidence=confidence)))
        return outcome


@dataclass
class GatewayMesh:
    """A running gateway, its tiers, its broker and a stub."""

    process: Process
    stub: Any
    finetuned: ScriptedTier
    retrieval: ScriptedTier
    cloud: ScriptedTier
    bootstrap: str
    policy: Path
    wire: grpc.aio.Channel
    running: asyncio.Task[None]

    def renew(self) -> None:
        """The tiers as at first."""
        for tier in (self.finetuned, self.retrieval, self.cloud):
            tier.renew()

    def metrics(self) -> str:
        return self.process.metrics.render().decode()


@asynccontextmanager
async def gateway_mesh(
    folder: Path, tracing: Tracing | None = None, broker: str = "", **environ: str
) -> AsyncIterator[GatewayMesh]:
    """Everything in this process and its event loop, the broker included unless one is given."""
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    topics = {t.name: t.partitions for t in all_topics(("trivium.replies.acme", "trivium.replies.globex"), PARTITIONS)}
    async with AsyncExitStack() as stack:
        bootstrap = broker or stack.enter_context(EmbeddedBroker(topics)).bootstrap
        tiers = {name: ScriptedTier(name) for name in ("finetuned", "retrieval", "cloud")}
        ports = {}
        for name, tier in tiers.items():
            server = RpcServer(adding((services_pb2_grpc.add_TierServicer_to_server, tier)), notice_ms=0, drain_ms=100)
            ports[name] = (await stack.enter_async_context(server)).port
        variables = {
            "TRIVIUM_KAFKA": bootstrap,
            "TRIVIUM_PARTITIONS": str(PARTITIONS),
            "TRIVIUM_GATEWAY_PORT": "0",
            **{f"TRIVIUM_{name.upper()}": f"127.0.0.1:{port}" for name, port in ports.items()},
            **environ,
        }
        settings = ProcessSettings(policy=str(policy), drain_ms=2_000, capture_prompts=True)
        process = Process("gateway", variables, settings, tracing=tracing)
        running = asyncio.create_task(main(process))
        up = asyncio.create_task(process.up.wait())
        try:
            async with asyncio.timeout(90):
                await asyncio.wait((running, up), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running
            wire = await stack.enter_async_context(channel(f"127.0.0.1:{process.addresses['port']}"))
            client = stub(services_pb2_grpc.GatewayStub, wire)
            yield GatewayMesh(process, client, **tiers, bootstrap=bootstrap, policy=policy, wire=wire, running=running)
        finally:
            up.cancel()
            process.stopping.set()
            async with asyncio.timeout(90):
                await running
            await process.close()


class Ledger:
    """What was written down, as it comes."""

    def __init__(self, mesh: GatewayMesh) -> None:
        self._records: dict[str, records_pb2.LedgerRecord] = {}
        self._more = asyncio.Event()
        self._tail = Tail(mesh.bootstrap, LEDGER, self._take, from_beginning=False)

    async def __aenter__(self) -> "Ledger":
        self._tail.start()
        assert await self._tail.wait_caught_up(10_000)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tail.stop()

    async def of(self, name: str) -> records_pb2.LedgerRecord:
        """The record of the request with this id."""
        async with asyncio.timeout(TIMEOUT):
            while name not in self._records:
                self._more.clear()
                await self._more.wait()
        return self._records[name]

    def _take(self, record: Delivered) -> None:
        found = records_pb2.LedgerRecord.FromString(record.value or b"")
        self._records[found.terminal.identity.id] = found
        self._more.set()


def asking(text: str = "hello", endpoint: str = "/one", tenant: str = "acme", **fields: Any) -> request_pb2.Request:
    """A request with one user message."""
    return request_pb2.Request(tenant=tenant, endpoint=endpoint, prompt=text, **fields)
