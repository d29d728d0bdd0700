"""Time to the first token and per token after it, at rising load, with a model of known delays; retrieval on and off.

The whole embedded mesh runs; its model is the stand-in with --ttft-ms and --tpot-ms, so what is beyond them is ours.
Off: /account (streamed as the fine-tuned model writes). On: /policy-question, answered from the project's own documents
by the same model: the search comes before its first token. TTFT is that of the terminal (arrival at the gateway to the
first token of the model); `first delta` is when the caller saw text: with retrieval the answer is checked first, so it
comes whole. `overhead_ttft_p95_ms` is p95 of TTFT beyond the model's own, retrieval off, at the load of --at callers.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.report import finish, print_table
from infra.local import LocalMesh, MeshOptions
from trivium.client import TriviumClient, request
from trivium.core.outcome import Terminal, TerminalKind
from trivium.ingest.files import select
from trivium.ingest.send import ingest
from trivium.rpc.channels import channel

QUESTIONS = {
    "off": ("/account", "Account: order 48213, paid 42.50 on 3 May. The customer asks: how much did I pay for it? ({})"),
    "on": ("/policy-question", "What happens to a restricted request when every local target is down? ({})"),
}
DOCUMENTS = (Path("docs"),)


@dataclass
class Seen:
    """Times of one load, ms."""

    ttft: list[float] = field(default_factory=list)
    tpot: list[float] = field(default_factory=list)
    first_delta: list[float] = field(default_factory=list)
    failed: int = 0


def quantile(times: Sequence[float], share: float) -> float:
    """NaN without times."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


async def ask(client: TriviumClient, retrieval: str, number: int, seen: Seen) -> None:
    """One streamed request."""
    endpoint, text = QUESTIONS[retrieval]
    asked = request("acme", text.format(number), endpoint=endpoint, cache="bypass", subject="benchmark")
    began, first = time.perf_counter(), 0.0
    async with aclosing(client.stream(asked, timeout_s=60)) as pieces:
        async for piece in pieces:
            if not isinstance(piece, Terminal):
                first = first or (time.perf_counter() - began) * 1000
            elif piece.kind is not TerminalKind.ANSWERED or piece.ttft_ms is None:
                seen.failed += 1
            else:
                seen.ttft.append(piece.ttft_ms)
                seen.tpot.append((piece.tpot_us or 0) / 1000)
                seen.first_delta.append(first)


async def load(client: TriviumClient, retrieval: str, callers: int, seconds: float) -> Seen:
    """So many callers, each with one request open at a time."""
    seen, until = Seen(), time.perf_counter() + seconds

    async def keep(caller: int) -> None:
        number = caller
        while time.perf_counter() < until:
            await ask(client, retrieval, number, seen)
            number += callers

    await asyncio.gather(*(keep(caller) for caller in range(callers)))
    return seen


async def measure(arguments: argparse.Namespace) -> dict[tuple[str, int], Seen]:
    """Every load, retrieval off and on."""
    delays = ("--ttft-ms", str(arguments.ttft_ms), "--tpot-ms", str(arguments.tpot_ms))
    with tempfile.TemporaryDirectory(prefix="trivium-ttft-") as folder:
        options = MeshOptions(data=Path(folder), kafka=arguments.kafka, standin_arguments=delays, traces=False)
        async with LocalMesh(options) as mesh, TriviumClient(mesh.addresses.gateway) as client:
            async with channel(mesh.addresses.retrieval) as retrieval_channel:
                await ingest(retrieval_channel, "acme", "docs", select(DOCUMENTS))
            found = {}
            for retrieval in QUESTIONS:
                await load(client, retrieval, 1, 0.5)
                for callers in arguments.callers:
                    found[retrieval, callers] = await load(client, retrieval, callers, arguments.seconds)
            return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ttft", description=__doc__,
                                     epilog="example: python -m benchmarks.ttft --callers 1 8 --json",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--ttft-ms", type=int, default=50, help="the model's own delay to its first token")
    parser.add_argument("--tpot-ms", type=int, default=5, help="the model's own delay between tokens")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 4, 16, 32], help="loads, in callers at a time")
    parser.add_argument("--at", type=int, default=4, help="the load whose overhead is the figure")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--kafka", default="", metavar="HOST:PORT", help="a real broker instead of the embedded one")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    if chosen.at not in chosen.callers:
        parser.error(f"--at {chosen.at} is not one of the loads {chosen.callers}")
    found = asyncio.run(measure(chosen))
    print_table(f"Model: first token after {chosen.ttft_ms} ms, then {chosen.tpot_ms} ms a token", [
        {
            "retrieval": retrieval,
            "callers": callers,
            "answered": len(seen.ttft),
            "not": seen.failed,
            "TTFT p50": round(quantile(seen.ttft, 0.5), 1),
            "TTFT p95": round(quantile(seen.ttft, 0.95), 1),
            "TPOT p50": round(quantile(seen.tpot, 0.5), 2),
            "first delta p50": round(quantile(seen.first_delta, 0.5), 1),
        }
        for (retrieval, callers), seen in found.items()
    ])  # fmt: skip

    def overhead(retrieval: str) -> float:
        beyond: float = quantile(found[retrieval, chosen.at].ttft, 0.95) - chosen.ttft_ms
        return round(beyond, 1)

    finish(
        {
            "overhead_ttft_p95_ms": overhead("off"),
            "overhead_ttft_retrieval_p95_ms": overhead("on"),
            "tpot_p50_ms": round(quantile(found["off", chosen.at].tpot, 0.5), 2),
            "failed": sum(seen.failed for seen in found.values()),
        },
        chosen.json,
    )


if __name__ == "__main__":
    main()
