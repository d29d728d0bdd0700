"""How much of bare grpc.aio the gateway leaves: a request over two hops, and a cache hit over one.

Bare: client -> hop -> echo (two hops) and client -> echo (one). Gateway: client -> gateway -> a tier that answers at
once, and client -> gateway with the answer in its cache. Every part is a process of its own on uvloop; the gateway
decides by a real policy and writes its ledger to a broker (embedded unless --kafka). Bare and gateway are measured in
turns, several times, and the medians compared, because other work on the machine comes and goes.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import uvloop

from benchmarks.gateway_parts import caller
from benchmarks.kafkakit import broker
from benchmarks.report import finish, print_table
from trivium.kafka.topics import all_topics
from trivium.rpc.channels import channel, stub
from trivium.v1 import request_pb2
from trivium.v1.services_pb2_grpc import GatewayStub

POLICY = """
revision: 1
tenants:
  acme: {reply_topics: [trivium.responses]}
targets:
  finetuned/a: {tier: finetuned, model: a, prices: {input: 0.05, output: 0.1}}
  cloud/small: {tier: cloud, model: s, prices: {input: 1, output: 5}}
endpoints: {/draft: draft, /cached: cached}
tasks:
  draft: {route: [finetuned/a, cloud/small], system: Answer the customer.}
  cached: {route: [finetuned/a, cloud/small], system: Answer the customer., cache: {semantic: false}}
novel: {route: [cloud/small], system: Answer.}
default: {route: [cloud/small]}
"""
PROMPT = "Hello, I sent my parcel back last week (order 48213) and have heard nothing since. When do I get my money? " * 2
TIMEOUT_S = 10

Call = Callable[[int], Awaitable[Any]]


@dataclass
class Series:
    """Rates (calls a second) and latencies (ms) of one kind of call."""

    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    def row(self, name: str, ratio: float | None = None) -> dict[str, object]:
        times = sorted(self.latencies)
        return {
            "what": name,
            "requests/s": round(self.rate),
            "p50 ms": round(times[len(times) // 2], 2),
            "p99 ms": round(times[int(len(times) * 0.99)], 2),
            "of bare": "" if ratio is None else round(ratio, 3),
        }


@contextmanager
def process(*command: str, environ: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """A Python module as a process; gives the line of JSON that it prints when ready."""
    arguments = [sys.executable, "-m", *command]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environ, text=True) as running:
        try:
            line = running.stdout.readline() if running.stdout else ""
            if not line:
                raise RuntimeError(f"{command[0]} did not start")
            yield json.loads(line)
        finally:
            running.terminate()


async def load(call: Call, seconds: float, workers: int, into: Series) -> None:
    """`workers` callers, each with one call open at a time, for so long."""
    until = time.perf_counter() + seconds
    done = 0

    async def ask(number: int) -> None:
        nonlocal done
        while (began := time.perf_counter()) < until:
            await call(number)
            into.latencies.append((time.perf_counter() - began) * 1000)
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(ask(number) for number in range(workers)))
    into.rates.append(done / (time.perf_counter() - began))


async def measure(ports: dict[str, int], rounds: int, seconds: float, workers: int) -> dict[str, Series]:
    """All four, in turns."""
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{ports['echo']}") as one,
        grpc.aio.insecure_channel(f"127.0.0.1:{ports['hop']}") as two,
        channel(f"127.0.0.1:{ports['gateway']}") as mesh,
    ):
        gateway = stub(GatewayStub, mesh)
        draft = request_pb2.Request(tenant="acme", endpoint="/draft", prompt=PROMPT)
        known = request_pb2.Request(tenant="acme", endpoint="/cached", prompt=PROMPT)
        calls: dict[str, Call] = {
            "two bare hops": lambda _: caller_two(draft, timeout=TIMEOUT_S),
            "gateway and tier": lambda _: gateway.Complete(draft, timeout=TIMEOUT_S),
            "one bare hop": lambda _: caller_one(draft, timeout=TIMEOUT_S),
        }
        caller_one, caller_two = caller(one), caller(two)
        await check(gateway, draft)
        if await cached(gateway, known):
            calls["gateway, cache hit"] = lambda _: gateway.Complete(known, timeout=TIMEOUT_S)
        series = {name: Series() for name in calls}
        for call in calls.values():
            await load(call, 0.5, workers, Series())
        for _ in range(rounds):
            for name, call in calls.items():
                await load(call, seconds, workers, series[name])
        return series


async def check(gateway: Any, message: request_pb2.Request) -> None:
    """Raises when the gateway does not do what is measured."""
    terminal = await gateway.Complete(message, timeout=TIMEOUT_S)
    if terminal.kind != "answered" or terminal.target != "finetuned/a":
        raise RuntimeError(f"the gateway did not answer by the tier: {terminal}")


async def cached(gateway: Any, message: request_pb2.Request) -> bool:
    """Ask until the answer comes from the cache; False when it never does."""
    for _ in range(50):
        if (await gateway.Complete(message, timeout=TIMEOUT_S)).tier == "cache":
            return True
        await asyncio.sleep(0.1)
    return False


def run(kafka: str | None, rounds: int, seconds: float, workers: int) -> dict[str, Series]:
    """Start everything, measure, stop everything."""
    topics = {topic.name: topic.partitions for topic in all_topics(())}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="trivium-gateway-"))
        policy = Path(folder) / "policy.yaml"
        policy.write_text(POLICY)
        parts = "benchmarks.gateway_parts"
        echo = stack.enter_context(process(parts, "echo"))["port"]
        hop = stack.enter_context(process(parts, "hop", "--next", f"127.0.0.1:{echo}"))["port"]
        tier = stack.enter_context(process(parts, "tier"))["port"]
        environ = {
            "TRIVIUM_KAFKA": stack.enter_context(broker(topics, kafka)),
            "TRIVIUM_POLICY": str(policy),
            "TRIVIUM_GATEWAY_PORT": "0",
            "TRIVIUM_LOG_LEVEL": "WARNING",
            **{f"TRIVIUM_{name}": f"127.0.0.1:{tier}" for name in ("FINETUNED", "RETRIEVAL", "CLOUD")},
        }
        gateway = stack.enter_context(process("services.gateway", environ=environ))["port"]
        return uvloop.run(measure({"echo": echo, "hop": hop, "gateway": gateway}, rounds, seconds, workers))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__,
                                     epilog="example: python -m benchmarks.gateway --rounds 5 --json",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each kind of call in each round")
    parser.add_argument("--workers", type=int, default=32, help="callers, each with one call open at a time")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a real broker instead of the embedded one")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    series = run(chosen.kafka, chosen.rounds, chosen.seconds, chosen.workers)
    two = series["gateway and tier"].rate / series["two bare hops"].rate
    hit = series.get("gateway, cache hit")
    one = hit.rate / series["one bare hop"].rate if hit else None
    ratios = {"gateway and tier": two, "gateway, cache hit": one}
    print_table("Gateway", [found.row(name, ratios.get(name)) for name, found in series.items()])
    finish(
        {
            "ratio_to_two_hop": round(two, 3),
            "ratio_to_one_hop": None if one is None else round(one, 3),
            "two_hop_per_s": round(series["two bare hops"].rate),
            "gateway_per_s": round(series["gateway and tier"].rate),
            "one_hop_per_s": round(series["one bare hop"].rate),
            "cache_hit_per_s": round(hit.rate) if hit else None,
        },
        chosen.json,
    )


if __name__ == "__main__":
    main()
