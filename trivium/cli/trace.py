"""`trivium trace`: one request's spans as a tree, from Jaeger's query API."""

import json
import urllib.error
import urllib.request
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import click
from rich.tree import Tree

from trivium.cli.log import NotInTheLog, find_terminal
from trivium.cli.screen import console, json_option, kafka_option, print_records, run, settings
from trivium.core.errors import Unreachable
from trivium.settings import KafkaSettings, ToolSettings
from trivium.telemetry import names

SHOWN = (names.TARGET, names.VERDICT, names.CACHE, names.TERMINAL_KIND, names.COST,
         names.GEN_AI_RESPONSE_MODEL, names.GEN_AI_OUTPUT_TOKENS)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Times are microseconds since the epoch."""

    id: str
    parent: str
    name: str
    service: str
    start_us: int
    duration_us: int
    tags: dict[str, Any]
    links: tuple[tuple[str, str], ...] = ()
    """(trace, span) of what it follows without being its child."""


@click.command(epilog="Example: trivium trace ticket-0017 --traces http://localhost:16686")
@click.argument("request_id")
@click.option("--tenant", help="Whose request; default TRIVIUM_TENANT or acme.")
@click.option("--traces", "url", help="Jaeger query API; default TRIVIUM_TRACES.")
@kafka_option
@json_option
def trace(request_id: str, tenant: str | None, url: str | None, kafka: str | None, as_json: bool) -> None:
    """The whole trace of a request: producer, router, tier, vendor, router, terminal."""
    tool = settings(ToolSettings, traces=url, tenant=tenant)
    if not tool.traces:
        raise click.UsageError("where are the traces? --traces http://host:16686 or TRIVIUM_TRACES")
    terminal, _, _ = run(find_terminal(settings(KafkaSettings, kafka=kafka), request_id, tool.tenant))
    if not terminal.trace_id:
        raise NotInTheLog(f"{request_id} left no trace: was TRIVIUM_OTLP set when it was answered?")
    spans = fetch(tool.traces, terminal.trace_id)
    if as_json:
        print_records({"span": s.id, "parent": s.parent, "name": s.name, "service": s.service, "start_us": s.start_us,
                       "duration_us": s.duration_us, "tags": s.tags,
                       "links": [{"trace": trace, "span": span} for trace, span in s.links]} for s in spans)  # fmt: skip
    else:
        console().print(tree(terminal.trace_id, spans))


def fetch(url: str, trace_id: str) -> list[Span]:
    """The spans of a trace in order of start. NotInTheLog when the store does not know it, Unreachable when it is gone."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/api/traces/{trace_id}", timeout=5) as response:
            found = json.load(response)["data"]
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise Unreachable(f"{url} answers {error.code} for trace {trace_id}") from None
        found = []
    except (OSError, ValueError, KeyError) as error:
        raise Unreachable(f"no Jaeger query API at {url}: {error}") from None
    if not found:
        raise NotInTheLog(f"{url} has no trace {trace_id} (spans are sent every few seconds: try again)")
    services = {name: process["serviceName"] for name, process in found[0]["processes"].items()}
    return sorted((_span(raw, services) for raw in found[0]["spans"]), key=lambda s: s.start_us)


def _span(raw: dict[str, Any], services: dict[str, str]) -> Span:
    parent, links = _references(raw)
    tags = {tag["key"]: tag["value"] for tag in raw["tags"]}
    return Span(raw["spanID"], parent, raw["operationName"], services[raw["processID"]], raw["startTime"], raw["duration"], tags, links)


def _references(raw: dict[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The parent, and what the span links to. Jaeger gives a link to the same trace's span as CHILD_OF or FOLLOWS_FROM."""
    found = [(r["refType"], r["traceID"], r["spanID"]) for r in raw.get("references", ())]
    parent = next((span for kind, trace, span in found if kind == "CHILD_OF" and trace == raw["traceID"]), "")
    return parent, tuple((trace, span) for kind, trace, span in found if kind == "FOLLOWS_FROM")


def tree(trace_id: str, spans: list[Span]) -> Tree:
    """Spans under their parents; an orphan stands at the root and says so."""
    known = {s.id for s in spans}
    below: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        below[span.parent if span.parent in known else ""].append(span)
    origin = spans[0].start_us
    root = Tree(f"trace {trace_id}: {len(spans)} spans, {(max(s.start_us + s.duration_us for s in spans) - origin) / 1000:.1f} ms")

    def grow(branch: Tree, parent: str) -> None:
        for span in below[parent]:
            grow(branch.add(_label(span, origin, orphan=not parent and bool(span.parent))), span.id)

    grow(root, "")
    return root


def _label(span: Span, origin: int, orphan: bool) -> str:
    facts = " ".join(f"{key.split('.')[-1]}={span.tags[key]}" for key in SHOWN if span.tags.get(key, "") != "")
    if names.ERROR_TYPE in span.tags:
        facts = f"{facts} [red]error={span.tags[names.ERROR_TYPE]}[/]".lstrip()
    timing = f"+{(span.start_us - origin) / 1000:.1f} ms, {span.duration_us / 1000:.1f} ms"
    return f"[bold]{span.name}[/] [dim]{span.service} {timing}[/] {facts}" + (" [red]its parent is missing[/]" if orphan else "")
