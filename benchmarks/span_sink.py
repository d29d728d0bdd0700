"""An OTLP endpoint that takes spans and throws them away: `python -m benchmarks.span_sink` prints its address as JSON.

For measuring what tracing costs the processes that are traced, not what a store costs beside them."""

import sys

import grpc

from infra.collector import serve


def _take(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    return b""


if __name__ == "__main__":
    sys.exit(serve(_take))
