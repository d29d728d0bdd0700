"""`python -m infra.postgres start|stop|status`: a real PostgreSQL, for the ledger."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.background import command
from infra.postgres.server import FOLDER, PORT, start


def main(argv: Sequence[str] | None = None) -> int:
    """0: done (status: it runs). 1: it does not run. 2: could not be done; one sentence says why."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.postgres",
        description="A real PostgreSQL on this machine, from a Python package that carries its programs.",
        epilog="example: python -m infra.postgres start --port 25432",
    )
    parser.add_argument("--port", type=int, default=PORT, help="port on the loopback interface (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="log and what runs (default: %(default)s)")
    parser.add_argument("--programs", type=Path, default=FOLDER / "programs", help="where it is installed (default: %(default)s)")
    return command("Postgres", parser, argv, lambda asked, say: start(asked.port, say, asked.folder, asked.programs))


if __name__ == "__main__":
    sys.exit(main())
