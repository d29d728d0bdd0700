"""What spans do to an event loop: nobody waits for a collector, whether it is there or not.

    python -m benchmarks.span_lag --json

Four processes run at the same time, so that whatever else the machine does hits all alike. Each wakes every 2 ms, as a
service does for a request, makes spans of twelve attributes, and differs in where they go: nowhere (none); to a collector that
takes and drops them (live); to a port where nobody listens (dead); to one that takes connections and never says a word
(silent). Printed are how late it woke (p50, p99, p99.9) and the processor time for a span beyond that of none.
"""

import argparse
import asyncio
import json
import socket
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import numpy as np
import uvloop

from benchmarks.report import finish, print_table
from infra.local import free_ports
from infra.part import Part, RunningPart
from trivium.telemetry.tracing import NO_CONTEXT, start

NONE: Final = "none"
EVERY_S: Final = 0.002
ATTRIBUTES: Final = {f"trivium.attribute_{number}": f"value {number}" for number in range(12)}


async def one(otlp: str, seconds: float, spans: int) -> dict[str, float]:
    """This process's lag in ms, and its processor time for a span in us."""
    tracing, late, made = start("benchmark", "1", otlp), list[float](), 0
    until, used_s = time.monotonic() + seconds, time.process_time()
    while time.monotonic() < until:
        asleep = time.perf_counter()
        await asyncio.sleep(EVERY_S)
        late.append((time.perf_counter() - asleep - EVERY_S) * 1000)
        for _ in range(spans):
            span = tracing.tracer.start_span("trivium.requests process", NO_CONTEXT)
            if span.is_recording():
                span.set_attributes(ATTRIBUTES)
            span.end()
        made += spans
    used_s = time.process_time() - used_s
    await asyncio.to_thread(tracing.close, 1.0)
    p50, p99, p999 = (float(value) for value in np.percentile(late, (50, 99, 99.9)))
    return {"p50_ms": p50, "p99_ms": p99, "p999_ms": p999, "cpu_us": used_s * 1e6 / made, "spans": made}


async def all_ways(seconds: float, spans: int) -> dict[str, dict[str, float]]:
    """Every way, at the same time."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trivium-lag-")))
        silent = stack.enter_context(socket.socket())
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        sink = await RunningPart.start(Part("sink", "benchmarks.span_sink"), folder)
        stack.push_async_callback(sink.stop)
        live = str((await sink.until_ready())["otlp"])
        dead, quiet = (f"http://127.0.0.1:{port}" for port in (free_ports(1)[0], silent.getsockname()[1]))
        running: dict[str, RunningPart] = {}
        for way, otlp in {NONE: "", "live": live, "dead": dead, "silent": quiet}.items():
            arguments = ("--as", otlp, "--seconds", str(seconds), "--spans", str(spans))
            running[way] = await RunningPart.start(Part(way, "benchmarks.span_lag", arguments), folder)
            stack.push_async_callback(running[way].stop)
        found = await asyncio.gather(*(part.until_ready(seconds + 60) for part in running.values()))
    return dict(zip(running, found, strict=True))


def _print(found: dict[str, dict[str, float]], as_json: bool) -> None:
    off = found[NONE]
    rows, figures = [], {}
    for way, row in found.items():
        shown = {
            "late p50 ms": row["p50_ms"], "late p99 ms": row["p99_ms"], "p99 change ms": row["p99_ms"] - off["p99_ms"],
            "late p99.9 ms": row["p999_ms"], "CPU us a span": max(0.0, row["cpu_us"] - off["cpu_us"]), "spans": row["spans"],
        }  # fmt: skip
        rounded = {name: round(value, 2) for name, value in shown.items()}
        rows.append({"spans go": way, **rounded})
        figures.update({f"{way}_{name.replace(' ', '_').replace('.', '')}": value for name, value in rounded.items()})
    print_table("An event loop that makes spans, and how late it wakes", rows)
    if as_json:
        finish(figures, True)


def main() -> None:
    """A table, and one line of JSON when asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.span_lag", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.span_lag --seconds 60",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=30.0, help="how long all of them run (default: %(default)s)")
    parser.add_argument("--spans", type=int, default=3, help="at each of 500 wakings a second (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--as", dest="otlp", default=None, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.otlp is not None:
        print(json.dumps(uvloop.run(one(asked.otlp, asked.seconds, asked.spans))), flush=True)
    else:
        _print(uvloop.run(all_ways(asked.seconds, asked.spans)), asked.json)


if __name__ == "__main__":
    main()
