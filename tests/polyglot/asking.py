"""Running an example as a user does."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from tests.integration.mesh.running import RunningMesh
from tests.polyglot.building import Example

TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program said: standard output as JSON, one object a line."""

    status: int
    lines: list[dict[str, Any]]
    err: str

    @property
    def only(self) -> dict[str, Any]:
        """The one line that it printed."""
        (line,) = self.lines
        return line

    @property
    def terminals(self) -> dict[str, dict[str, Any]]:
        """Terminals by request id; each id once."""
        found = [line for line in self.lines if "identity" in line]
        by_id = {line["identity"]["id"]: line for line in found}
        assert len(by_id) == len(found), "an identity was delivered twice"
        return by_id


@dataclass(slots=True)
class Running:
    """A program that was started and has not been awaited."""

    process: asyncio.subprocess.Process

    async def line(self) -> dict[str, Any]:
        """Its next line of JSON."""
        assert self.process.stdout is not None
        async with asyncio.timeout(TIMEOUT_S):
            found: dict[str, Any] = json.loads(await self.process.stdout.readline())
            return found

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    async def end(self) -> Ended:
        """Its status and what it still said."""
        async with asyncio.timeout(TIMEOUT_S):
            out, err = await self.process.communicate()
        said = err.decode()
        assert "Traceback" not in said, said
        assert "\tat " not in said, said
        lines = [json.loads(line) for line in out.decode().splitlines() if line.strip()]
        return Ended(self.process.returncode or 0, lines, said)


@asynccontextmanager
async def started(example: Example, *arguments: str) -> AsyncIterator[Running]:
    """Start an example; it is gone at the end."""
    process = await asyncio.create_subprocess_exec(
        *example.command, *arguments, env=os.environ, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run(example: Example, *arguments: str) -> Ended:
    """Run an example to its end."""
    async with started(example, *arguments) as running:
        return await running.end()


def call(mesh: RunningMesh, example: Example, name: str, seconds: float = 30.0) -> tuple[str, ...]:
    """The beginning of a command over gRPC."""
    return (name, "--gateway", mesh.local.addresses.gateway, "--json", "--timeout", example.timeout(seconds))


def publishing(mesh: RunningMesh, example: Example, request_id: str, seconds: float = 30.0) -> tuple[str, ...]:
    """The beginning of a command over Kafka."""
    kafka = mesh.local.addresses.kafka
    return ("publish", "--kafka", kafka, "--json", "--id", request_id, "--timeout", example.timeout(seconds))
