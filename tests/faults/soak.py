"""Sixty hundredths of what the mesh can carry, for a long time: memory, files and tasks of every process must stay flat.

    .venv/bin/python -m tests.faults.soak --minutes 30
    .venv/bin/python -m tests.faults.soak --minutes 30 --kafka localhost:9092 --json soak.json

First it asks as fast as it is answered, to learn what the mesh carries here; then it sends a share of that at a steady rate.
Every few seconds each process tells its resident memory, open files and asyncio tasks (/metrics; of processes without that,
/proc). The first part of the run fills caches and windows and is left out; over the rest the median slope (Theil-Sen) is
judged: flat means at most the growth an hour of GROWTH. A run of less than 15 minutes is shown and not judged.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from infra.local import LocalMesh, MeshOptions
from infra.part import RunningPart
from trivium.client import KafkaClient, TriviumClient
from trivium.client.kafka_client import KafkaClientOptions
from trivium.core.outcome import Terminal
from trivium.ingest.files import select
from trivium.ingest.send import ingest
from trivium.kafka.admin import ensure
from trivium.kafka.layout import Layout
from trivium.kafka.topics import all_topics
from trivium.rpc.channels import channel
from trivium.v1 import request_pb2

GROWTH: Final[Mapping[str, float]] = {"memory_mb": 60.0, "files": 6.0, "tasks": 6.0}
"""What counts as flat: growth an hour of one process. A leak of 1 KiB a request is 36 MB an hour at 10 requests/s."""
LEFT_OUT: Final = frozenset(["broker", "standins"])
"""The embedded broker and the stand-ins keep what they are told: shown, not judged."""
JUDGED_MINUTES: Final = 15.0
WARM: Final = 1 / 3
ENDPOINTS: Final = ("/classify", "/urgency", "/how-to", "/policy-question", "/translate", "/draft-reply")
QUESTIONS: Final = 500
DOCUMENTS: Final = (Path("docs/policy.md"),)
_CAPACITY_S: Final = 12.0
_IN_FLIGHT: Final = 64
_TIMEOUT_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment. -1: not told."""

    at_s: float
    memory_mb: float
    files: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Course:
    """What became of one figure of one process: values at the beginning and the end of what is judged, growth an hour."""

    process: str
    figure: str
    first: float
    last: float
    per_hour: float
    bound: float
    judged: bool

    @property
    def flat(self) -> bool:
        return not self.judged or self.per_hour <= self.bound


@dataclass(slots=True)
class Load:
    """Requests through both doors; counts how they ended."""

    kafka: KafkaClient
    grpc: TriviumClient
    draw: random.Random
    kinds: Counter[str] = field(default_factory=Counter)
    sent: int = 0

    async def one(self) -> None:
        """Ask, and count the end."""
        self.sent += 1
        message = self._message()
        try:
            terminal: Terminal = await (
                self.grpc.complete(message, timeout_s=_TIMEOUT_MS / 1000) if self.sent % 4 == 0
                else self.kafka.ask(message, timeout_ms=_TIMEOUT_MS)
            )  # fmt: skip
        except Exception as error:
            self.kinds[f"no terminal: {type(error).__name__}"] += 1
        else:
            self.kinds[terminal.kind.value] += 1

    def _message(self) -> request_pb2.Request:
        # A quarter of the questions are asked past the cache, so that tiers work for as long as the soak runs.
        number = self.draw.randrange(QUESTIONS)
        return request_pb2.Request(
            tenant="acme", id=f"soak-{os.getpid()}-{self.sent}", endpoint=ENDPOINTS[number % len(ENDPOINTS)],
            prompt=f"Question {number}: where is parcel {number * 7919}, and may I still send it back?",
            cache="bypass" if self.draw.random() < 0.25 else "use",
        )  # fmt: skip

    async def carried(self, seconds: float) -> float:
        """Requests a second that are answered when as many are asked as can be."""
        until, before = time.monotonic() + seconds, self.kinds.total()

        async def asking() -> None:
            while time.monotonic() < until:
                await self.one()

        async with asyncio.TaskGroup() as group:
            for _ in range(_IN_FLIGHT):
                group.create_task(asking())
        return (self.kinds.total() - before) / seconds

    async def steady(self, rate: float, seconds: float) -> None:
        """An open loop: a request every 1 / rate seconds, whatever became of those before."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                group.create_task(self.one())


def sample(part: RunningPart, at_s: float) -> Sample:
    """Asks /metrics, and /proc for what has none."""
    told = _metrics(part.ready.get("ops_port"))
    pid = part.process.pid
    memory = told.get("process_resident_memory_bytes") or _resident_bytes(pid)
    files = told.get("process_open_fds") or len(os.listdir(f"/proc/{pid}/fd"))
    return Sample(at_s, memory / 1e6, int(files), int(told.get("trivium_tasks", -1)))


def _metrics(port: object) -> dict[str, float]:
    if not port:
        return {}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    wanted = ("process_resident_memory_bytes ", "process_open_fds ", "trivium_tasks ")
    return {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if line.startswith(wanted)}


def _resident_bytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def courses(samples: Mapping[str, Sequence[Sample]], minutes: float) -> list[Course]:
    """The judgement of each figure of each process."""
    found = []
    for process, whole in samples.items():
        kept = whole[int(len(whole) * WARM) :]
        for figure, bound in GROWTH.items():
            values = [(one.at_s, float(getattr(one, figure))) for one in kept]
            if len(values) < 3 or values[0][1] < 0:
                continue
            tenth = max(1, len(values) // 10)
            first, last = (statistics.median(v for _, v in part) for part in (values[:tenth], values[-tenth:]))
            judged = minutes >= JUDGED_MINUTES and process not in LEFT_OUT
            found.append(Course(process, figure, first, last, slope(values) * 3_600, bound, judged))
    return found


def slope(values: Sequence[tuple[float, float]]) -> float:
    """Median of the slopes between all pairs (Theil-Sen): single spikes say nothing. Long rows are thinned first."""
    step = max(1, len(values) // 120)
    return statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(values[::step], 2))


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The whole soak; returns what was measured."""
    samples: dict[str, list[Sample]] = {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trivium-soak-")))
        chosen = MeshOptions(data=folder, kafka=options.kafka)
        if options.kafka:
            await ensure(options.kafka, all_topics(chosen.reply_topics()), Layout(), create=True)
        mesh = await stack.enter_async_context(LocalMesh(chosen))
        async with channel(mesh.addresses.retrieval) as retrieval:
            await ingest(retrieval, "acme", "docs", select(DOCUMENTS), lambda _sent: None)
        client = KafkaClient(mesh.addresses.kafka, "acme", options=KafkaClientOptions(in_flight=4_096, fetch_max_wait_ms=100))
        load = Load(await stack.enter_async_context(client), await stack.enter_async_context(TriviumClient(mesh.addresses.gateway)),
                    random.Random(options.seed))  # fmt: skip
        capacity = 0.0
        if not options.rate:
            await load.carried(_CAPACITY_S / 2)
            capacity = await load.carried(_CAPACITY_S)
        rate = options.rate or capacity * options.load
        _say(f"carries {capacity:.0f} requests/s here; {rate:.1f} requests/s for {options.minutes:g} minutes" if capacity
             else f"{rate:.1f} requests/s for {options.minutes:g} minutes")  # fmt: skip
        load.kinds.clear()
        steady = asyncio.create_task(load.steady(rate, options.minutes * 60), name="steady")
        await _watch(mesh, steady, samples, options.minutes * 60)
        await steady
        mesh.check()
    found = courses(samples, options.minutes)
    return {
        "minutes": options.minutes, "seed": options.seed, "capacity": capacity, "rate": rate, "ended": dict(load.kinds),
        "judged": options.minutes >= JUDGED_MINUTES, "courses": [asdict(one) | {"flat": one.flat} for one in found],
    }  # fmt: skip


async def _watch(mesh: LocalMesh, steady: "asyncio.Task[None]", samples: dict[str, list[Sample]], seconds: float) -> None:
    every_s, began, said = min(10.0, max(1.0, seconds / 120)), time.monotonic(), 0.0
    while not steady.done():
        at_s = time.monotonic() - began
        for name, part in mesh.parts.items():
            samples.setdefault(name, []).append(await asyncio.to_thread(sample, part, at_s))
        mesh.check()
        if at_s - said > 60:
            said = at_s
            _say(f"{at_s / 60:.0f} min: " + ", ".join(f"{name} {rows[-1].memory_mb:.0f} MB" for name, rows in samples.items()))
        await asyncio.wait((steady,), timeout=every_s)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def table(result: Mapping[str, Any]) -> str:
    """For people."""
    lines = [f"{result['rate']:.1f} requests/s for {result['minutes']:g} minutes, seed {result['seed']}; ended: {result['ended']}", ""]
    lines.append(f"{'process':12}{'figure':12}{'first':>10}{'last':>10}{'an hour':>10}{'bound':>8}")
    for one in result["courses"]:
        verdict = "" if not one["judged"] else "  flat" if one["flat"] else "  GROWS"
        numbers = f"{one['first']:10.1f}{one['last']:10.1f}{one['per_hour']:+10.1f}{one['bound']:8.0f}"
        lines.append(f"{one['process']:12}{one['figure']:12}{numbers}{verdict}")
    if not result["judged"]:
        lines.append(f"\nnot judged: shorter than {JUDGED_MINUTES:g} minutes")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m tests.faults.soak --minutes 30 --json soak.json",
    )  # fmt: skip
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default: %(default)s)")
    parser.add_argument("--load", type=float, default=0.6, help="share of what the mesh carries (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second instead of a share")
    parser.add_argument("--kafka", default="", metavar="HOST:PORT", help="a real Kafka (default: the embedded broker)")
    parser.add_argument("--seed", type=int, default=7, help="of the questions asked (default: %(default)s)")
    parser.add_argument("--json", default="", metavar="FILE", help="write the figures there; - for standard output")
    options = parser.parse_args()
    result = asyncio.run(run(options))
    text = json.dumps(result, indent=1)
    if options.json and options.json != "-":
        Path(options.json).write_text(text + "\n")
    print(text if options.json == "-" else table(result))
    ended: Mapping[str, int] = result["ended"]
    return 0 if all(one["flat"] for one in result["courses"]) and set(ended) <= {"answered"} else 1


if __name__ == "__main__":
    sys.exit(main())
