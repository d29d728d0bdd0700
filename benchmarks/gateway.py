"""How much of bare grpc.aio the gateway leaves: a request over two hops, and a cache hit over one.

Bare: client -> hop -> echo (two hops) and client -> echo (one). Gateway: client -> gateway -> a tier that answers at
once, and client -> gateway with the answer in its cache. Every part is a process of its own on uvloop; the gateway
decides by a real policy and writes its ledger to a broker (embedded unless --kafka).

Bare hops have the gateway's own options of server, channel and collector, and parse and write the request at every hop;
answering with a terminal of the gateway's size instead costs the same within the noise. Bare and gateway are measured in
turns, and a ratio is the median of the rounds' ratios, because other work on the machine comes and goes. `server us` is
the processor time of the bare or real gateway processes alone a call (Linux); `cpu_ratio_...` compares these.

Every server, bare and real, runs as `--processes` workers that share a port (SO_REUSEPORT), two unless said otherwise: that
is how both fill two cores.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.gateway_parts import caller
from benchmarks.kafkakit import broker
from benchmarks.report import finish, print_table
from infra.part import family_cpu_s
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
CONNECTIONS = 8

Call = Callable[[int], Awaitable[Any]]
Part = Mapping[str, Any]
SERVES = {"two bare hops": "hop", "gateway and tier": "gateway", "one bare hop": "echo", "gateway, cache hit": "gateway"}
"""Whose processor time is looked at."""


@dataclass
class Series:
    """Rates (calls a second), latencies (ms) and the server's processor time (us a call) of one kind of call."""

    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    server_us: list[float] = field(default_factory=list)

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
            "server us": round(statistics.median(self.server_us)) if self.server_us else "",
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
            yield {**json.loads(line), "pid": running.pid}
        finally:
            running.terminate()


@contextmanager
def workers_of(kind: str, count: int, *flags: str) -> Iterator[Part]:
    """`count` processes of a part of the benchmark on one port: its number, and their pids."""
    parts = "benchmarks.gateway_parts"
    with ExitStack() as stack:
        first = stack.enter_context(process(parts, kind, *flags))
        port = first["port"]
        more = [stack.enter_context(process(parts, kind, *flags, "--port", str(port))) for _ in range(count - 1)]
        yield {"port": port, "pids": [first["pid"], *(one["pid"] for one in more)]}


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


def ratio(over: list[float], under: list[float]) -> float | None:
    """The median of the rounds' ratios; None when nothing was measured."""
    return round(statistics.median(a / b for a, b in zip(over, under, strict=True)), 3) if over and under else None


async def measured(call: Call, pids: Sequence[int], seconds: float, workers: int, into: Series) -> None:
    """One round of one kind of call to the processes `pids`."""
    before, known = sum(map(family_cpu_s, pids)), len(into.latencies)
    await load(call, seconds, workers, into)
    used_s = sum(map(family_cpu_s, pids)) - before
    if used_s:
        into.server_us.append(used_s * 1e6 / (len(into.latencies) - known))


async def measure(parts: Mapping[str, Part], rounds: int, seconds: float, workers: int) -> dict[str, Series]:
    """All four, in turns."""
    async with AsyncExitStack() as stack:

        async def spread(name: str) -> Callable[[int], Any]:
            # Several connections, or the kernel may give them all to one worker.
            address = f"127.0.0.1:{parts[name]['port']}"
            several = [await stack.enter_async_context(channel(address)) for _ in range(CONNECTIONS)]
            return lambda number: several[number % CONNECTIONS]

        one, two, mesh = await spread("echo"), await spread("hop"), await spread("gateway")
        gateways = [stub(GatewayStub, mesh(number)) for number in range(CONNECTIONS)]
        ones, twos = [caller(one(n)) for n in range(CONNECTIONS)], [caller(two(n)) for n in range(CONNECTIONS)]
        draft = request_pb2.Request(tenant="acme", endpoint="/draft", prompt=PROMPT)
        known = request_pb2.Request(tenant="acme", endpoint="/cached", prompt=PROMPT)
        calls: dict[str, Call] = {
            "two bare hops": lambda number: twos[number % CONNECTIONS](draft, timeout=TIMEOUT_S),
            "gateway and tier": lambda number: gateways[number % CONNECTIONS].Complete(draft, timeout=TIMEOUT_S),
            "one bare hop": lambda number: ones[number % CONNECTIONS](draft, timeout=TIMEOUT_S),
        }
        await check(gateways[0], draft)
        if all([await cached(gateway, known) for gateway in gateways]):
            calls["gateway, cache hit"] = lambda n: gateways[n % CONNECTIONS].Complete(known, timeout=TIMEOUT_S)
        series = {name: Series() for name in calls}
        for call in calls.values():
            await load(call, 0.5, workers, Series())
        for _ in range(rounds):
            for name, call in calls.items():
                await measured(call, parts[SERVES[name]]["pids"], seconds, workers, series[name])
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


def run(kafka: str | None, rounds: int, seconds: float, workers: int, processes: int) -> dict[str, Series]:
    """Start everything, measure, stop everything."""
    topics = {topic.name: topic.partitions for topic in all_topics(())}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="trivium-gateway-"))
        policy = Path(folder) / "policy.yaml"
        policy.write_text(POLICY)
        echo = stack.enter_context(workers_of("echo", processes))
        hop = stack.enter_context(workers_of("hop", processes, "--next", f"127.0.0.1:{echo['port']}"))
        tier = stack.enter_context(workers_of("tier", processes))["port"]
        environ = {
            "TRIVIUM_KAFKA": stack.enter_context(broker(topics, kafka)),
            "TRIVIUM_POLICY": str(policy),
            "TRIVIUM_GATEWAY_PORT": "0",
            "TRIVIUM_GATEWAY_PROCESSES": str(processes),
            "TRIVIUM_LOG_LEVEL": "WARNING",
            **{f"TRIVIUM_{name}": f"127.0.0.1:{tier}" for name in ("FINETUNED", "RETRIEVAL", "CLOUD")},
        }
        started = stack.enter_context(process("services.gateway", environ=environ))
        gateway = {"port": started["port"], "pids": [started["pid"]]}
        return uvloop.run(measure({"echo": echo, "hop": hop, "gateway": gateway}, rounds, seconds, workers))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__,
                                     epilog="example: python -m benchmarks.gateway --rounds 5 --json",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each kind of call in each round")
    parser.add_argument("--workers", type=int, default=32, help="callers, each with one call open at a time")
    parser.add_argument("--processes", type=int, default=2, help="workers of each server, bare and real (default 2)")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a real broker instead of the embedded one")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    series = run(chosen.kafka, chosen.rounds, chosen.seconds, chosen.workers, chosen.processes)
    miss, two_bare, one_bare = series["gateway and tier"], series["two bare hops"], series["one bare hop"]
    hit = series.get("gateway, cache hit", Series())
    two, one = ratio(miss.rates, two_bare.rates), ratio(hit.rates, one_bare.rates)
    ratios = {"gateway and tier": two, "gateway, cache hit": one}
    print_table("Gateway", [found.row(name, ratios.get(name)) for name, found in series.items()])
    finish(
        {
            "ratio_to_two_hop": two,
            "ratio_to_one_hop": one,
            "cpu_ratio_to_two_hop": ratio(two_bare.server_us, miss.server_us),
            "cpu_ratio_to_one_hop": ratio(one_bare.server_us, hit.server_us),
            "processes": chosen.processes,
            "two_hop_per_s": round(two_bare.rate),
            "gateway_per_s": round(miss.rate),
            "one_hop_per_s": round(one_bare.rate),
            "cache_hit_per_s": round(hit.rate) if hit.rates else None,
        },
        chosen.json,
    )


if __name__ == "__main__":
    main()
