"""How many events a second one router process decides, over a bare aiokafka relay in the same run.

example: python -m benchmarks.router --events 20000 --json
"""

import argparse
import asyncio
import logging
import statistics
import sys
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import uvloop

from benchmarks.kafkakit import broker, fill
from benchmarks.relay import bare, batched, safe
from benchmarks.report import finish
from benchmarks.routing import Pace, outcomes, reply_topics, requests, routed
from trivium.kafka.record import Record
from trivium.kafka.topics import all_topics

T = TypeVar("T")

SOURCE, SINK = "bench.in", "bench.out"
PARTITIONS = 12
RELAYS = 3


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.router", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="records to relay (default 20000)")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a real broker; default: an embedded one")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    return parser.parse_args(argv)


def _run(work: Coroutine[Any, Any, T]) -> T:
    # A loop for each, so that nothing of one is paid by the next.
    result: T = uvloop.run(work)
    return result


def measure(bootstrap: str, events: int) -> dict[str, float]:
    """Events a second: `relay_per_s` (bare aiokafka, median of RELAYS), `relay_batched_per_s` (the least of work), and
    `safe_per_s` (the router's footing, no decision). `record_bytes`: the mean value."""
    # The very records that the router will read.
    asked = list(requests(range(events // 2), PARTITIONS))
    relayed = [Record(SOURCE, r.key, r.value, r.headers, r.partition) for r in (*asked, *outcomes(asked))]
    events = len(relayed)
    asyncio.run(fill(bootstrap, relayed))
    relays = [_run(bare(bootstrap, SOURCE, SINK, events)) for _ in range(RELAYS)]
    relay = statistics.median(relays)
    footing = _run(safe(bootstrap, SOURCE, SINK, events, "bench.safe"))
    return {
        "relay_per_s": round(relay),
        "relay_least_per_s": round(min(relays)),
        "relay_most_per_s": round(max(relays)),
        "relay_batched_per_s": round(_run(batched(bootstrap, SOURCE, SINK, events))),
        "record_bytes": round(sum(len(r.value or b"") for r in relayed) / events),
        "safe_per_s": round(footing),
        "safe_to_relay": round(footing / relay, 3),
    }


def decided(bootstrap: str, events: int, partitions: int, semantic: bool) -> Pace:
    """The pace of the whole router: half requests, half their outcomes."""
    settings = {"TRIVIUM_CACHE_SEMANTIC": "true" if semantic else "false"}
    return _run(routed(bootstrap, events, partitions, settings))


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table, or one line of JSON when asked."""
    chosen = _arguments(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.ERROR)
    # Otherwise a DEBUG record is built for every fetch and every send.
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    mesh = {topic.name: topic.partitions for topic in all_topics(reply_topics())}
    with broker({SOURCE: PARTITIONS, SINK: PARTITIONS}, chosen.kafka) as bootstrap:
        figures = measure(bootstrap, chosen.events)
    relay = figures["relay_per_s"]
    # A log of its own for each run: the second one need not remember the first.
    for name, semantic in (("router", False), ("router_with_cache", True)):
        with broker(mesh, chosen.kafka) as bootstrap:
            pace = decided(bootstrap, chosen.events, PARTITIONS, semantic)
            figures[f"{name}_per_s"], figures[f"{name}_cpu_us"] = round(pace.per_s), round(pace.cpu_us)
    figures["ratio_to_relay"] = round(figures["router_per_s"] / relay, 3)
    figures["ratio_with_cache"] = round(figures["router_with_cache_per_s"] / relay, 3)
    finish(figures, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
