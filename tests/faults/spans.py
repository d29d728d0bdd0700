"""An OTLP endpoint that keeps who is whose parent: `python -m tests.faults.spans --folder DIR` prints its address as JSON.

A line a span in DIR/spans.txt: trace, span, parent ("-" when it has none), service, name; tabs between them."""

import argparse
import sys
from pathlib import Path
from typing import IO

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from infra.collector import serve


class Sink:
    """Appends spans to a file; one thread."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def take(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        """One export."""
        lines = []
        for resource in ExportTraceServiceRequest.FromString(request).resource_spans:
            attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
            service = attributes.get("service.instance.id") or attributes.get("service.name", "?")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    lines.append("\t".join((span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex() or "-", service, span.name)))
        self._file.write("".join(line + "\n" for line in lines))
        self._file.flush()
        return b""


def main() -> int:
    """Run until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.spans", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    folder: Path = parser.parse_args().folder
    with (folder / "spans.txt").open("a") as file:
        return serve(Sink(file).take)


if __name__ == "__main__":
    sys.exit(main())
