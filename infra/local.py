"""The whole mesh on one machine: broker, stand-ins, three tiers, router and gateway, each a process of its own.

    async with LocalMesh(MeshOptions(data=Path(".trivium"))) as mesh:
        print(mesh.addresses.gateway)

Every address that is given in the options is used as it is (a real Kafka, a real TGI, the real Anthropic API, a real
Milvus, a real OTLP endpoint); what is not given is stood in for."""

import asyncio
import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from infra.part import Part, PartFailed, RunningPart
from trivium.core.policy import Tier
from trivium.kafka import frozen
from trivium.policy import load

POLICY: Final = Path("examples/support/policy.yaml")
STANDIN_KEY: Final = "stand-in"
"""What the Anthropic stand-in takes for a key; a real one comes from the caller."""


@dataclass(frozen=True, slots=True)
class MeshOptions:
    """What to run and what is there already. Empty: stand in for it."""

    data: Path = Path(".trivium")
    policy: Path = POLICY
    kafka: str = ""
    model_url: str = ""
    cloud_url: str = ""
    cloud_key: str = ""
    milvus: str = ""
    ledger: bool = False
    """Keep the ledger's store too, for `trivium report`: ledger.db below `data`."""
    budget: bool = False
    """Audit the budgets too: close what killed processes held of them, and tell alerts."""
    traces: bool = True
    """Collect spans, in the small store among the stand-ins unless `otlp` names a collector."""
    otlp: str = ""
    traces_url: str = ""
    """Query API of that collector's store, for `trivium trace`."""
    gateway_port: int = 0
    environ: Mapping[str, str] = field(default_factory=dict)
    """On top, for every service (TRIVIUM_ variables)."""
    standin_arguments: Sequence[str] = ()
    part_environ: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """On top, by part: each may come to Kafka as a principal of its own."""

    def reply_topics(self) -> Sequence[str]:
        """Of all tenants of the policy; beside the topics that every mesh has."""
        return sorted({topic for tenant in load(self.policy).tenants.values() for topic in tenant.reply_topics})


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running mesh is reached."""

    kafka: str
    gateway: str
    finetuned: str
    retrieval: str
    cloud: str
    ledger: str
    model_url: str
    cloud_url: str
    otlp: str
    traces: str


class LocalMesh:
    """Starts and stops a mesh. PartFailed says in one sentence which part did not come up, and why."""

    def __init__(self, options: MeshOptions) -> None:
        self.options = options
        self.parts: dict[str, RunningPart] = {}
        self.addresses: Addresses
        self._watch: asyncio.Task[None] | None = None
        self.broken: asyncio.Future[str]

    async def __aenter__(self) -> Self:
        self.broken = asyncio.get_running_loop().create_future()
        (self.options.data / "logs").mkdir(parents=True, exist_ok=True)
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._watch_parts())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        await self.stop()

    async def _start(self) -> None:
        kafka, standins = await asyncio.gather(self._start_broker(), self._start_standins())
        self.addresses = self._address(kafka, standins)
        services = self._services()
        await asyncio.gather(*(self._run(part) for part in services))

    async def _run(self, part: Part) -> dict[str, object]:
        running = await RunningPart.start(part, self.options.data / "logs")
        self.parts[part.name] = running
        return await running.until_ready()

    async def _start_broker(self) -> str:
        if self.options.kafka:
            return self.options.kafka
        arguments = ("--mesh", *(word for topic in self.options.reply_topics() for word in ("--reply-topic", topic)))
        ready = await self._run(Part("broker", "infra.broker", arguments))
        return str(ready["bootstrap"])

    async def _start_standins(self) -> Mapping[str, object]:
        return await self._run(Part("standins", "infra.standins", tuple(self.options.standin_arguments)))

    def _address(self, kafka: str, standins: Mapping[str, object]) -> Addresses:
        options = self.options
        gateway, finetuned, retrieval, cloud, ledger = free_ports(5)
        return Addresses(
            kafka=kafka,
            gateway=f"127.0.0.1:{options.gateway_port or gateway}",
            finetuned=f"127.0.0.1:{finetuned}",
            retrieval=f"127.0.0.1:{retrieval}",
            cloud=f"127.0.0.1:{cloud}",
            ledger=f"127.0.0.1:{ledger}",
            model_url=options.model_url or str(standins["tgi"]),
            cloud_url=options.cloud_url or str(standins["claude"]),
            otlp=options.otlp or (f"http://{standins['spans_otlp']}" if options.traces else ""),
            traces=options.traces_url if options.otlp else str(standins["spans_http"]) if options.traces else "",
        )

    def _services(self) -> list[Part]:
        modules = {
            "retrieval": "services.retrieval", "router": "streams", "gateway": "services.gateway",
            "finetuned": "services.finetuned", "cloud": "services.cloud",
        }  # fmt: skip
        if self.options.ledger:
            modules["ledger"] = "services.ledger"
        if self.options.budget:
            modules["budget"] = "services.budget"
        environ, own = self.environ(), dict(self.options.part_environ)
        for tier in self._patient():
            name = f"batch-{tier.value}"
            modules[name] = "services.batch"
            own[name] = {"TRIVIUM_BATCH_TIER": tier.value, **own.get(name, {})}
        return [Part(name, module, (), {**environ, **own.get(name, {})}) for name, module in modules.items()]

    def _patient(self) -> list[Tier]:
        """The tiers that have work which may wait, each a process more."""
        patience = load(self.options.policy).patience
        tiers = set() if patience is None else {target.tier for target in patience.targets.values()}
        return [tier for tier in Tier if tier in tiers]

    def environ(self) -> dict[str, str]:
        """The TRIVIUM_ variables that point a process at this mesh."""
        at, options = self.addresses, self.options
        port = {name: address.rsplit(":", 1)[1] for name, address in
                (("gateway", at.gateway), ("finetuned", at.finetuned), ("retrieval", at.retrieval), ("cloud", at.cloud),
                 ("ledger", at.ledger))}  # fmt: skip
        return {
            "TRIVIUM_KAFKA": at.kafka,
            "TRIVIUM_POLICY": str(options.policy),
            "TRIVIUM_OTLP": at.otlp,
            "TRIVIUM_GATEWAY_PORT": port["gateway"],
            "TRIVIUM_FINETUNED_PORT": port["finetuned"],
            "TRIVIUM_RETRIEVAL_PORT": port["retrieval"],
            "TRIVIUM_CLOUD_PORT": port["cloud"],
            "TRIVIUM_LEDGER_PORT": port["ledger"],
            "TRIVIUM_LEDGER_DB": str(options.data / "ledger.db"),
            "TRIVIUM_LEDGER": at.ledger,
            "TRIVIUM_GATEWAY": at.gateway,
            "TRIVIUM_FINETUNED": at.finetuned,
            "TRIVIUM_RETRIEVAL": at.retrieval,
            "TRIVIUM_CLOUD": at.cloud,
            "TRIVIUM_SEARCH": at.retrieval,
            "TRIVIUM_GENERATOR": at.finetuned,
            "TRIVIUM_GENERATOR_CLOUD": at.cloud,
            "TRIVIUM_FINETUNED_URL": at.model_url,
            "TRIVIUM_CLOUD_URL": at.cloud_url,
            "TRIVIUM_CLOUD_KEY": options.cloud_key or STANDIN_KEY,
            "TRIVIUM_MILVUS": options.milvus or str(options.data / "milvus.db"),
            "TRIVIUM_DATADIR": str(options.data / "router"),
            "TRIVIUM_TRACES": at.traces,
            **({} if options.kafka else {"TRIVIUM_FETCH_MAX_WAIT_MS": "10"}),
            **options.environ,
        }

    async def _watch_parts(self) -> None:
        """A part that was frozen leaves to be started again (trivium/kafka/frozen.py); any other that leaves breaks the mesh."""
        try:
            while (gone := await self._first_gone()).process.returncode == frozen.STATUS:
                await self._run(gone.part)
        except PartFailed as error:
            self.broken.set_result(str(error))
        else:
            self.broken.set_result(gone.failure())

    async def _first_gone(self) -> RunningPart:
        waits = {asyncio.create_task(part.process.wait()): part for part in self.parts.values()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return waits[done.pop()]
        finally:
            for task in waits:
                task.cancel()

    async def stop(self) -> None:
        """Doors first, then the router, the tiers, and what they stand on."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        batches = ("batch-cloud", "batch-finetuned")
        for group in (("gateway",), ("router",), batches, ("finetuned", "cloud", "retrieval"), ("ledger", "budget"), ("standins", "broker")):
            await asyncio.gather(*(part.stop() for name, part in self.parts.items() if name.partition("+")[0] in group))

    async def add(self, part: Part) -> None:
        """One more part, or one again that was killed; it stops with the mesh."""
        await self._run(part)

    def check(self) -> None:
        """PartFailed when a part has left since the start."""
        if self.broken.done():
            raise PartFailed(self.broken.result())

    def rss_mib(self) -> dict[str, float]:
        """Resident memory by part, MiB, children included."""
        return {name: round(part.rss_mib(), 1) for name, part in self.parts.items()}


def free_ports(count: int) -> list[int]:
    """Ports that nobody has at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [int(s.getsockname()[1]) for s in sockets]
