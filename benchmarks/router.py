"""How many events a second one router process decides, over a bare aiokafka relay in the same run.

example: python -m benchmarks.router --events 20000 --json
"""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

import uvloop

from benchmarks.kafkakit import broker, fill
from benchmarks.relay import bare, safe
from trivium.kafka.record import Record

SOURCE, SINK = "bench.in", "bench.out"
PARTITIONS = 12
VALUE_BYTES = 400


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.router", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="records to relay (default 20000)")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a real broker; default: an embedded one")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    return parser.parse_args(argv)


def _run(work: Coroutine[Any, Any, float]) -> float:
    # A loop for each, so that nothing of one is paid by the next.
    result: float = uvloop.run(work)
    return result


def measure(bootstrap: str, events: int) -> dict[str, float]:
    """Events a second: `relay_per_s` (bare aiokafka) and `safe_per_s` (the router's footing, no decision)."""
    value = b"x" * VALUE_BYTES
    records = [Record(SOURCE, b"key%d" % number, value, (), number % PARTITIONS) for number in range(events)]
    asyncio.run(fill(bootstrap, records))
    relay = _run(bare(bootstrap, SOURCE, SINK, events))
    footing = _run(safe(bootstrap, SOURCE, SINK, events, "bench.safe"))
    return {"relay_per_s": round(relay), "safe_per_s": round(footing), "safe_to_relay": round(footing / relay, 3)}


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table, and one line of JSON when asked."""
    chosen = _arguments(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING)
    # Otherwise a DEBUG record is built for every fetch and every send.
    logging.getLogger("aiokafka").setLevel(logging.INFO)
    with broker({SOURCE: PARTITIONS, SINK: PARTITIONS}, chosen.kafka) as bootstrap:
        figures = measure(bootstrap, chosen.events)
    for name, figure in figures.items():
        print(f"{name:<16}{figure:>12,.3f}" if figure < 10 else f"{name:<16}{figure:>12,.0f}")
    if chosen.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
