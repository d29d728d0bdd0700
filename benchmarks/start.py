"""How long the embedded mesh takes from the first process to all ready, and what it holds while idle.

    .venv/bin/python -m benchmarks.start --json

`ready_s` is the median of the runs; `rss_mib` is each process's resident memory two seconds after the last start, its
children included. Byte code is compiled before the first run (a fresh install starts once slower)."""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import finish, print_table
from infra.local import LocalMesh, MeshOptions

IDLE_S = 2.0


async def _start_once(folder: Path, kafka: str) -> tuple[float, dict[str, float]]:
    began = time.perf_counter()
    async with LocalMesh(MeshOptions(data=folder, kafka=kafka)) as mesh:
        ready = time.perf_counter() - began
        await asyncio.sleep(IDLE_S)
        return ready, mesh.rss_mib()


async def measure(runs: int, kafka: str) -> tuple[list[float], dict[str, float]]:
    """Seconds of each run, and the memory of the last one."""
    times: list[float] = []
    memory: dict[str, float] = {}
    for number in range(runs):
        with tempfile.TemporaryDirectory(prefix="trivium-start-") as folder:
            ready, memory = await _start_once(Path(folder), kafka)
        times.append(ready)
        print(f"run {number + 1}: ready after {ready:.2f} s", file=sys.stderr)
    return times, memory


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__,
                                     epilog="example: python -m benchmarks.start --runs 5",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kafka", default="", metavar="HOST:PORT", help="a real broker instead of the embedded one")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    times, memory = asyncio.run(measure(chosen.runs, chosen.kafka))
    ready = round(statistics.median(times), 2)
    print_table("Start of the mesh", [{"part": name, "idle MiB": size} for name, size in memory.items()])
    finish({"ready_s": ready, "rss_mib": memory}, chosen.json)


if __name__ == "__main__":
    main()
