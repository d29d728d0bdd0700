"""A steady load through Kafka over a whole mesh, and what became of every request, as callers and as the log saw it."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.local import POLICY, LocalMesh, MeshOptions
from infra.part import Part, RunningPart
from trivium.client import KafkaClient, request
from trivium.client.kafka_client import KafkaClientOptions
from trivium.core.outcome import ReasonCode, TerminalKind
from trivium.ingest.files import select
from trivium.ingest.send import ingest
from trivium.kafka.admin import ensure
from trivium.kafka.layout import Layout
from trivium.kafka.reader import ReaderOptions, end_offsets, read_tail
from trivium.kafka.topics import RESPONSES, all_topics
from trivium.policy import load
from trivium.rpc.channels import channel

KINDS = ("/classify", "/urgency", "/how-to", "/policy-question", "/translate", "/draft-reply")
"""Endpoints that go to each of the three tiers."""
PATIENT_MS = 90_000
BUSY = frozenset((ReasonCode.OVERLOADED, ReasonCode.NO_TARGET_NOW, ReasonCode.ATTEMPTS_FAILED, ReasonCode.DEADLINE))
"""Why a machine that is too busy does not answer: queues too long, breakers that opened for it, no time left."""
QUICK = {"TRIVIUM_SESSION_TIMEOUT_MS": "4000", "TRIVIUM_HEARTBEAT_MS": "1000"}
"""So that a test need not wait 10 s for each process that was killed."""
DOCUMENTS = (Path("docs/policy.md"),)


@dataclass(slots=True)
class Load:
    """Requests of tenant acme, one every `1 / rate` seconds until `stop` is set; each is awaited to its terminal."""

    client: KafkaClient
    rate: float
    prefix: str = field(default_factory=lambda: f"load-{uuid.uuid4().hex[:8]}")
    sent: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    reasons: Counter[ReasonCode] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest_ms: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> int:
        return self.kinds.total() + len(self.failures)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as asked:
            while not self.stop.is_set():
                self.sent += 1
                asked.create_task(self._one(self.sent))
                await asyncio.sleep(1 / self.rate)

    async def _one(self, number: int) -> None:
        endpoint = KINDS[number % len(KINDS)]
        # Each asks something of its own: the cache must not answer for the tiers.
        body = request(
            "acme", f"{uuid.uuid4().hex}: my parcel {number} has not come, what shall I do?", endpoint=endpoint,
            id=f"{self.prefix}-{number}", timeout_ms=PATIENT_MS, cache="bypass",
        )  # fmt: skip
        try:
            terminal = await self.client.ask(body, timeout_ms=PATIENT_MS)
        except Exception as error:
            self.failures.append(f"{self.prefix}-{number}: {error!r}")
        else:
            self.kinds[terminal.kind.value] += 1
            if terminal.reason is not None:
                self.reasons[terminal.reason.code] += 1
            self.tiers[terminal.target.partition("/")[0] or "none"] += 1
            self.slowest_ms = max(self.slowest_ms, terminal.ended_ms - terminal.arrived_ms)
        self.more.set()

    async def until(self, more: int, timeout_s: float = 180.0) -> None:
        """Until so many more have ended."""
        goal = self.ended + more
        async with asyncio.timeout(timeout_s):
            while self.ended < goal:
                self.more.clear()
                await self.more.wait()

    def check(self) -> None:
        """Nothing lost: every request that was published ended. What a machine that is too busy turned away says so; how much
        of it there is says something of the machine, so no more is asked than that most were answered."""
        assert not self.failures, self.failures[:5]
        assert self.ended == self.sent
        assert set(self.reasons) <= BUSY, self.reasons
        assert self.kinds[TerminalKind.ANSWERED.value] >= 0.5 * self.sent, (self.kinds, self.reasons)


@asynccontextmanager
async def loading(bootstrap: str, rate: float) -> AsyncIterator[Load]:
    """A running load; at the end no more is published, and what is under way is awaited."""
    options = KafkaClientOptions(timeout_ms=PATIENT_MS)
    async with KafkaClient(bootstrap, "acme", options=options) as client:
        load_ = Load(client, rate)
        running = asyncio.create_task(load_.run())
        try:
            yield load_
        finally:
            load_.stop.set()
            await running


async def terminals_in_log(bootstrap: str, prefix: str) -> Counter[bytes]:
    """Key -> terminals of it in the reply topic."""
    options = ReaderOptions("tests")
    ends = await end_offsets(bootstrap, RESPONSES, options)
    found: Counter[bytes] = Counter()
    async for record in read_tail(bootstrap, RESPONSES, 0, ends, options):
        if record.key is not None and prefix.encode() in record.key:
            found[record.key] += 1
    return found


async def make_topics(bootstrap: str, replication: int = 1) -> None:
    """Every topic of the example's mesh."""
    replies = sorted({topic for tenant in load(POLICY).tenants.values() for topic in tenant.reply_topics})
    await ensure(bootstrap, all_topics(replies), Layout(replication), create=True)


@dataclass(slots=True)
class Crowd:
    """A mesh, and more instances of its parts that come and go."""

    mesh: LocalMesh
    folder: Path
    extra: dict[str, RunningPart] = field(default_factory=dict)

    async def join(self, name: str, module: str, **environ: str) -> RunningPart:
        """One more instance, on ports of its own."""
        own = {f"TRIVIUM_{part}_PORT": "0" for part in ("FINETUNED", "RETRIEVAL", "CLOUD", "GATEWAY")}
        own |= {"TRIVIUM_MILVUS": str(self.folder / f"{name}.db"), "TRIVIUM_DATADIR": str(self.folder / name)}
        part = await RunningPart.start(Part(name, module, (), self.mesh.environ() | own | environ), self.folder)
        self.extra[name] = part
        await part.until_ready(120)
        return part

    def part(self, name: str) -> RunningPart:
        return self.extra.get(name) or self.mesh.parts[name]

    async def leave(self, name: str) -> None:
        """SIGTERM, until it has left; it says that all went well."""
        part = self.part(name)
        part.ask_to_leave()
        async with asyncio.timeout(90):
            assert await part.process.wait() == 0, part.log.read_text()[-2_000:]

    async def kill(self, name: str) -> None:
        """SIGKILL."""
        part = self.part(name)
        part.process.kill()
        await part.process.wait()

    async def fill(self, address: str) -> None:
        """Give the retrieval instance at this address something to answer from."""
        async with channel(address) as retrieval:
            report = await ingest(retrieval, "acme", "docs", select(DOCUMENTS), lambda _sent: None)
        assert not report.failed

    async def stop(self) -> None:
        await asyncio.gather(*(part.stop() for part in self.extra.values()))


@asynccontextmanager
async def crowd(bootstrap: str, folder: Path, environ: Mapping[str, str] = QUICK) -> AsyncIterator[Crowd]:
    """A mesh on a real Kafka, with documents, ready for more."""
    own = {name: {"TRIVIUM_INSTANCE": f"{name}-first"} for name in ("router", "gateway", "finetuned", "retrieval", "cloud")}
    options = MeshOptions(data=folder / "mesh", kafka=bootstrap, traces=False, environ=environ, part_environ=own)
    async with LocalMesh(options) as mesh:
        one = Crowd(mesh, folder)
        try:
            await one.fill(mesh.addresses.retrieval)
            yield one
        finally:
            await one.stop()


async def until_said(log: Path, words: str, timeout_s: float = 120.0) -> None:
    """Until a part's log has these words."""
    until = time.monotonic() + timeout_s
    while words not in (said := _text_of(log)):
        assert time.monotonic() < until, f"{log.name} does not say {words!r}: {said[-1_000:]}"
        await asyncio.sleep(0.1)


def _text_of(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else ""
