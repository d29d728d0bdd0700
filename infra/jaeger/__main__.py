"""`python -m infra.jaeger start|stop|status`: a real Jaeger, for traces."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.background import command
from infra.jaeger.server import FOLDER, MOST_TRACES, OTLP_PORT, QUERY_PORT, Ports, start


def main(argv: Sequence[str] | None = None) -> int:
    """0: done (status: it runs). 1: it does not run. 2: could not be done; one sentence says why."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.jaeger",
        description="A real Jaeger on this machine, built with Go from its published module; spans stay in memory.",
        epilog="example: python -m infra.jaeger start --otlp-port 14317 --query-port 26686",
    )
    parser.add_argument("--otlp-port", type=int, default=OTLP_PORT, help="OTLP over gRPC (default: %(default)s)")
    parser.add_argument("--query-port", type=int, default=QUERY_PORT, help="query API and pages (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--most-traces", type=int, default=MOST_TRACES, help="traces kept in memory (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="its log and what runs (default: %(default)s)")
    parser.add_argument("--programs", type=Path, default=FOLDER, help="where it is built (default: %(default)s)")
    return command("Jaeger", parser, argv, lambda asked, say: start(
        Ports(asked.otlp_port, asked.query_port, asked.host, asked.most_traces), say, asked.programs, asked.folder))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
