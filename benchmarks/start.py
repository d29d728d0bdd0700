"""How long the embedded mesh takes from the first process to all ready, and what it holds while idle.

    .venv/bin/python -m benchmarks.start --json

`ready_s` is the median of the runs; `rss_mib` is each process's resident memory two seconds after the last start, its
children included, and `idle_cpu_percent` the share of one core that it takes in the ten seconds after.
Byte code is compiled before the first run (a fresh install starts once slower). On a real broker the topics are made that it lacks."""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import finish, print_table
from infra.local import LocalMesh, MeshOptions
from infra.part import family_cpu_s
from trivium.kafka.admin import ensure
from trivium.kafka.layout import Layout
from trivium.kafka.topics import all_topics

SETTLE_S = 2.0
IDLE_S = 10.0


@dataclass(frozen=True, slots=True)
class Started:
    """Of one start: s until all were ready; then of each part MiB, and per cent of one core while nothing is asked."""

    ready_s: float
    rss_mib: dict[str, float]
    idle_cpu_percent: dict[str, float]


async def _start_once(options: MeshOptions) -> Started:
    began = time.perf_counter()
    async with LocalMesh(options) as mesh:
        ready = time.perf_counter() - began
        await asyncio.sleep(SETTLE_S)
        memory, before, at = mesh.rss_mib(), _cpu_s(mesh), time.perf_counter()
        await asyncio.sleep(IDLE_S)
        share = 100 / (time.perf_counter() - at)
        return Started(ready, memory, {name: round((used - before[name]) * share, 1) for name, used in _cpu_s(mesh).items()})


def _cpu_s(mesh: LocalMesh) -> dict[str, float]:
    return {name: family_cpu_s(part.process.pid) for name, part in mesh.parts.items()}


async def measure(runs: int, kafka: str, fetch_max_wait_ms: int) -> list[Started]:
    """One start after the other, each from nothing."""
    found: list[Started] = []
    if kafka:
        await ensure(kafka, all_topics(MeshOptions().reply_topics()), Layout(), create=True)
    environ = {"TRIVIUM_FETCH_MAX_WAIT_MS": str(fetch_max_wait_ms)} if fetch_max_wait_ms else {}
    for number in range(runs):
        with tempfile.TemporaryDirectory(prefix="trivium-start-") as folder:
            found.append(await _start_once(MeshOptions(data=Path(folder), kafka=kafka, environ=environ)))
        print(f"run {number + 1}: ready after {found[-1].ready_s:.2f} s", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__,
                                     epilog="example: python -m benchmarks.start --runs 5",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kafka", default="", metavar="HOST:PORT", help="a real broker instead of the embedded one")
    parser.add_argument("--fetch-max-wait-ms", type=int, default=0, metavar="MS", help="instead of the broker's own default: what waiting less costs")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    found = asyncio.run(measure(chosen.runs, chosen.kafka, chosen.fetch_max_wait_ms))
    ready, last = round(statistics.median(one.ready_s for one in found), 2), found[-1]
    rows = [{"part": name, "idle MiB": size, "idle % of a core": last.idle_cpu_percent[name]} for name, size in last.rss_mib.items()]
    print_table("Start of the mesh", rows)
    finish({"ready_s": ready, "rss_mib": last.rss_mib, "idle_cpu_percent": last.idle_cpu_percent}, chosen.json)


if __name__ == "__main__":
    main()
