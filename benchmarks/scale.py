"""The whole Kafka path on a real Kafka: one and two instances of each part, time by hop, and what tracing and TLS cost.

    .venv/bin/python -m benchmarks.scale --json

Starts Kafkas of its own (infra.kafka: Java and Maven) on free ports, one node each, one of them with SASL/SCRAM over TLS
and the reference ACLs; a mesh of instant backends (benchmarks.instant_tier) on them; and loads it from this process.

`requests_per_s`: one router and one tier, `--outstanding` requests under way, first publish to last terminal, the best
of `--rounds`. `requests_per_s_two`: two routers and two tiers. `scale_ratio`: the second by the first; all of it shares
this machine's processors. `hops`: share of the time of one request alone between the broker's times of its records.
`tracing_ratio`, `tls_ratio`: requests/s with tracing (to an endpoint that drops spans), or with SASL over TLS and ACLs, by
those without, both measured in turns in the same rounds. `missing`: requests without a terminal, in all runs."""

import argparse
import asyncio
import logging
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from aiokafka import ConsumerRecord

from benchmarks.path import POLICY, REPLIES, Load, alone_ms, listen, many
from benchmarks.report import finish, print_table
from infra.kafka.acls import compare, read_acls
from infra.kafka.cluster import Cluster, ClusterOptions, start
from infra.kafka.security import OPERATOR
from infra.part import Part, RunningPart
from trivium.core.policy import Tier
from trivium.kafka.admin import ensure
from trivium.kafka.layout import Layout
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.reader import ReaderOptions, end_offsets, read_tail
from trivium.kafka.security import read_kafka
from trivium.kafka.topics import OUTCOMES, REQUESTS, all_topics, work

HOPS = ("publish to log", "router: request to work", "tier: work to outcome", "router: outcome to reply", "reply to caller")
_WARM = 1_000


@dataclass(frozen=True, slots=True)
class Options:
    """What is run."""

    requests: int
    outstanding: int
    alone: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Setup:
    """One way to run the mesh."""

    name: str
    instances: int = 1
    traced: bool = False
    secure: bool = False


SETUPS = (Setup("one of each"), Setup("two of each", 2), Setup("tracing", traced=True), Setup("SASL over TLS", secure=True))


@dataclass(frozen=True, slots=True)
class Place:
    """A Kafka with its topics; `cluster` knows the principals when it is secure."""

    cluster: Cluster

    def environ(self, principal: str) -> dict[str, str]:
        """The settings of a process that comes in as this principal."""
        own = self.cluster.vault.environ(principal) if self.cluster.secure else {}
        return {"TRIVIUM_KAFKA": self.cluster.bootstrap, **own}

    def bootstrap(self, principal: str) -> str:
        return read_kafka(self.environ(principal)).bootstrap


@dataclass(slots=True)
class Timed(Load):
    """A load that keeps when each request left and its terminal came, epoch ms."""

    left: dict[bytes, float] = field(default_factory=dict)
    came: dict[bytes, float] = field(default_factory=dict)

    async def publish(self, prefix: str) -> asyncio.Future[object]:
        before = time.time() * 1000
        confirmed = await Load.publish(self, prefix)
        self.left[f"bench/{prefix}{self.number}".encode()] = before
        return confirmed

    def took(self, record: ConsumerRecord) -> None:
        self.came[record.key] = time.time() * 1000
        Load.took(self, record)


@dataclass(frozen=True, slots=True)
class Run:
    """What one setup gave in one round."""

    requests_per_s: float
    missing: int
    not_answered: int
    alone_ms: tuple[float, ...]
    hops_ms: Mapping[str, float]


@asynccontextmanager
async def places(folder: Path, setups: tuple[Setup, ...]) -> AsyncIterator[dict[bool, Place]]:
    """The Kafkas that the setups need, by whether they are secure."""
    found: dict[bool, Place] = {}
    try:
        for secure in sorted({setup.secure for setup in setups}):
            options = ClusterOptions(folder / ("secure" if secure else "plain"), port=0, secure=secure)
            place = found[secure] = Place(await asyncio.to_thread(start, options))
            operator = place.bootstrap(OPERATOR)
            await ensure(operator, all_topics([REPLIES]), Layout(), create=True)
            if secure:
                await compare(operator, read_acls(), apply=True)
        yield found
    finally:
        for place in found.values():
            await asyncio.to_thread(place.cluster.stop)


@asynccontextmanager
async def mesh(setup: Setup, place: Place, folder: Path) -> AsyncIterator[None]:
    """Routers and tiers of a setup, up and joined."""
    policy = folder / "policy.yaml"
    await asyncio.to_thread(policy.write_text, POLICY)
    async with AsyncExitStack() as stack:
        environ = {
            "TRIVIUM_POLICY": str(policy), "TRIVIUM_OTLP": "", "TRIVIUM_LOG_LEVEL": "WARNING",
            "TRIVIUM_CACHE_SEMANTIC": "0", "TRIVIUM_FINETUNED_PORT": "0", "TRIVIUM_FETCH_MAX_WAIT_MS": "10",
        }  # fmt: skip
        if setup.traced:
            sink = await _running(stack, Part("sink", "benchmarks.span_sink"), folder)
            environ["TRIVIUM_OTLP"] = str((await sink.until_ready())["otlp"])
        parts = []
        for n in range(setup.instances):
            own = {"TRIVIUM_DATADIR": str(folder / f"router-{n}")}
            parts.append(Part(f"router {n + 1}", "streams", (), environ | own | place.environ("router")))
            parts.append(Part(f"tier {n + 1}", "benchmarks.instant_tier", (), environ | place.environ("finetuned")))
        running = [await _running(stack, part, folder) for part in parts]
        await asyncio.gather(*(one.until_ready() for one in running))
        yield


async def _running(stack: AsyncExitStack, part: Part, folder: Path) -> RunningPart:
    one = await RunningPart.start(part, folder)
    stack.push_async_callback(one.stop)
    return one


async def measure(setup: Setup, place: Place, options: Options, folder: Path) -> Run:
    """One setup, started, warmed, loaded and stopped."""
    bootstrap = place.bootstrap("producers")
    began_ms = int(time.time() * 1000)
    async with mesh(setup, place, folder), Producer(bootstrap, ProducerOptions("trivium-load")) as producer:
        load, ready = Timed(producer, asyncio.Semaphore(1)), asyncio.Event()
        listening = asyncio.create_task(listen(bootstrap, load, ready))
        try:
            await ready.wait()
            await many(load, min(_WARM, options.requests), 200)
            alone = await alone_ms(load, options.alone)
            seconds = await many(load, options.requests, options.outstanding)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    hops = await _hops(place.bootstrap(OPERATOR), load, began_ms)
    return Run(options.requests / seconds, len(load.expected), load.not_answered, tuple(alone), hops)


async def _hops(bootstrap: str, load: Timed, began_ms: int) -> dict[str, float]:
    """Mean ms between the records of the requests that were alone, by the broker's times (whole ms each)."""
    stamps: list[dict[bytes, float]] = [load.left]
    for topic in (REQUESTS, work(Tier.FINETUNED), OUTCOMES, REPLIES):
        stamps.append(await _stamps(bootstrap, topic, began_ms))
    stamps.append(load.came)
    keys = [key for key in load.left if b"/alone-" in key and all(key in stamp for stamp in stamps)]
    return {
        hop: statistics.fmean(after[key] - before[key] for key in keys)
        for hop, before, after in zip(HOPS, stamps[:-1], stamps[1:], strict=True)
    }


async def _stamps(bootstrap: str, topic: str, since_ms: int) -> dict[bytes, float]:
    options = ReaderOptions("trivium-load")
    ends = await end_offsets(bootstrap, topic, options)
    records = read_tail(bootstrap, topic, since_ms, ends, options)
    return {record.key: record.timestamp_ms async for record in records if record.key is not None and b"/alone-" in record.key}


async def everything(options: Options, folder: Path) -> dict[str, object]:
    """All setups, in turns, round after round."""
    runs: dict[str, list[Run]] = {setup.name: [] for setup in SETUPS}
    async with places(folder, SETUPS) as found:
        for number in range(options.rounds):
            for setup in SETUPS:
                own = folder / f"{number}-{setup.name}"
                own.mkdir()
                runs[setup.name].append(await measure(setup, found[setup.secure], options, own))
    best = {name: max(run.requests_per_s for run in some) for name, some in runs.items()}
    print_table("Requests/s, the whole path on a real Kafka, instant backends", [
        {"setup": name, "requests/s (best)": round(best[name]), "all rounds": ", ".join(f"{r.requests_per_s:.0f}" for r in some),
         "p50 alone ms": round(statistics.median(ms for r in some for ms in r.alone_ms), 1),
         "missing": sum(r.missing for r in some)} for name, some in runs.items()
    ])  # fmt: skip
    hops = {hop: statistics.fmean(run.hops_ms[hop] for run in runs["one of each"]) for hop in HOPS}
    whole = sum(hops.values())
    print_table("One request alone, by hop", [{"hop": h, "mean ms": round(ms, 2), "share": f"{ms / whole:.0%}"} for h, ms in hops.items()])
    one = best["one of each"]
    return {
        "requests_per_s": round(one),
        "requests_per_s_two": round(best["two of each"]),
        "scale_ratio": round(best["two of each"] / one, 2),
        "tracing_ratio": round(best["tracing"] / one, 2),
        "tls_ratio": round(best["SASL over TLS"] / one, 2),
        "hops": {hop: round(ms / whole, 3) for hop, ms in hops.items()},
        "missing": sum(run.missing for some in runs.values() for run in some),
        "processors": os.cpu_count(),
    }


def _options() -> tuple[Options, bool]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__,
                                     epilog="example: python -m benchmarks.scale --rounds 1 --requests 2000",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--requests", type=int, default=10_000, help="of each run (default 10000)")
    parser.add_argument("--outstanding", type=int, default=2_000, help="published and not yet answered (default 2000)")
    parser.add_argument("--alone", type=int, default=200, help="requests timed one by one (default 200)")
    parser.add_argument("--rounds", type=int, default=2, help="of all setups in turn; the best counts (default 2)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    if min(chosen.requests, chosen.outstanding, chosen.alone, chosen.rounds) < 1:
        parser.error("--requests, --outstanding, --alone and --rounds must be at least 1")
    return Options(chosen.requests, chosen.outstanding, chosen.alone, chosen.rounds), chosen.json


def main() -> None:
    """Print two tables, and one line of JSON when asked."""
    options, as_json = _options()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="trivium-scale-") as folder:
        figures = uvloop.run(everything(options, Path(folder)))
    finish(figures, as_json)


if __name__ == "__main__":
    main()
