"""The operator's HTTP port of every process: /metrics, /ready, /live."""

from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web

from trivium.core.errors import Unreachable
from trivium.telemetry.metrics import CONTENT_TYPE

Render = Callable[[], Awaitable[bytes]]
"""Gives the text that Prometheus scrapes."""


class OpsServer:
    """Serves /metrics, /ready (200 or 503) and /live (200 as long as the event loop runs)."""

    def __init__(self, render: Render, ready: Callable[[], bool], host: str = "127.0.0.1", port: int = 0) -> None:
        self._render = render
        self._ready = ready
        self._host = host
        self.port = port
        """0 until started means any free port; afterwards the real one."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/ready", self._is_ready)
        app.router.add_get("/live", self._is_live)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the port. Raises Unreachable when it is taken."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = error.strerror or str(error)
            raise Unreachable(f"the operations port {self._host}:{self.port} cannot be opened: {reason}") from None
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port. Safe to call twice."""
        await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=await self._render(), headers={"Content-Type": CONTENT_TYPE})

    async def _is_ready(self, _request: web.Request) -> web.Response:
        ready = self._ready()
        return web.Response(text="ready\n" if ready else "not ready\n", status=200 if ready else 503)

    async def _is_live(self, _request: web.Request) -> web.Response:
        return web.Response(text="live\n")
