"""An OTLP/gRPC endpoint for spans, for programs and tests that look at what is sent."""

import json
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from trivium.telemetry.otlp import EXPORT

Take = Callable[[bytes, grpc.ServicerContext], bytes]
"""One export: the bytes of an ExportTraceServiceRequest; gives those of the response."""


@contextmanager
def collecting(take: Take) -> Iterator[str]:
    """The address of an endpoint on a free port. `take` is called in one thread."""
    _, service, method = EXPORT.split("/")
    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.method_handlers_generic_handler(service, {method: grpc.unary_unary_rpc_method_handler(take)})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait(5)


def serve(take: Take) -> int:
    """As a process: prints the address as JSON, and runs until SIGINT or SIGTERM."""
    leave = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, leave)
    with collecting(take) as otlp:
        print(json.dumps({"otlp": otlp}), flush=True)
        signal.sigwait(leave)
    return 0
