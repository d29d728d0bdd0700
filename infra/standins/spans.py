"""A small span store: takes OTLP over gRPC, and answers Jaeger's query API over HTTP, in the shapes of Jaeger 1.76.

`/api/services`, `/api/operations`, `/api/services/{service}/operations`, `/api/traces?service=&operation=&tags=&limit=
&start=&end=`, `/api/traces/{traceID}`. Spans stay serialised in memory, the last 200,000; nothing is kept on disk.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any, Final

import grpc
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from infra.standins.command import serve, until_stopped
from infra.standins.serving import CannotListen, Standin
from infra.standins.spans_jaeger import trace_shape
from infra.standins.spans_memory import KEPT, Query, SpanMemory

Context = grpc.aio.ServicerContext[ExportTraceServiceRequest, ExportTraceServiceResponse]
LARGEST_EXPORT: Final = 32 * 1024 * 1024
MOST_TRACES: Final = 1_500


class _Receiver(TraceServiceServicer):
    def __init__(self, memory: SpanMemory) -> None:
        self._memory = memory

    async def Export(self, request: ExportTraceServiceRequest, context: Context) -> ExportTraceServiceResponse:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self._memory.add(resource.resource, scope.scope.name, scope.spans)
        return ExportTraceServiceResponse()


class SpanStore(Standin):
    """The server, for use in process: `async with SpanStore() as store: store.url, store.otlp`."""

    vendor = "jaeger; a small span store"

    def __init__(self, otlp_port: int = 0, http_port: int = 0, host: str = "127.0.0.1", most_spans: int = KEPT) -> None:
        super().__init__(http_port, host)
        self.memory = SpanMemory(most_spans)
        self._otlp_port = otlp_port
        self._grpc: grpc.aio.Server | None = None

    @property
    def otlp(self) -> str:
        """host:port of the OTLP receiver; after start."""
        return f"{self._host}:{self._otlp_port}"

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/api/services", self._services),
            web.get("/api/services/{service}/operations", self._operations),
            web.get("/api/operations", self._operations),
            web.get("/api/traces", self._search),
            web.get("/api/traces/{trace_id}", self._trace),
            web.get("/", self._health),
        ]

    async def start(self) -> None:
        options = [("grpc.max_receive_message_length", LARGEST_EXPORT), ("grpc.so_reuseport", 0)]
        self._grpc = grpc.aio.server(options=options)
        add_TraceServiceServicer_to_server(_Receiver(self.memory), self._grpc)  # type: ignore[no-untyped-call]
        try:
            self._otlp_port = self._grpc.add_insecure_port(f"{self._host}:{self._otlp_port}")
        except RuntimeError as error:
            self._grpc = None
            raise CannotListen(f"cannot listen on {self._host}:{self._otlp_port}: address in use?") from error
        await self._grpc.start()
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        if self._grpc is not None:
            server, self._grpc = self._grpc, None
            await server.stop(grace=0.5)

    async def _services(self, request: web.Request) -> web.Response:
        return _data(self.memory.services())

    async def _operations(self, request: web.Request) -> web.Response:
        service = request.match_info.get("service") or request.query.get("service", "")
        if not service:
            return _wrong(400, "parameter 'service' is required")
        found = self.memory.operations(service)
        if request.path == "/api/operations":
            return _data([{"name": name, "spanKind": kind} for name, kind in found])
        return _data(sorted({name for name, _ in found}))

    async def _search(self, request: web.Request) -> web.Response:
        try:
            query = _query(request)
        except ValueError as error:
            return _wrong(400, str(error))
        found = await self.memory.search(query)
        return _data([trace_shape(trace_id, self.memory.trace(trace_id)) for trace_id in found])

    async def _trace(self, request: web.Request) -> web.Response:
        written = request.match_info["trace_id"]
        try:
            trace_id = bytes.fromhex(written.rjust(32, "0"))
        except ValueError:
            return _wrong(400, f"cannot parse traceID {written}: it must be hexadecimal")
        spans = self.memory.trace(trace_id)
        return _data([trace_shape(trace_id, spans)]) if spans else _wrong(404, "trace not found")

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "spans": len(self.memory)})


def _query(request: web.Request) -> Query:
    """The search that a request asks. Raises ValueError."""
    asked = request.query
    if asked.getall("traceID", None):
        raise ValueError("search by traceID is not supported here: use /api/traces/{traceID}")
    if not asked.get("service"):
        raise ValueError("parameter 'service' is required")
    try:
        tags = json.loads(asked.get("tags", "{}"))
    except json.JSONDecodeError as error:
        raise ValueError(f"malformed 'tags' parameter, expecting JSON object of strings: {error.msg}") from error
    if not isinstance(tags, dict):
        raise ValueError("malformed 'tags' parameter, expecting JSON object of strings")
    for pair in asked.getall("tag", []):
        name, colon, value = pair.partition(":")
        if not colon:
            raise ValueError(f"malformed 'tag' parameter, expecting key:value, received: {pair}")
        tags[name] = value
    return Query(
        service=asked["service"],
        operation=asked.get("operation", ""),
        tags={str(name): str(value) for name, value in tags.items()},
        start_us=_whole(asked.get("start"), 0, "start"),
        end_us=_whole(asked.get("end"), 2**63, "end"),
        limit=min(MOST_TRACES, _whole(asked.get("limit"), 100, "limit")),
    )


def _whole(written: str | None, default: int, name: str) -> int:
    if not written:
        return default
    if not written.isdecimal():
        raise ValueError(f"unable to parse param '{name}': {written!r} is not a whole number")
    return int(written)


def _data(data: Sequence[Any]) -> web.Response:
    return web.json_response({"data": list(data), "total": len(data), "limit": 0, "offset": 0, "errors": None})


def _wrong(status: int, message: str) -> web.Response:
    body = {"data": None, "total": 0, "limit": 0, "offset": 0, "errors": [{"code": status, "msg": message}]}
    return web.json_response(body, status=status)


async def _run(parser: argparse.ArgumentParser, store: SpanStore) -> None:
    try:
        async with store:
            print(json.dumps({"ready": True, "vendor": store.vendor, "otlp": store.otlp, "url": store.url}), flush=True)
            await until_stopped()
    except CannotListen as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


def main() -> None:
    """`python -m infra.standins.spans`."""
    command = "python -m infra.standins.spans"
    parser = argparse.ArgumentParser(
        prog=command,
        description="A small span store: OTLP over gRPC in, Jaeger's query API over HTTP out.",
        epilog=f"example: {command} --otlp-port 4317 --http-port 16686",
    )
    parser.add_argument("--otlp-port", type=int, default=4317, help="0: any free port (default: %(default)s)")
    parser.add_argument("--http-port", type=int, default=16686, help="0: any free port (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--most-spans", type=int, default=KEPT, help="spans kept (default: %(default)s)")
    options = parser.parse_args()
    serve(_run(parser, SpanStore(options.otlp_port, options.http_port, options.host, options.most_spans)))


if __name__ == "__main__":
    main()
