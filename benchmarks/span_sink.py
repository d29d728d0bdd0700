"""An OTLP endpoint that takes spans and throws them away: `python -m benchmarks.span_sink` prints its address as JSON.

For measuring what tracing costs the processes that are traced, not what a store costs beside them."""

import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


def _take(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    return b""


def main() -> int:
    """Run until SIGINT or SIGTERM."""
    leave = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, leave)
    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(_take)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"otlp": f"http://127.0.0.1:{port}"}), flush=True)
    signal.sigwait(leave)
    server.stop(None).wait(5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
