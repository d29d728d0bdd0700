"""Worker processes that share one port (SO_REUSEPORT): a gRPC process answers 5-6 thousand calls a second at most.

The parent opens no channel and serves nothing: it starts the same program once per worker (never a fork), reserves the
port, says so and starts another when a worker ends, and passes SIGTERM on. The kernel spreads connections, not calls,
over the workers, so a client that wants them all opens several channels.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp

from trivium.core.errors import Unreachable
from trivium.process import Process
from trivium.rpc.ports import require_free
from trivium.telemetry.metrics import merged

_LOG = logging.getLogger(__name__)
_START_S: Final = 60.0
_PAUSE_S: Final = 1.0
_SCRAPE_S: Final = 2.0
_KILL_AFTER_DRAIN_S: Final = 5.0


@dataclass(slots=True)
class _Worker:
    number: int
    process: asyncio.subprocess.Process
    ops_port: int = 0


async def supervise(process: Process, port: int, count: int) -> None:
    """Run `count` workers of this program on one port until the process is told to stop.

    Prints this process's ready line when all of them are ready. Raises Unreachable when the port is taken or a worker
    cannot start.
    """
    host = process.settings.host
    require_free(host, port)
    with _reserved(host, port) as reserved:
        shared = reserved.getsockname()[1]
        crew = _Crew(process, command(), shared)
        try:
            await crew.start(count)
            await process.ready(crew.metrics, port=shared, workers=count)
            await process.stopping.wait()
        finally:
            process.draining()
            await crew.stop()


def command() -> tuple[str, ...]:
    """How to run this program once more."""
    spec = sys.modules["__main__"].__spec__
    if spec is not None and spec.name is not None:
        return (sys.executable, "-m", spec.name.removesuffix(".__main__"))
    return (sys.executable, os.path.abspath(sys.argv[0]))


class _Crew:
    def __init__(self, process: Process, program: Sequence[str], port: int) -> None:
        self._process = process
        self._program = program
        self._port = port
        self._workers: dict[int, _Worker] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, count: int) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(count):
                    group.create_task(self._start(number))
        except* Unreachable as group_of_errors:
            raise group_of_errors.exceptions[0] from None
        self._tasks = [asyncio.create_task(self._keep(number), name=f"worker-{number}") for number in range(count)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._end(worker) for worker in self._workers.values()))

    async def metrics(self) -> bytes:
        """The metrics of all workers, each sample with the label `worker`."""
        timeout = aiohttp.ClientTimeout(total=_SCRAPE_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            texts = await asyncio.gather(*(self._scrape(session, worker) for worker in self._workers.values()))
        return merged({str(worker.number): text for worker, text in zip(self._workers.values(), texts, strict=True)})

    async def _scrape(self, session: aiohttp.ClientSession, worker: _Worker) -> str:
        try:
            async with session.get(f"http://{self._process.settings.host}:{worker.ops_port}/metrics") as answer:
                return await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return ""

    async def _start(self, number: int) -> None:
        child = await asyncio.create_subprocess_exec(
            *self._program, "--worker", str(number), "--port", str(self._port),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=dict(self._process.environ),
        )  # fmt: skip
        worker = self._workers[number] = _Worker(number, child)
        try:
            async with asyncio.timeout(_START_S):
                worker.ops_port = await _ready_line(child)
        except TimeoutError:
            raise Unreachable(f"worker {number} was not ready within {_START_S:.0f} s") from None

    async def _keep(self, number: int) -> None:
        """Start another one whenever this worker ends, and say so."""
        while True:
            child = self._workers[number].process
            status = await child.wait()
            _LOG.error("worker %d (process %d) ended with status %d; starting another", number, child.pid, status)
            await asyncio.sleep(_PAUSE_S)
            try:
                await self._start(number)
            except Unreachable as error:
                _LOG.error("%s; trying again", error)
            else:
                _LOG.warning("worker %d is back as process %d", number, self._workers[number].process.pid)

    async def _end(self, worker: _Worker) -> None:
        child = worker.process
        if child.returncode is not None:
            return
        child.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._process.settings.drain_ms / 1000 + _KILL_AFTER_DRAIN_S):
                await child.wait()
        except TimeoutError:
            _LOG.error("worker %d did not end after its drain time; killed", worker.number)
            child.kill()
            await child.wait()


async def _ready_line(child: asyncio.subprocess.Process) -> int:
    """The operations port of a worker. Raises Unreachable when it ends first; its own sentence is on stderr."""
    if child.stdout is None:
        raise AssertionError("a worker is started with a pipe")
    line = await child.stdout.readline()
    if line:
        return int(json.loads(line)["ops_port"])
    raise Unreachable(f"a worker ended with status {await child.wait()} before it was ready")


def _reserved(host: str, port: int) -> socket.socket:
    """The port bound but not listened on: it is ours, and connections go to the workers only."""
    family, kind, proto, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, proto)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(address)
    return bound
