"""`trivium demo` and `trivium up`."""

import asyncio
import json
import shutil
import signal
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from infra.demo import requests
from infra.demo.report import print_report, verdict
from infra.demo.run import Run
from infra.demo.tally import Tally
from infra.local import POLICY, LocalMesh, MeshOptions
from trivium.cache.view import STALE_MS
from trivium.cli.log import NotInTheLog
from trivium.cli.screen import console as screen
from trivium.cli.screen import print_json, progress, settings
from trivium.cli.trace import fetch, tree
from trivium.core.errors import TriviumError
from trivium.core.outcome import Terminal, Verdict
from trivium.core.policy import Policy
from trivium.ingest.files import select
from trivium.ingest.send import ingest
from trivium.policy import load
from trivium.rpc.channels import channel
from trivium.settings import CloudSettings, KafkaSettings
from trivium.telemetry.tracing import start

DOCUMENTS = (Path("docs"),)
TENANT, CORPUS = "acme", "docs"
STORM_AT, STORM_CALLS = 0.4, 3
"""At 40 % of the file the cloud stand-in is told to be overloaded for three calls, so that fallbacks are seen; five in a
row would open its breaker for 30 s, which is longer than the rest of the run."""


@click.command(epilog="Example: trivium demo --json")
@click.option("--file", "path", type=click.Path(exists=True, path_type=Path), default=requests.FILE, show_default=True)
@click.option("--kafka", default="", metavar="HOST:PORT", help="A real Kafka instead of the embedded broker.")
@click.option("--milvus", default="", metavar="URI", help="A real Milvus instead of Milvus Lite.")
@click.option("--otlp", default="", metavar="URL", help="A real collector of traces (OTLP over gRPC); with --traces.")
@click.option("--traces", "traces_url", default="", metavar="URL", help="Query API of its store (Jaeger).")
@click.option("--data", type=click.Path(path_type=Path), default=Path(".trivium/demo"), show_default=True, help="Emptied first.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON instead of the report.")
def demo(path: Path, kafka: str, milvus: str, otlp: str, traces_url: str, data: Path, as_json: bool) -> int:
    """Start the mesh on this machine, read the project's documents in, answer a file of requests, report.

    Exit status 0 only if every request got exactly one terminal."""
    _both_or_none(otlp, traces_url)
    shutil.rmtree(data, ignore_errors=True)
    options = MeshOptions(data=data, kafka=kafka, milvus=milvus, otlp=otlp, traces_url=traces_url)
    return asyncio.run(_demo(path, options, as_json))


def _both_or_none(otlp: str, traces_url: str) -> None:
    if bool(otlp) != bool(traces_url):
        raise click.UsageError("--otlp and --traces go together: where spans are sent, and where they are asked for")


async def _demo(path: Path, options: MeshOptions, as_json: bool) -> int:
    out = screen(to_stderr=as_json)
    policy, asked = load(options.policy), requests.load(path)
    async with LocalMesh(options) as mesh:
        await _announce(out, mesh)
        await _read_documents(out, mesh)
        # An answer that was made this soon after a change of the documents counts as made before it (docs/cache.md).
        await asyncio.sleep(STALE_MS / 1000 + 0.5)
        tally = await _ask(mesh, policy, asked)
        if as_json:
            print_json(tally.figures())
        else:
            print_report(out, tally, asked, policy)
            await _print_trace(out, mesh, tally)
        out.print(verdict(tally))
    return 0 if tally.whole else 1


async def _announce(out: Console, mesh: LocalMesh) -> None:
    memory = ", ".join(f"{name} {size:.0f}" for name, size in mesh.rss_mib().items())
    out.print(f"[bold]The mesh is up[/]: gateway {mesh.addresses.gateway}, Kafka {mesh.addresses.kafka} (MiB: {memory})")


async def _read_documents(out: Console, mesh: LocalMesh) -> None:
    selection = select(DOCUMENTS)
    with progress() as bar:
        task = bar.add_task("reading documents", total=len(selection.sources))
        async with channel(mesh.addresses.retrieval) as retrieval:
            report = await ingest(retrieval, TENANT, CORPUS, selection, lambda _sent: bar.advance(task))
    for failed in report.failed:
        out.print(f"[yellow]{failed.document}: {failed.message}")
    passages = sum(s.passages for s in report.sent)
    out.print(f"{len(report.sent)} documents of the project, {passages} passages, are in corpus {CORPUS!r}")


async def _ask(mesh: LocalMesh, policy: Policy, asked: Sequence[requests.Asked]) -> Tally:
    replies = sorted({topic for tenant in policy.tenants.values() for topic in tenant.reply_topics})
    tracing = start("trivium-demo", "demo", mesh.addresses.otlp)
    with progress() as bar:
        task = bar.add_task("answering requests", total=len(asked))

        def before(number: int) -> None:
            mesh.check()
            if number == int(len(asked) * STORM_AT):
                _storm(mesh.addresses.cloud_url)

        run = Run(mesh.addresses.kafka, settings(KafkaSettings).partitions, replies, tracing,
                  lambda done: bar.update(task, completed=done), before)  # fmt: skip
        try:
            return await run.publish(asked)
        finally:
            tracing.close()


def _storm(cloud_url: str) -> None:
    body = json.dumps({"fault": "overloaded", "count": STORM_CALLS}).encode()
    order = urllib.request.Request(f"{cloud_url}/control", body, {"content-type": "application/json"})
    urllib.request.urlopen(order, timeout=5).close()


async def _print_trace(out: Console, mesh: LocalMesh, tally: Tally) -> None:
    terminal = _worth_a_trace(tally)
    if terminal is None:
        return
    deadline = time.monotonic() + 8
    while True:
        try:
            spans = await asyncio.to_thread(fetch, mesh.addresses.traces, terminal.trace_id)
            if len(spans) >= 3 + len(terminal.attempts) or time.monotonic() > deadline:
                break
        except NotInTheLog:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.5)
    out.print(f"[bold]One request's trace[/] ({terminal.identity}, answered by {terminal.target})")
    out.print(tree(terminal.trace_id, spans))


def _worth_a_trace(tally: Tally) -> Terminal | None:
    """One that fell back or escalated, else any that was answered by a model."""
    traced = [t for t in tally.answered() if t.trace_id and t.attempts]
    moved = [t for t in traced if any(a.verdict in (Verdict.FELL_BACK, Verdict.ESCALATED) for a in t.attempts)]
    return next(iter(moved or traced), None)


@click.command(epilog="Example: trivium up --kafka localhost:9092 --otlp http://localhost:4317 --traces http://localhost:16686")
@click.option("--port", default=7300, show_default=True, help="Port of the gateway.")
@click.option("--kafka", default="", metavar="HOST:PORT", help="A real Kafka instead of the embedded broker.")
@click.option("--milvus", default="", metavar="URI", help="A real Milvus instead of Milvus Lite.")
@click.option("--model", default="", metavar="URL", help="A model server instead of its stand-in.")
@click.option("--wire", type=click.Choice(["tgi", "openai"]), default="tgi", show_default=True, help="What the model server speaks.")
@click.option("--cloud", default="", metavar="URL", help="The Anthropic API instead of its stand-in; the key is TRIVIUM_CLOUD_KEY.")
@click.option("--otlp", default="", metavar="URL", help="A real collector of traces (OTLP over gRPC); with --traces.")
@click.option("--traces", "traces_url", default="", metavar="URL", help="Query API of its store (Jaeger).")
@click.option("--policy", type=click.Path(exists=True, path_type=Path), default=POLICY, show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=Path(".trivium/up"), show_default=True, help="Documents stay here.")
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as one line of JSON.")
def up(
    port: int, kafka: str, milvus: str, otlp: str, traces_url: str, model: str, wire: str, cloud: str, policy: Path, data: Path, as_json: bool
) -> int:
    """Keep the mesh running on this machine and print its addresses. Ctrl-C stops it."""
    _both_or_none(otlp, traces_url)
    key = settings(CloudSettings).key if cloud else ""
    if cloud and not key:
        raise TriviumError(f"{cloud} wants a key: set TRIVIUM_CLOUD_KEY")
    options = MeshOptions(
        data=data, kafka=kafka, policy=policy, gateway_port=port, milvus=milvus, otlp=otlp, traces_url=traces_url,
        model_url=model, cloud_url=cloud, cloud_key=key, ledger=True, budget=bool(load(policy).budgets), environ={"TRIVIUM_FINETUNED_WIRE": wire},
    )  # fmt: skip
    return asyncio.run(_up(options, as_json))


async def _up(options: MeshOptions, as_json: bool) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with LocalMesh(options) as mesh:
        await _read_documents(screen(to_stderr=True), mesh)
        _print_addresses(mesh, as_json)
        stopped: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
        await asyncio.wait([stopped, mesh.broken], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if mesh.broken.done():
            raise TriviumError(mesh.broken.result())
    return 0


def _print_addresses(mesh: LocalMesh, as_json: bool) -> None:
    at = mesh.addresses
    found: dict[str, Any] = {name: getattr(at, name) for name in at.__dataclass_fields__}
    if as_json:
        print_json(found)
    else:
        for name, address in found.items():
            click.echo(f"{name:<10} {address}")
        click.echo("\nIn another shell:\n"
                   f"  export TRIVIUM_KAFKA={at.kafka} TRIVIUM_GATEWAY={at.gateway} TRIVIUM_RETRIEVAL={at.retrieval} TRIVIUM_TRACES={at.traces} TRIVIUM_LEDGER={at.ledger}\n"
                   "  trivium ask 'What is never cached?' --endpoint /auto")  # fmt: skip
    sys.stdout.flush()
