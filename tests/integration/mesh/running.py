"""A whole mesh as its callers see it: two doors, the command line, and the stand-ins' own controls."""

import asyncio
import json
import os
import sys
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local import POLICY, LocalMesh, MeshOptions
from trivium.client import KafkaClient, TriviumClient
from trivium.core.outcome import Terminal
from trivium.ingest.files import select
from trivium.ingest.send import ingest
from trivium.kafka.admin import ensure
from trivium.kafka.layout import Layout
from trivium.kafka.reader import Tail
from trivium.kafka.record import Delivered
from trivium.kafka.topics import DEADLETTER, PARTITIONS, all_topics
from trivium.policy import load
from trivium.rpc.channels import channel
from trivium.v1 import records_pb2, request_pb2

DOCUMENTS = (Path("docs/cache.md"), Path("docs/privacy.md"))
TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output as JSON, one object a line."""
        return [json.loads(line) for line in self.out.splitlines() if line.strip()]

    def lines_of(self, **fields: object) -> list[dict[str, Any]]:
        """The lines that have these values."""
        return [line for line in self.lines if fields.items() <= line.items()]


@dataclass(slots=True)
class Letters:
    """Dead letters as they come, by the place of the record that they are about."""

    found: dict[str, records_pb2.DeadLetter] = field(default_factory=dict)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, record: Delivered) -> None:
        letter = records_pb2.DeadLetter.FromString(record.value or b"")
        self.found[letter.id] = letter
        self._more.set()

    async def until(self, wanted: Callable[[records_pb2.DeadLetter], bool]) -> records_pb2.DeadLetter:
        """The first letter that is wanted."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                self._more.clear()
                if (letter := next((m for m in self.found.values() if wanted(m)), None)) is not None:
                    return letter
                await self._more.wait()


@dataclass(slots=True)
class RunningMesh:
    """A mesh and a client at each of its doors, for tenant acme."""

    local: LocalMesh
    kafka: KafkaClient
    grpc: TriviumClient
    letters: Letters

    async def by_kafka(self, **fields: Any) -> Terminal:
        """One request through Kafka."""
        return await self.kafka.ask(asking(**fields), timeout_ms=int(TIMEOUT_S * 1000))

    async def by_grpc(self, **fields: Any) -> Terminal:
        """One request through Complete."""
        return await self.grpc.complete(asking(**fields), timeout_s=TIMEOUT_S)

    async def by_stream(self, **fields: Any) -> tuple[str, Terminal]:
        """One request through CompleteStream: the pieces in one, and the terminal."""
        pieces: list[str] = []
        terminals: list[Terminal] = []
        async for event in self.grpc.stream(asking(**fields), timeout_s=TIMEOUT_S):
            assert not terminals, "something came after the terminal"
            if isinstance(event, str):
                pieces.append(event)
            else:
                terminals.append(event)
        (terminal,) = terminals
        return "".join(pieces), terminal

    async def control(self, standin: str, **order: Any) -> None:
        """An order to the stand-in `model` or `cloud` (infra/standins/faults.py)."""
        await asyncio.to_thread(_http, f"{self._url(standin)}/control", order)

    async def calls(self, standin: str) -> dict[str, Any]:
        """What the stand-in was asked so far."""
        return await asyncio.to_thread(_http, f"{self._url(standin)}/calls", None)

    def _url(self, standin: str) -> str:
        return self.local.addresses.model_url if standin == "model" else self.local.addresses.cloud_url

    async def trivium(self, *arguments: str | Path, **environ: str) -> Said:
        """A command of the command line, pointed at this mesh."""
        return await command(*arguments, environ={**self.local.environ(), **environ})


async def command(*arguments: str | Path, environ: Mapping[str, str] | None = None, timeout_s: float = 60.0) -> Said:
    """Run `trivium ARGUMENTS`."""
    return await program("trivium.cli", *arguments, environ=environ, timeout_s=timeout_s)


async def program(
    module: str, *arguments: str | Path, environ: Mapping[str, str] | None = None, timeout_s: float = 60.0
) -> Said:
    """Run `python -m MODULE ARGUMENTS` to its end; the settings of this process do not reach it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIVIUM_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *map(str, arguments), env=kept | dict(environ or {}),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Said(process.returncode or 0, out.decode(), err.decode())


def asking(prompt: str = "", **fields: Any) -> request_pb2.Request:
    """A request of acme, with an id of its own."""
    return request_pb2.Request(**({"tenant": "acme", "id": new_id()} | fields), prompt=prompt)


def new_id() -> str:
    """An id that nobody used."""
    return f"mesh-{uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def running_mesh(folder: Path, broker: str = "", **options: Any) -> AsyncIterator[RunningMesh]:
    """A mesh with the example's policy and two documents in acme's corpus. `options`: of MeshOptions."""
    async with AsyncExitStack() as stack:
        if broker:
            replies = sorted({topic for tenant in load(POLICY).tenants.values() for topic in tenant.reply_topics})
            await ensure(broker, all_topics(replies, PARTITIONS), Layout(), create=True)
        local = await stack.enter_async_context(LocalMesh(MeshOptions(data=folder, kafka=broker, **options)))
        async with channel(local.addresses.retrieval) as retrieval:
            report = await ingest(retrieval, "acme", "docs", select(DOCUMENTS), lambda _sent: None)
        assert not report.failed
        letters = Letters()
        tail = await stack.enter_async_context(Tail(local.addresses.kafka, DEADLETTER, letters.take, from_beginning=False))
        assert await tail.wait_caught_up(10_000)
        kafka = await stack.enter_async_context(KafkaClient(local.addresses.kafka, "acme"))
        grpc = await stack.enter_async_context(TriviumClient(local.addresses.gateway))
        yield RunningMesh(local, kafka, grpc, letters)


def _http(url: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=5) as response:
        found: dict[str, Any] = json.load(response)
        return found
