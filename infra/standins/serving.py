"""A stand-in as a server: start, stop, `/control`, `/calls`, delays and the faults that every wire shares."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from infra.standins.calls import CallLog, Entry, telling
from infra.standins.faults import BadControl, Fault, Faults, Pace

LARGEST_BODY: Final = 32 * 1024 * 1024
GRACE_S: Final = 1.0
LONGEST_HANG_S: Final = 600.0


class CannotListen(Exception):
    """The port is taken or not allowed; the message names it."""


class Standin(ABC):
    """One stand-in: `async with TgiStandin(port=0) as standin: standin.url`."""

    vendor: str

    def __init__(
        self, port: int = 0, host: str = "127.0.0.1", call_log: Path | None = None, pace: Pace | None = None
    ) -> None:
        self.calls = CallLog(call_log)
        self.faults = Faults(pace or Pace())
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """http://host:port without a slash at the end; after start."""
        return f"http://{self._host}:{self._port}"

    @abstractmethod
    def routes(self) -> Sequence[web.RouteDef]:
        """What it serves beside `/control` and `/calls`."""

    async def start(self) -> None:
        """Listens. Raises CannotListen."""
        app = web.Application(client_max_size=LARGEST_BODY)
        app.on_response_prepare.append(self._sign)
        app.add_routes([*self.routes(), *self._own_routes()])
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=GRACE_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            await self.stop()
            raise CannotListen(f"cannot listen on {self._host}:{self._port}: {error.strerror}") from error
        self._port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stops listening, breaks what still runs after a second, and closes the call log."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self.calls.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @asynccontextmanager
    async def logged(self, request: web.Request, model: str, stream: bool, prompt: str) -> AsyncIterator["Served"]:
        """Counts the call, draws its fault, and notes how it ended."""
        loop = asyncio.get_running_loop()
        entry = self.calls.start(request.path, model, stream, prompt, telling(request.headers))
        fault = self.faults.draw(entry.n, f"{model}\n{prompt}")
        entry.fault = fault.kind if fault else ""
        served = Served(request, entry, fault, self.faults, loop.time())
        try:
            yield served
        finally:
            self.calls.end(entry, served.status or 499, (loop.time() - served.began) * 1000)

    def _own_routes(self) -> list[web.RouteDef]:
        return [
            web.get("/control", self._show),
            web.post("/control", self._control),
            web.get("/calls", self._calls),
            web.delete("/calls", self._forget),
        ]

    async def _sign(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["x-standin"] = self.vendor

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self.faults.state())

    async def _control(self, request: web.Request) -> web.Response:
        try:
            self.faults.control(json.loads(await request.text()))
        except json.JSONDecodeError as error:
            return web.json_response({"error": f"not JSON: {error.msg} at character {error.pos}"}, status=400)
        except BadControl as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self.faults.state())

    async def _calls(self, request: web.Request) -> web.Response:
        last = request.query.get("last", "100")
        if not last.isdecimal():
            return web.json_response({"error": f"last must be a number, not {last!r}"}, status=400)
        return web.json_response(self.calls.report(int(last)))

    async def _forget(self, request: web.Request) -> web.Response:
        self.calls.clear()
        return web.json_response(self.calls.report(0))


class Served:
    """One call being answered: its pace, its fault, and the writing of its response."""

    def __init__(self, request: web.Request, entry: Entry, fault: Fault | None, faults: Faults, began: float) -> None:
        self.request = request
        self.entry = entry
        self.fault = fault
        self.began = began
        self.status = 0
        self._pace = faults.pace
        self._cleared = faults.cleared

    @property
    def kind(self) -> str:
        """The kind of the fault, or an empty string."""
        return self.fault.kind if self.fault else ""

    @property
    def early(self) -> bool:
        """Whether the fault strikes before any token."""
        return self.fault is not None and not self.fault.after_tokens

    async def suffer(self) -> None:
        """Waits out the delay of the fault; breaks the connection for those that end so."""
        if self.fault is None or (self.entry.stream and not self.early):
            return
        if self.fault.kind == "hang":
            await self._hang(self.fault.delay_ms / 1000 if self.fault.delay_ms else LONGEST_HANG_S)
            self.break_off()
        if self.fault.delay_ms:
            await asyncio.sleep(self.fault.delay_ms / 1000)
        if self.fault.kind == "reset" and not self.entry.stream:
            self.break_off()

    def break_off(self) -> None:
        """Breaks the connection and ends the handler."""
        if self.request.transport is not None:
            self.request.transport.abort()
        raise asyncio.CancelledError

    def json(self, body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
        """The whole answer, spoiled when the fault says so."""
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        if self.kind == "bad_json":
            text = text[: max(1, len(text) // 2)] + "\x00"
        self.status = status
        return web.Response(text=text, status=status, content_type="application/json", headers=headers)

    async def paced(self, tokens: int) -> None:
        """Waits as long as generating so many tokens takes; for answers that come at once."""
        await self._until(self._pace.ttft_ms + max(0, tokens - 1) * self._pace.tpot_ms)

    async def send_whole(self, response: web.Response) -> web.StreamResponse:
        """Sends an answer, or half of it when the fault is `cut`."""
        if self.kind != "cut" or not isinstance(response.body, bytes):
            return response
        headers = {"content-type": "application/json", "content-length": str(len(response.body))}
        started = web.StreamResponse(status=200, headers=headers)
        await started.prepare(self.request)
        await started.write(response.body[: len(response.body) // 2])
        self.status = 499
        self.break_off()
        return started

    async def stream(self, first: bytes, events: Sequence[bytes], last: bytes, trouble: bytes) -> web.StreamResponse:
        """Sends server-sent events: `first` at once, `events` one a token in their pace, `last` at the end.

        A fault with `after_tokens` (and `cut`, `reset`, after half) ends it early: with `trouble`, or with nothing.
        """
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
        await response.prepare(self.request)
        self.status = 200
        whole = self._whole(len(events))
        if first:
            await response.write(first)
        await self._send_events(response, events[:whole])
        if whole == len(events) and not self._spoiled_at_end():
            await response.write(last)
        elif self.kind in ("reset", "hang"):
            await self._stall()
        elif self.kind == "bad_json":
            await response.write(b'data: {"broken\n\n')
        elif self.kind != "cut":
            await response.write(trouble)
        await response.write_eof()
        return response

    def _whole(self, tokens: int) -> int:
        """How many tokens are sent before the fault."""
        if self.fault is None or self.kind in ("slow", "refuse"):
            return tokens
        if self.fault.after_tokens is not None:
            return min(tokens, self.fault.after_tokens)
        return tokens // 2 if self.kind in ("cut", "reset", "bad_json") else 0

    def _spoiled_at_end(self) -> bool:
        return self.fault is not None and self.kind not in ("slow", "refuse")

    async def _stall(self) -> None:
        self.status = 499
        if self.kind == "hang":
            await self._hang(LONGEST_HANG_S)
        self.break_off()

    async def _hang(self, longest_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._cleared.wait()

    async def _send_events(self, response: web.StreamResponse, events: Iterable[bytes]) -> None:
        if not self._pace.tpot_ms:
            await self._until(self._pace.ttft_ms)
            await response.write(b"".join(events))
            return
        for at, event in enumerate(events):
            await self._until(self._pace.ttft_ms + at * self._pace.tpot_ms)
            await response.write(event)

    async def _until(self, ms: float) -> None:
        """Waits until so many ms after the call came: delays do not add up."""
        left = self.began + ms / 1000 - asyncio.get_running_loop().time()
        if ms and left > 0:
            await asyncio.sleep(left)


def sse(body: object, event: str | None = None, space: str = " ") -> bytes:
    """One server-sent event."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data:{space}{json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def read_json(text: str) -> tuple[dict[str, Any], str]:
    """(object, what was wrong or an empty string)."""
    try:
        body = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        return {}, f"Failed to parse the request body as JSON: {error}"
    if not isinstance(body, dict):
        return (
            {},
            f"Failed to deserialize the JSON body into the target type: expected an object, got {type(body).__name__}",
        )
    return body, ""
