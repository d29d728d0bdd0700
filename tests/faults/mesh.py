"""The processes of a run: two routers, two of each tier, a gateway, the vendors, the span sink, the load, each a process of its own."""

import asyncio
import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from infra.local import STANDIN_KEY, free_ports
from infra.part import Part, PartFailed, RunningPart
from trivium.ingest.files import select
from trivium.ingest.send import ingest
from trivium.rpc.channels import channel

POLICY: Final = Path("tests/faults/policy.yaml")
DOCUMENTS: Final = (Path("docs/policy.md"),)
MODULES: Final[Mapping[str, str]] = {
    "router": "streams", "gateway": "services.gateway", "finetuned": "services.finetuned", "retrieval": "services.retrieval",
    "cloud": "services.cloud",
}  # fmt: skip
READY_S: Final = 90.0
_LEAVE_S: Final = 40.0

Reroute = Callable[[str, str, str], str]
"""Who speaks (a process), to what (kafka, tgi, claude, otlp, finetuned, retrieval, cloud), where that is -> where it is told to go:
the place for a proxy on an edge."""


def straight(_who: str, _to: str, address: str) -> str:
    """No proxy."""
    return address


@dataclass(slots=True)
class Events:
    """What was done to the mesh, as it is done: events.jsonl."""

    path: Path

    def note(self, what: str, victim: str = "", **more: Any) -> None:
        """Append a line."""
        line = json.dumps({"at_ms": time.time_ns() // 1_000_000, "what": what, "victim": victim, **more})
        with self.path.open("a") as file:
            file.write(line + "\n")


@dataclass(slots=True)
class Mesh:
    """Starts, kills, stops and restarts by name. `kafka`: bootstrap servers."""

    folder: Path
    kafka: str
    seed: int
    session_timeout_ms: int
    events: Events
    reroute: Reroute = straight
    parts: dict[str, RunningPart] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)
    """Name -> address, of everything that is spoken to."""
    _ports: dict[str, int] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The processes of the mesh itself."""
        return ("router-1", "router-2", "finetuned-1", "finetuned-2", "cloud-1", "cloud-2", "retrieval-1", "retrieval-2", "gateway")

    async def start_all(self) -> None:
        """Vendors and sink first, then everything at once, then documents for retrieval."""
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        vendors = await self._run(Part("backends", "tests.faults.backends", ("--folder", str(self.folder), "--seed", str(self.seed))))
        sink = await self._run(Part("spans", "tests.faults.spans", ("--folder", str(self.folder))))
        self.at = {"tgi": str(vendors["tgi"]), "claude": str(vendors["claude"]), "otlp": str(sink["otlp"]), "kafka": self.kafka}
        served = [name for name in self.names if not name.startswith("router")]
        self._ports = dict(zip(served, free_ports(len(served)), strict=True))
        self.at |= {name: f"127.0.0.1:{port}" for name, port in self._ports.items()}
        await asyncio.gather(*(self.start(name) for name in self.names))
        for name in ("retrieval-1", "retrieval-2"):
            async with channel(self.at[name]) as retrieval:
                for tenant in ("acme", "globex", "initech"):
                    report = await ingest(retrieval, tenant, "docs", select(DOCUMENTS), lambda _sent: None)
                    assert not report.failed, report

    async def start(self, name: str, crash_at: str = "") -> None:
        """Start a process and wait until it is ready; one that is told to crash is not waited for."""
        part = await RunningPart.start(self._part(name, crash_at), self.folder / "logs")
        self.parts[name] = part
        self.events.note("start", name, crash_at=crash_at)
        if crash_at:
            return
        await part.until_ready(READY_S)
        self.events.note("ready", name)

    async def start_load(self, rate: float) -> RunningPart:
        """The load, until it is told to leave; how far it is stands in load.json."""
        arguments = ("--kafka", self.kafka, "--gateway", self.at["gateway"], "--otlp", self.at["otlp"], "--folder", str(self.folder),
                     "--seed", str(self.seed), "--rate", str(rate))  # fmt: skip
        part = await RunningPart.start(Part("load", "tests.faults.load", arguments), self.folder / "logs")
        self.parts["load"] = part
        await part.until_ready(READY_S)
        return part

    async def kill(self, name: str, what: str = "kill") -> None:
        """SIGKILL, unless it is dead."""
        part = self.parts[name]
        if part.process.returncode is None:
            self.events.note(what, name)
            part.process.kill()
        await part.process.wait()
        await part.stop()

    async def leave(self, name: str) -> int:
        """SIGTERM; its exit status."""
        self.events.note("leave", name)
        part = self.parts[name]
        part.ask_to_leave()
        try:
            async with asyncio.timeout(_LEAVE_S):
                status = await part.process.wait()
        except TimeoutError:
            raise PartFailed(f"{name} was told to leave and was there {_LEAVE_S:.0f} s later (its log: {part.log})") from None
        await part.stop()
        self.events.note("left", name, status=status)
        return status

    async def crashed(self, name: str, timeout_s: float) -> bool:
        """Wait until a process that was told to has killed itself."""
        part = self.parts[name]
        ready = asyncio.create_task(part.until_ready(timeout_s), name=f"ready-{name}")
        try:
            async with asyncio.timeout(timeout_s):
                status = await part.process.wait()
        except TimeoutError:
            return False
        finally:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
        await part.stop()
        if status != -signal.SIGKILL:
            raise PartFailed(part.failure())
        return True

    def signal(self, name: str, number: signal.Signals) -> None:
        """Stop it where it stands, or let it go on."""
        self.events.note(number.name.lower(), name)
        os.kill(self.parts[name].process.pid, number)

    async def order(self, vendor: str, what: Mapping[str, object]) -> None:
        """Tell a vendor how to fail."""
        body = json.dumps(what).encode()
        asked = urllib.request.Request(f"{self.at[vendor]}/control", body, {"content-type": "application/json"})
        await asyncio.to_thread(lambda: urllib.request.urlopen(asked, timeout=10).close())

    def broken(self) -> list[str]:
        """Processes that left although nobody told them to."""
        return [part.failure() for part in self.parts.values() if part.process.returncode not in (None, 0, -signal.SIGKILL)]

    async def stop(self) -> None:
        """Everything, the vendors last."""
        last = ("spans", "backends")
        await asyncio.gather(*(part.stop(30) for name, part in self.parts.items() if name not in last))
        for name in last:
            if name in self.parts:
                await self.parts[name].stop()

    async def _run(self, part: Part) -> dict[str, Any]:
        running = await RunningPart.start(part, self.folder / "logs")
        self.parts[part.name] = running
        return await running.until_ready(READY_S)

    def _part(self, name: str, crash_at: str) -> Part:
        kind = name.partition("-")[0]
        own = {f"TRIVIUM_{kind.upper()}_PORT": str(self._ports[name])} if name in self._ports else {}

        def to(what: str, part: str = "") -> str:
            return self.reroute(name, what, self.at[part or what])

        number = name.partition("-")[2] or "1"
        environ = {
            "TRIVIUM_INSTANCE": f"{name}-{os.urandom(3).hex()}", "TRIVIUM_KAFKA": to("kafka"), "TRIVIUM_POLICY": str(POLICY),
            "TRIVIUM_OTLP": to("otlp"), "TRIVIUM_SESSION_TIMEOUT_MS": str(self.session_timeout_ms),
            "TRIVIUM_HEARTBEAT_MS": str(self.session_timeout_ms // 4), "TRIVIUM_FINETUNED_URL": to("tgi"), "TRIVIUM_CLOUD_URL": to("claude"),
            "TRIVIUM_CLOUD_KEY": STANDIN_KEY, "TRIVIUM_MILVUS": str(self.folder / f"{name}.db"), "TRIVIUM_DATADIR": str(self.folder / name),
            "TRIVIUM_FINETUNED": to("finetuned", "finetuned-1"), "TRIVIUM_RETRIEVAL": to("retrieval", "retrieval-1"),
            "TRIVIUM_CLOUD": to("cloud", "cloud-1"), "TRIVIUM_SEARCH": to("retrieval", f"retrieval-{number}"),
            "TRIVIUM_GENERATOR": to("finetuned", f"finetuned-{number}"), "TRIVIUM_GENERATOR_CLOUD": to("cloud", f"cloud-{number}"),
            "TRIVIUM_LOG_LEVEL": "INFO", "TRIVIUM_CRASH_AT": crash_at,
        }  # fmt: skip
        return Part(name, MODULES[kind], (), environ | own)
