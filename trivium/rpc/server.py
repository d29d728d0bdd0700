"""The gRPC server of every process: guarded handlers, health, reflection, and a drain that loses no call."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from trivium.core.errors import Unreachable
from trivium.keys.file import KeyFile
from trivium.process import Process
from trivium.rpc.channels import SERVER_OPTIONS
from trivium.rpc.gate import Gate
from trivium.rpc.guard import GuardedServer
from trivium.rpc.handshakes import refusals_heard
from trivium.rpc.ports import require_free
from trivium.rpc.tls import read_tls
from trivium.rpc.workers import supervise
from trivium.settings import KeySettings, read

AddServicers = Callable[[Any], None]
"""Calls the generated `add_XServicer_to_server(servicer, server)` for each servicer of the process."""


def adding(*services: tuple[Callable[[Any, Any], None], object]) -> AddServicers:
    """`adding((add_TierServicer_to_server, tier), ...)`: for RpcServer and serve; generated code has no types."""

    def add(server: Any) -> None:
        for register, servicer in services:
            register(servicer, server)

    return add


_LOOK_S: Final = 1.0
_NOTICE_MS: Final = 300
"""Between NOT_SERVING and closing the port: clients that watch health go elsewhere meanwhile."""


class RpcServer:
    """One grpc.aio server on one port.

    async with RpcServer(adding((add_TierServicer_to_server, tier)), port=0) as server:
        print(server.port)
    """

    def __init__(
        self,
        add_servicers: AddServicers,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        share_port: bool = False,
        drain_ms: int = 25_000,
        notice_ms: int = _NOTICE_MS,
        credentials: grpc.ServerCredentials | None = None,
        gate: Gate | None = None,
    ) -> None:
        """`share_port`: other workers listen on the same port (SO_REUSEPORT). `credentials`: of TLS; None is plain text.
        `gate`: asks for API keys. Times are ms."""
        self._gate = gate
        self._credentials = credentials
        self.host = host
        self.port = port
        """0 until started means any free port; afterwards the real one."""
        self._add_servicers = add_servicers
        self._share_port = share_port
        self._drain_ms = drain_ms
        self._notice_ms = notice_ms
        self._server: grpc.aio.Server | None = None
        self._health: HealthServicer | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the port and serve. Raises Unreachable when the port is taken."""
        if not self._share_port:
            require_free(self.host, self.port)
        options = (*SERVER_OPTIONS, ("grpc.so_reuseport", int(self._share_port)))
        server = grpc.aio.server(options=options)
        guarded = GuardedServer(server, self._gate)
        self._add_servicers(guarded)
        self._health = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((*guarded.names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        try:
            self.port = _open(server, f"{self.host}:{self.port}", self._credentials)
        except RuntimeError as error:
            raise Unreachable(f"the port {self.host}:{self.port} cannot be opened: {error}") from None
        for name in guarded.names:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Say NOT_SERVING, wait a little, take no new call, finish the open ones, cancel what is left at the end."""
        server, self._server = self._server, None
        if server is None or self._health is None:
            return
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._notice_ms / 1000)
        await server.stop(self._drain_ms / 1000)


def _open(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    if credentials is not None:
        return server.add_secure_port(address, credentials)
    return server.add_insecure_port(address)


@asynccontextmanager
async def _followed(gate: Gate | None) -> AsyncIterator[None]:
    """The keys, read again when their file changes."""
    if gate is None:
        yield
        return
    task = asyncio.create_task(_refresh(gate), name="keys-refresh")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _refresh(gate: Gate) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        # A large file takes milliseconds to read and check: not in the event loop.
        await asyncio.to_thread(gate.refresh)


async def serve(process: Process, port: int, processes: int, add_servicers: AddServicers) -> None:
    """Serve until the process is told to stop, then drain.

    With `processes` > 1 this process becomes the parent of that many workers, which run the same program and share the
    port; it serves nothing itself. Whoever does costly things before calling this looks at `process.worker` first.
    """
    if processes > 1 and process.worker is None:
        await supervise(process, port, processes)
        return
    async with opened(process, port, add_servicers):
        await process.stopping.wait()


@asynccontextmanager
async def _heard(credentials: grpc.ServerCredentials | None, process: Process) -> AsyncIterator[None]:
    """Handshakes that the port refuses are counted; a port without TLS has none."""
    with refusals_heard(process.metrics) if credentials is not None else nullcontext():
        yield


@asynccontextmanager
async def opened(process: Process, port: int, add_servicers: AddServicers) -> AsyncIterator[RpcServer]:
    """A server of this process that has said that it is ready, drained at the end; for processes that also do more."""
    settings, shared = process.settings, process.shared_port
    keys = read(KeySettings, process.environ).keys
    gate = Gate(KeyFile(keys), process.metrics) if keys else None
    credentials = read_tls(process.environ).server()
    server = RpcServer(
        add_servicers,
        host=settings.host,
        port=port if shared is None else shared,
        share_port=shared is not None,
        drain_ms=settings.drain_ms,
        credentials=credentials,
        gate=gate,
    )
    async with server, _followed(gate), _heard(credentials, process):
        await process.ready(port=server.port)
        try:
            yield server
        finally:
            process.draining()
