"""The mesh of one machine with a proxy on every edge."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from infra.local import LocalMesh, MeshOptions
from infra.part import Part
from services import retrieval
from tests.faults.edges.proxy import Proxy


@dataclass(frozen=True, slots=True)
class Edge:
    """Who speaks to what. `variable`: the setting that says where it is."""

    who: str
    variable: str
    kafka: bool = False


EDGES: Final[Mapping[str, Edge]] = {
    "router-broker": Edge("router", "TRIVIUM_KAFKA", kafka=True),
    "tier-broker": Edge("finetuned", "TRIVIUM_KAFKA", kafka=True),
    "gateway-broker": Edge("gateway", "TRIVIUM_KAFKA", kafka=True),
    "gateway-finetuned": Edge("gateway", "TRIVIUM_FINETUNED"),
    "gateway-cloud": Edge("gateway", "TRIVIUM_CLOUD"),
    "finetuned-tgi": Edge("finetuned", "TRIVIUM_FINETUNED_URL"),
    "finetuned-retrieval": Edge("finetuned", "TRIVIUM_SEARCH"),
    "retrieval-finetuned": Edge("retrieval", "TRIVIUM_GENERATOR"),
    "retrieval-milvus": Edge("retrieval", "TRIVIUM_MILVUS"),
    "cloud-anthropic": Edge("cloud", "TRIVIUM_CLOUD_URL"),
    "gateway-collector": Edge("gateway", "TRIVIUM_OTLP"),
    "router-collector": Edge("router", "TRIVIUM_OTLP"),
}  # fmt: skip


class EdgeMesh(LocalMesh):
    """A LocalMesh whose services are told the proxies' addresses."""

    def __init__(self, options: MeshOptions, seed: int) -> None:
        super().__init__(options)
        self._seed = seed
        self._stack = AsyncExitStack()
        self.edges: dict[str, Proxy] = {}

    async def _start(self) -> None:
        kafka, standins = await asyncio.gather(self._start_broker(), self._start_standins())
        self.addresses = self._address(kafka, standins)
        straight = self.environ()
        for number, (name, edge) in enumerate(EDGES.items()):
            where = straight[edge.variable].partition("://")[2] or straight[edge.variable]
            self.edges[name] = await self._stack.enter_async_context(Proxy(where, self._seed + number, edge.kafka))
        await asyncio.gather(*(self._run(self._through(part)) for part in self._services()))

    def _through(self, part: Part) -> Part:
        changed = dict(part.environ)
        for name, edge in EDGES.items():
            if edge.who == part.name:
                scheme, found, _ = changed[edge.variable].partition("://")
                changed[edge.variable] = (f"{scheme}://" if found else "") + self.edges[name].address
        return replace(part, environ=changed)

    async def stop(self) -> None:
        """See LocalMesh."""
        await super().stop()
        await self._stack.aclose()


@asynccontextmanager
async def milvus(folder: Path) -> AsyncIterator[str]:
    """A Milvus Lite server of its own; its URI."""
    program = Path(str(retrieval.__file__)).with_name("lite_server.py")
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-P", str(program), str(folder / "lite.db"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert server.stdout is not None
    assert server.stdin is not None
    try:
        async with asyncio.timeout(60):
            yield f"http://127.0.0.1:{json.loads(await server.stdout.readline())['port']}"
    finally:
        server.stdin.close()
        await server.wait()
