"""Whether one tenant's flood, or a slow task type, makes others wait: the whole Kafka path, a process for each part.

    .venv/bin/python -m benchmarks.fairness --json

A tier of 16 slots whose quick calls take 100 ms and whose slow ones take 2 s, so 160 quick ones a second. A neighbour asks
`--rate` times a second, whatever has been answered, three times: alone; while another tenant with a quota of 300 a minute
asks `--flood` times a second; while a slow task type has more work than its slots. `neighbour_*_p95_ms`: from arrival to
terminal, by the broker's clock. `flood_spare`: share of the flood that went to the spare lane. `missing`: of all requests,
those without a terminal of any kind. What the flood cannot wait for is turned away or expires, which is a terminal too (`flood_answered`)."""

import argparse
import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks.report import finish, print_table
from infra.part import Part, RunningPart
from trivium.client import KafkaClient, request
from trivium.client.kafka_client import KafkaClientOptions
from trivium.core.outcome import TerminalKind
from trivium.core.policy import Tier
from trivium.kafka.admin import ensure
from trivium.kafka.layout import Layout
from trivium.kafka.reader import end_offsets
from trivium.kafka.topics import Lane, all_topics, work

QUOTA = 300
TENANTS = ("noisy", "neighbour")
POLICY = f"""
revision: 1
tenants:
  noisy: {{reply_topics: [trivium.replies.noisy], requests_per_minute: {QUOTA}}}
  neighbour: {{reply_topics: [trivium.replies.neighbour]}}
targets:
  finetuned/timed: {{tier: finetuned, model: timed}}
endpoints: {{/quick: quick, /slow: slow}}
default: {{route: [finetuned/timed]}}
novel: {{route: [finetuned/timed]}}
tasks:
  quick: {{route: [finetuned/timed], system: Draft a reply., timeout_ms: 60_000, slots: 8}}
  slow: {{route: [finetuned/timed], system: Think., timeout_ms: 60_000, slots: 4}}
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What is run."""

    rate: float
    seconds: float
    flood: float
    slow: int
    kafka: str


@asynccontextmanager
async def mesh(options: Options, folder: Path) -> AsyncIterator[str]:
    """Broker, router and tier; gives the bootstrap servers."""
    policy, replies = folder / "policy.yaml", [f"trivium.replies.{tenant}" for tenant in TENANTS]
    policy.write_text(POLICY)
    running: list[RunningPart] = []
    try:
        kafka = options.kafka
        if kafka:
            await ensure(kafka, all_topics(replies), Layout(), create=True)
        else:
            arguments = ("--mesh", *(word for topic in replies for word in ("--reply-topic", topic)))
            running.append(await RunningPart.start(Part("broker", "infra.broker", arguments), folder))
            kafka = str((await running[0].until_ready())["bootstrap"])
        environ = {
            "TRIVIUM_KAFKA": kafka, "TRIVIUM_POLICY": str(policy), "TRIVIUM_OTLP": "", "TRIVIUM_LOG_LEVEL": "WARNING",
            "TRIVIUM_CACHE_SEMANTIC": "0", "TRIVIUM_FINETUNED_PORT": "0", "TRIVIUM_SLOTS": "16",
            "TRIVIUM_DATADIR": str(folder / "router"),
        }  # fmt: skip
        for name, module in (("router", "streams"), ("tier", "benchmarks.timed_tier")):
            running.append(await RunningPart.start(Part(name, module, (), environ), folder))
            await running[-1].until_ready()
        yield kafka
    finally:
        for one in reversed(running):
            await one.stop()


async def asked(client: KafkaClient, tenant: str, endpoint: str, number: int) -> tuple[float, str]:
    """Milliseconds to the terminal, and its kind; `none` when none came."""
    began = time.perf_counter()
    try:
        terminal = await client.ask(request(tenant, f"{number}-{time.time_ns()}: where is it?", endpoint=endpoint))
    except TimeoutError:
        return (time.perf_counter() - began) * 1000, "none"
    return terminal.ended_ms - terminal.arrived_ms, terminal.kind.value


async def steady(client: KafkaClient, tenant: str, rate: float, seconds: float) -> list[tuple[float, str]]:
    """Requests on a schedule that waits for nobody."""
    async with asyncio.TaskGroup() as group:
        tasks, began = list[asyncio.Task[tuple[float, str]]](), time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds:
            while len(tasks) <= elapsed * rate:
                tasks.append(group.create_task(asked(client, tenant, "/quick", len(tasks))))
            await asyncio.sleep(1 / min(rate, 100))
    return [task.result() for task in tasks]


async def burst(client: KafkaClient, tenant: str, endpoint: str, count: int) -> list[tuple[float, str]]:
    """All at once."""
    return list(await asyncio.gather(*(asked(client, tenant, endpoint, number) for number in range(count))))


async def measure(options: Options, folder: Path) -> dict[str, object]:
    """The three runs."""
    waiting = KafkaClientOptions(timeout_ms=90_000, in_flight=100_000)
    async with (
        mesh(options, folder) as kafka,
        KafkaClient(kafka, "noisy", "trivium.replies.noisy", options=waiting) as noisy,
        KafkaClient(kafka, "neighbour", "trivium.replies.neighbour", options=waiting) as neighbour,
    ):
        await burst(neighbour, "neighbour", "/quick", 50)
        alone = await steady(neighbour, "neighbour", options.rate, options.seconds)
        flooding = asyncio.create_task(steady(noisy, "noisy", options.flood, options.seconds))
        flooded = await steady(neighbour, "neighbour", options.rate, options.seconds)
        flood_under_way = noisy.in_flight
        flood = await flooding
        spare = sum((await end_offsets(kafka, work(Tier.FINETUNED, Lane.SPARE))).values())
        slowing = asyncio.create_task(burst(neighbour, "neighbour", "/slow", options.slow))
        await asyncio.sleep(0.5)
        beside = await steady(neighbour, "neighbour", options.rate, options.seconds)
        slow_under_way = not slowing.done()
        slow = await slowing
    rows = [_row(name, run) for name, run in
            (("neighbour alone", alone), ("neighbour in the flood", flooded), ("the flood", flood),
             ("neighbour beside slow work", beside), ("the slow work", slow))]  # fmt: skip
    print_table("From arrival to terminal", rows)
    return {
        "neighbour_alone_p95_ms": _p95(alone),
        "neighbour_flooded_p95_ms": _p95(flooded),
        "neighbour_beside_slow_p95_ms": _p95(beside),
        "flood_p95_ms": _p95(flood),
        "flood_spare": round(spare / len(flood), 3),
        "flood_answered": sum(kind == TerminalKind.ANSWERED.value for _, kind in flood),
        "flood_under_way_at_the_end": flood_under_way,
        "slow_under_way_at_the_end": slow_under_way,
        "neighbour_not_answered": sum(kind != TerminalKind.ANSWERED.value for _, kind in (*alone, *flooded, *beside)),
        "missing": sum(kind == "none" for _, kind in (*alone, *flooded, *beside, *flood, *slow)),
    }


def _row(name: str, run: list[tuple[float, str]]) -> dict[str, object]:
    times = sorted(ms for ms, _ in run)
    answered = sum(kind == TerminalKind.ANSWERED.value for _, kind in run)
    return {"who": name, "requests": len(run), "answered": answered, "p50 ms": round(times[len(times) // 2]), "p95 ms": _p95(run)}


def _p95(run: list[tuple[float, str]]) -> int:
    times = sorted(ms for ms, _ in run)
    return round(times[int(len(times) * 0.95)])


def _options() -> tuple[Options, bool]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__,
                                     epilog="example: python -m benchmarks.fairness --flood 400 --json",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--rate", type=float, default=20.0, help="the neighbour's requests a second (default 20)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each of its three runs (default 8)")
    parser.add_argument("--flood", type=float, default=200.0, help="the other tenant's requests a second (default 200)")
    parser.add_argument("--slow", type=int, default=60, help="requests of the slow task type (default 60)")
    parser.add_argument("--kafka", default="", metavar="HOST:PORT", help="a real broker instead of the embedded one")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    return Options(chosen.rate, chosen.seconds, chosen.flood, chosen.slow, chosen.kafka), chosen.json


def main() -> None:
    """Print a table, and one line of JSON when asked."""
    options, as_json = _options()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="trivium-fairness-") as folder:
        figures: Mapping[str, object] = uvloop.run(measure(options, Path(folder)))
    finish(figures, as_json)


if __name__ == "__main__":
    main()
