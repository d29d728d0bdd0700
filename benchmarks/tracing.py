"""What traces cost, and that a collector that is away slows nothing.

    python -m benchmarks.tracing --json

Whole meshes stand beside each other on this machine and differ in TRIVIUM_OTLP alone: none; a collector that takes
spans and drops them (live; or --otlp URL); a port where nobody listens (dead); with --only silent, a port that takes
connections and never says a word. The same requests go through both doors of each in turn, round after round in another
order, so that whatever else the machine does hits all alike. Printed are p50 and p99 with few requests in flight, requests a
second and the mesh's processor time for one request with many, and their ratios to the mesh without traces: of p99 over
the requests of all rounds, of the others the median over the rounds, each with what the same round gave without.

It takes two minutes on two idle processors, and begins no round after --seconds. However it ends, its processes end too.
"""

import argparse
import asyncio
import random
import signal
import socket
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.report import finish, print_table
from benchmarks.shared_data import progress
from infra.local import LocalMesh, MeshOptions, free_ports
from infra.part import Part, PartFailed, RunningPart, family_cpu_s
from trivium.client import KafkaClient, TriviumClient
from trivium.core.outcome import Terminal, TerminalKind
from trivium.v1.request_pb2 import Request

TICKETS: Final = ("The invoice shows a wrong sum.", "I cannot log in.", "Where is my parcel?", "The app crashes at the start.")
FEW: Final = 4
MANY: Final = 64
TIMEOUT_S: Final = 60.0
OFF: Final = "none"
WAYS: Final = ("live", "dead", "silent")
USUAL: Final = ("live", "dead")
LEAST_ROUNDS: Final = 2
SEED: Final = 7

Ask = Callable[[Request], Awaitable[Terminal]]


@dataclass(slots=True)
class Measured:
    """By (door, traces), one entry for each round: ms of every request with few in flight, requests/s with many."""

    times: dict[tuple[str, str], list[list[float]]] = field(default_factory=lambda: defaultdict(list))
    rates: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu_ms: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    """Processor time of the mesh for one request with many in flight."""
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class Mesh:
    """One mesh: how its spans go, and a way to ask at each of its doors."""

    traces: str
    doors: dict[str, Ask]
    pids: tuple[int, ...]

    def cpu_s(self) -> float:
        """Processor time that its processes have used so far."""
        return sum(map(family_cpu_s, self.pids))


async def main(asked: argparse.Namespace) -> None:
    """Starts everything, measures in turn, prints. A signal to leave is a cancellation: every part is stopped."""
    until = time.monotonic() + asked.seconds
    if (work := asyncio.current_task()) is not None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trivium-tracing-")))
        running: dict[str, LocalMesh] = {}
        for traces, otlp in (await _endpoints(stack, folder, asked)).items():
            progress(f"starting the mesh with traces: {traces} {otlp}")
            options = MeshOptions(data=folder / traces, traces=False, environ={"TRIVIUM_OTLP": otlp})
            running[traces] = await stack.enter_async_context(LocalMesh(options))
        # Only now: a process that has open channels should start no others.
        meshes = [await _opened(stack, traces, local) for traces, local in running.items()]
        measured = await _rounds(meshes, asked, until)
    _print(measured, asked.json)


async def _endpoints(stack: AsyncExitStack, folder: Path, asked: argparse.Namespace) -> dict[str, str]:
    ways = {OFF: ""}
    for way in asked.only:
        match way:
            case "live":
                ways[way] = asked.otlp or await _sink(stack, folder)
            case "silent":
                silent = stack.enter_context(socket.socket())
                silent.bind(("127.0.0.1", 0))
                silent.listen(64)
                ways[way] = f"http://127.0.0.1:{silent.getsockname()[1]}"
            case _:
                ways[way] = f"http://127.0.0.1:{free_ports(1)[0]}"
    return ways


async def _sink(stack: AsyncExitStack, folder: Path) -> str:
    sink = await RunningPart.start(Part("sink", "benchmarks.span_sink"), folder)
    stack.push_async_callback(sink.stop)
    return str((await sink.until_ready())["otlp"])


async def _opened(stack: AsyncExitStack, traces: str, local: LocalMesh) -> Mesh:
    kafka = await stack.enter_async_context(KafkaClient(local.addresses.kafka, "acme"))
    grpc = await stack.enter_async_context(TriviumClient(local.addresses.gateway, timeout_s=TIMEOUT_S))
    pids = tuple(part.process.pid for part in local.parts.values())
    return Mesh(traces, {"kafka": kafka.ask, "grpc": grpc.complete}, pids)


async def _rounds(meshes: list[Mesh], asked: argparse.Namespace, until: float) -> Measured:
    draw, measured, requests = random.Random(SEED), Measured(), asked.requests
    for mesh in meshes:
        for ask in mesh.doors.values():
            await _send(ask, 200, FEW)
    for number in range(1, asked.rounds + 1):
        if number > LEAST_ROUNDS and time.monotonic() > until:
            progress(f"{asked.seconds} s are over")
            break
        for mesh in draw.sample(meshes, len(meshes)):
            for door, ask in mesh.doors.items():
                measured.times[door, mesh.traces].append(await _send(ask, requests, FEW))
                began, used_s = time.perf_counter(), mesh.cpu_s()
                await _send(ask, requests, MANY)
                measured.rates[door, mesh.traces].append(requests / (time.perf_counter() - began))
                measured.cpu_ms[door, mesh.traces].append((mesh.cpu_s() - used_s) * 1000 / requests)
        measured.rounds = number
        progress(f"round {number} of {asked.rounds}")
    return measured


async def _send(ask: Ask, count: int, in_flight: int) -> list[float]:
    """Milliseconds of each of `count` requests. Raises RuntimeError when one is not answered."""
    numbers, times = iter(range(count)), []

    async def sender() -> None:
        for number in numbers:
            request = Request(tenant="acme", endpoint="/classify", prompt=TICKETS[number % len(TICKETS)], cache="bypass")
            began = time.perf_counter()
            terminal = await ask(request)
            times.append((time.perf_counter() - began) * 1000)
            if terminal.kind is not TerminalKind.ANSWERED:
                raise RuntimeError(f"{terminal.identity} was not answered: {terminal.reason}")

    async with asyncio.timeout(TIMEOUT_S + count / 10), asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(sender())
    return times


def _print(measured: Measured, as_json: bool) -> None:
    rows: list[dict[str, object]] = []
    figures: dict[str, object] = {"rounds": measured.rounds}
    for (door, traces), rounds in sorted(measured.times.items(), key=lambda item: (item[0][0], item[0][1] != OFF)):
        taken, off = np.concatenate(rounds), np.concatenate(measured.times[door, OFF])
        p99 = float(np.percentile(taken, 99))
        rates, off_rates = measured.rates[door, traces], measured.rates[door, OFF]
        row = {
            "p50 ms": float(np.percentile(taken, 50)),
            "p50 ratio": float(np.percentile(taken, 50) / np.percentile(off, 50)),
            "p99 ms": p99,
            "p99 ratio": p99 / float(np.percentile(off, 99)),
            "requests/s": float(np.median(rates)),
            "rate ratio": _ratio(rates, off_rates),
            "CPU ms": float(np.median(measured.cpu_ms[door, traces])),
            "CPU ratio": _ratio(measured.cpu_ms[door, traces], measured.cpu_ms[door, OFF]),
        }
        shown = {name: round(value, 2) for name, value in row.items()}
        rows.append({"door": door, "traces": traces, **shown})
        figures.update({f"{door}_{traces}_{what.replace(' ', '_').replace('/', '_per_')}": value for what, value in shown.items()})
    print_table(f"{FEW} requests in flight, and for requests/s and CPU {MANY}; ratios to traces: {OFF}", rows)
    if as_json:
        finish(figures, True)


def _ratio(values: Sequence[float], off: Sequence[float]) -> float:
    return float(np.median([one / base for one, base in zip(values, off, strict=True)]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tracing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.tracing --rounds 3 --otlp http://127.0.0.1:4317",
    )  # fmt: skip
    parser.add_argument("--otlp", default="", metavar="URL", help="live: a collector that runs, as of make jaeger; default: one that drops what it takes")
    parser.add_argument("--only", nargs="+", choices=WAYS, default=USUAL, help="beside the mesh without traces (default: live dead)")
    parser.add_argument("--rounds", type=int, default=24, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=180, help="no round begins after so many, but two are measured (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=100, help="through each door, in flight few and many, in a round (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        asyncio.run(main(_arguments()))
    except PartFailed as error:
        raise SystemExit(f"benchmarks.tracing: {error}") from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise SystemExit(130) from None
