"""`python -m infra.milvus start|stop|status`: a real Milvus server, for documents."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.background import command
from infra.milvus.server import FOLDER, HEALTH_PORT, PORT, Ports, start


def main(argv: Sequence[str] | None = None) -> int:
    """0: done (status: it runs). 1: it does not run. 2: could not be done; one sentence says why."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.milvus",
        description="A real Milvus 2.3.5 on this machine, from its Python package in an environment of its own.",
        epilog="example: python -m infra.milvus start --port 29530 --health-port 29091",
    )
    parser.add_argument("--port", type=int, default=PORT, help="gRPC port (default: %(default)s)")
    parser.add_argument("--health-port", type=int, default=HEALTH_PORT, help="HTTP health port (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="documents, log, what runs (default: %(default)s)")
    parser.add_argument("--programs", type=Path, default=FOLDER, help="where it is installed (default: %(default)s)")
    return command("Milvus", parser, argv, lambda asked, say: start(
        Ports(asked.port, asked.health_port), say, asked.programs, asked.folder))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
