"""The whole Kafka path with instant backends: request -> router -> tier -> router -> terminal, every part a process of its own.

    .venv/bin/python -m benchmarks.path --json

`requests_per_s`: with `--outstanding` requests under way, from the first publish to the last terminal. `missing`:
requests of that run without a terminal. `p50_ms`: one request alone, from publish to terminal. `rss_mib`: by process,
after the run. Tracing and the answer cache are off (each request is another question). The load generator is this
process; it confirms every publish, and counts terminals by identity.

The embedded broker looks for an offset from the beginning of the partition: a longer run measures that more and more."""

import argparse
import asyncio
import gc
import logging
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from aiokafka import ConsumerRecord

from benchmarks.report import finish, print_table
from infra.part import Part, RunningPart, cpu_s
from trivium.core.partition import home
from trivium.kafka.admin import ensure
from trivium.kafka.layout import Layout
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.reader import ReaderOptions, connected
from trivium.kafka.record import Record
from trivium.kafka.topics import HEADER_KIND, PARTITIONS, REQUESTS, all_topics
from trivium.v1 import request_pb2

REPLIES = "trivium.replies.bench"
POLICY = f"""
revision: 1
tenants:
  bench: {{reply_topics: [{REPLIES}]}}
targets:
  finetuned/instant: {{tier: finetuned, model: instant, prices: {{input: 0.05, output: 0.10}}}}
endpoints: {{/draft: draft}}
default: {{route: [finetuned/instant]}}
novel: {{route: [finetuned/instant]}}
tasks:
  draft: {{route: [finetuned/instant], system: Draft a reply., timeout_ms: 120_000}}
"""
PROMPT = (
    "Hello, I ordered a parcel last week and it has not come yet. Could you tell me where it is and when it will come? "
)
_HEADERS = (("content-type", b"application/protobuf"), ("schema", b"trivium.v1.Request"))
_GIVE_UP_S = 30.0


@dataclass(slots=True)
class Load:
    """Publishes requests and counts their terminals."""

    producer: Producer
    room: asyncio.Semaphore
    expected: set[bytes] = field(default_factory=set)
    answered: int = 0
    duplicates: int = 0
    not_answered: int = 0
    number: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish(self, prefix: str) -> asyncio.Future[object]:
        """Hand one request over; returns the confirmation to come."""
        self.number += 1
        name = f"{prefix}{self.number}"
        key = f"bench/{name}"
        message = request_pb2.Request(tenant="bench", id=name, endpoint="/draft", prompt=PROMPT + name)
        self.expected.add(key.encode())
        record = Record(REQUESTS, key.encode(), message.SerializeToString(), _HEADERS, home(key, PARTITIONS))
        return await self.producer.send(record)

    def took(self, record: ConsumerRecord) -> None:
        """A terminal."""
        if record.key not in self.expected:
            self.duplicates += 1
            return
        self.expected.discard(record.key)
        self.answered += 1
        self.not_answered += dict(record.headers).get(HEADER_KIND) != b"answered"
        self.arrived.set()
        self.room.release()


@dataclass(frozen=True, slots=True)
class Options:
    """What is run."""

    requests: int
    outstanding: int
    alone: int
    kafka: str
    tiers: int


@asynccontextmanager
async def mesh(options: Options, folder: Path) -> AsyncIterator[tuple[str, dict[str, RunningPart]]]:
    """Broker, router and tier. With a real broker its topics are made when they are missing, and more tiers may share the work."""
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    running: dict[str, RunningPart] = {}
    try:
        if options.kafka:
            await ensure(options.kafka, all_topics([REPLIES]), Layout(), create=True)
        else:
            running["broker"] = await RunningPart.start(
                Part("broker", "infra.broker", ("--mesh", "--reply-topic", REPLIES)), folder
            )
            await running["broker"].until_ready()
        kafka = options.kafka or str(running["broker"].ready["bootstrap"])
        environ = {
            "TRIVIUM_KAFKA": kafka, "TRIVIUM_POLICY": str(policy), "TRIVIUM_OTLP": "", "TRIVIUM_LOG_LEVEL": "WARNING",
            "TRIVIUM_CACHE_SEMANTIC": "0", "TRIVIUM_FINETUNED_PORT": "0", "TRIVIUM_FETCH_MAX_WAIT_MS": "10",
        }  # fmt: skip
        parts = [Part("router", "streams", (), environ | {"TRIVIUM_DATADIR": str(folder / "router")})]
        parts += [Part(f"tier {n + 1}", "benchmarks.instant_tier", (), environ) for n in range(options.tiers)]
        for part in parts:
            running[part.name] = await RunningPart.start(part, folder)
        await asyncio.gather(*(one.until_ready() for name, one in running.items() if name != "broker"))
        yield kafka, running
    finally:
        for one in reversed(running.values()):
            await one.stop()


async def listen(kafka: str, load: Load, ready: asyncio.Event) -> None:
    async with connected(kafka, REPLIES, ReaderOptions("trivium-load")) as consumer:
        await consumer.seek_to_end()
        ready.set()
        while True:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    load.took(record)


async def alone_ms(load: Load, count: int) -> list[float]:
    """Milliseconds of each of `count` requests, one after the other."""
    times = []
    for _ in range(count):
        load.arrived.clear()
        began = time.perf_counter()
        await load.publish(f"alone-{time.time_ns()}-")
        async with asyncio.timeout(_GIVE_UP_S):
            await load.arrived.wait()
        times.append((time.perf_counter() - began) * 1000)
    return times


async def many(load: Load, count: int, outstanding: int) -> float:
    """Seconds from the first publish to the last terminal; what has not come by then stays expected."""
    prefix, until = f"many-{time.time_ns()}-", load.answered + count
    load.room = asyncio.Semaphore(outstanding)
    confirmations: list[asyncio.Future[object]] = []
    began = last = time.perf_counter()
    for _ in range(count):
        try:
            async with asyncio.timeout(_GIVE_UP_S):
                await load.room.acquire()
        except TimeoutError:
            break
        confirmations.append(await load.publish(prefix))
    await asyncio.gather(*confirmations)
    while load.answered < until and time.perf_counter() - last < _GIVE_UP_S:
        before = load.answered
        await asyncio.sleep(0.01)
        last = time.perf_counter() if load.answered > before else last
    return last - began


async def measure(options: Options, folder: Path) -> dict[str, object]:
    """The figures, and the memory of each process."""
    async with mesh(options, folder) as (kafka, running), Producer(kafka, ProducerOptions("trivium-load")) as producer:
        load, ready = Load(producer, asyncio.Semaphore(1)), asyncio.Event()
        listening = asyncio.create_task(listen(kafka, load, ready))
        try:
            await ready.wait()
            pids = {name: one.process.pid for name, one in running.items()} | {"load": os.getpid()}
            await many(load, min(2_000, options.requests), 200)
            alone = await alone_ms(load, options.alone)
            gc.collect()
            gc.freeze()
            before = {name: cpu_s(pid) for name, pid in pids.items()}
            seconds = await many(load, options.requests, options.outstanding)
            spent = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
            memory = {name: round(one.rss_mib(), 1) for name, one in running.items()}
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    rows = [{"answered": load.answered, "not answered": load.not_answered, "duplicates": load.duplicates,
             "p50 alone ms": round(statistics.median(alone), 1), "p95 alone ms": round(sorted(alone)[int(len(alone) * 0.95)], 1),
             "seconds": round(seconds, 2)}]  # fmt: skip
    print_table("The whole Kafka path, instant backends", rows)
    print_table("Where the time goes", [{"process": name, "CPU us a request": round(used_s * 1e6 / options.requests)}
                                        for name, used_s in spent.items()])  # fmt: skip
    return {
        "requests_per_s": round(options.requests / seconds),
        "p50_ms": round(statistics.median(alone), 1),
        "missing": len(load.expected),
        "rss_mib": memory,
    }


def _options() -> tuple[Options, bool]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.path", description=__doc__,
                                     epilog="example: python -m benchmarks.path --outstanding 500 --json",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--requests", type=int, default=10_000, help="default 10000")
    parser.add_argument("--outstanding", type=int, default=2_000, help="published and not yet answered (default 2000)")
    parser.add_argument("--alone", type=int, default=100, help="requests timed one by one (default 100)")
    parser.add_argument("--kafka", default="", metavar="HOST:PORT", help="a real broker instead of the embedded one")
    parser.add_argument("--tiers", type=int, default=1, help="tier processes; the embedded broker takes one")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    if chosen.tiers > 1 and not chosen.kafka:
        parser.error("--tiers above 1 needs a real broker (--kafka): the embedded one takes one member a group")
    return Options(chosen.requests, chosen.outstanding, chosen.alone, chosen.kafka, chosen.tiers), chosen.json


def main() -> None:
    """Print a table, and one line of JSON when asked."""
    options, as_json = _options()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="trivium-path-") as folder:
        figures: Mapping[str, object] = uvloop.run(measure(options, Path(folder)))
    finish(figures, as_json)


if __name__ == "__main__":
    main()
