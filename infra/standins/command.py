"""What the commands of the stand-ins share: options, the line that says ready, and stopping on a signal."""

import argparse
import asyncio
import importlib
import importlib.util
import json
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from infra.standins.serving import CannotListen, Standin


def common_options(name: str, description: str, port: int) -> argparse.ArgumentParser:
    """A parser with the options that every stand-in over HTTP has."""
    command = f"python -m infra.standins.{name}"
    parser = argparse.ArgumentParser(
        prog=command,
        description=description,
        epilog=f"example: {command} --port 0 --ttft-ms 80 --tpot-ms 10 --call-log calls.jsonl",
    )
    parser.add_argument("--port", type=int, default=port, help="0: any free port (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--ttft-ms", type=float, default=0.0, help="delay to the first token")
    parser.add_argument("--tpot-ms", type=float, default=0.0, help="delay from each token to the next")
    parser.add_argument("--call-log", type=Path, default=None, metavar="FILE", help="append every call as JSON lines")
    return parser


async def run(parser: argparse.ArgumentParser, standin: Standin) -> None:
    """Serves until SIGINT or SIGTERM, after one JSON line with the address. Exits with 1 when it cannot listen."""
    try:
        async with standin:
            print(json.dumps({"ready": True, "vendor": standin.vendor, "url": standin.url}), flush=True)
            await until_stopped()
    except CannotListen as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


def serve(main: Coroutine[Any, Any, None]) -> None:
    """Runs a server in an event loop, uvloop's when it is installed."""
    factory = importlib.import_module("uvloop").new_event_loop if importlib.util.find_spec("uvloop") else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


async def until_stopped() -> None:
    """Returns at SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
