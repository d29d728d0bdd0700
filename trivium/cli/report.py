"""`trivium report`: what was spent, on whom, on what, how fast, and what came of it."""

import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import click
import grpc
from google.protobuf import json_format

from trivium.cli.log import since as instant
from trivium.cli.report_tables import print_report
from trivium.cli.screen import json_option, print_records, run, settings
from trivium.core.errors import Unreachable
from trivium.core.near import hint
from trivium.rpc.channels import channel
from trivium.rpc.tls import handshake_trouble, read_dial
from trivium.settings import ToolSettings
from trivium.v1 import services_pb2
from trivium.v1.services_pb2_grpc import LedgerStub

DIMENSIONS: Final = (
    "tenant", "team", "application", "use_case", "user_tier", "task_type", "tier", "target", "day", "end_user", "paid", "model",
)  # fmt: skip
_DAY_MS: Final = 86_400_000
_TIMEOUT_S: Final = 60.0


@click.command(epilog="Example: trivium report --by team,target --since 30d --only tenant=acme")
@click.option("--by", default="tier", show_default=True, help=f"Columns, comma-separated: {', '.join(DIMENSIONS)}.")
@click.option("--since", "span", metavar="SPAN", help="The last 7d (whole days, today included), 12h or 30m; default everything.")
@click.option("--from", "first", metavar="DAY", help="From this day on (2026-11-01, UTC).")
@click.option("--to", "last", metavar="DAY", help="Up to and with this day.")
@click.option("--only", "only", multiple=True, metavar="NAME=VALUE", help="Only these; again for another value or dimension.")
@click.option("--limit", default=40, show_default=True, help="Lines at most, the dearest; 0: all.")
@click.option("--columns", type=click.Choice(["cost", "split", "tokens", "times", "outcomes", "patience", "open", "all"]), default="cost", show_default=True)
@click.option("--invoice", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Compare with a vendor's usage export (CSV).")
@click.option("--map", "mapping", multiple=True, metavar="OURS=COLUMN", help="Column of the invoice for day, model, input, output, "
              "cache_read, cache_write, cost, and tier= for the tier that it is about (default cloud).")  # fmt: skip
@click.option("--ledger", "address", metavar="HOST:PORT", help="The ledger that is asked; default TRIVIUM_LEDGER or localhost:7304.")
@click.option("--db", "database", metavar="URL", help="Ask the database itself: a file name (SQLite) or a PostgreSQL URL.")
@json_option
def report(by: str, span: str | None, first: str | None, last: str | None, only: tuple[str, ...], limit: int, columns: str,
           invoice: Path | None, mapping: tuple[str, ...], address: str | None, database: str | None, as_json: bool) -> int:  # fmt: skip
    """Cost, tokens, requests, times and outcomes from the ledger's store; with --invoice, against a vendor's bill."""
    asked = services_pb2.ReportRequest(by=_dimensions(by), filters=_filters(only), limit=max(0, limit))
    asked.from_ms, asked.to_ms = _span(span, first, last)
    tool = settings(ToolSettings, ledger=address)
    if invoice is not None:
        from trivium.cli.invoice import compare

        return compare(invoice, mapping, asked, lambda question: lines(question, tool.ledger, database), as_json)
    if mapping:
        raise click.BadParameter("it says how to read an --invoice, and there is none", param_hint="--map")
    found = lines(asked, tool.ledger, database)
    if as_json:
        print_records(map(as_record, found, [list(asked.by)] * len(found)))
    else:
        print_report(list(asked.by), found, columns)
    return 0


def lines(asked: services_pb2.ReportRequest, address: str, database: str | None) -> list[services_pb2.ReportLine]:
    """The lines of a report and its total, from a database or a ledger. Raises TriviumError."""
    if database is None:
        return run(_served(asked, address))
    # Not at the top: SQLAlchemy takes longer to import than a report from a ledger takes.
    from trivium.ledger.direct import report_lines

    return report_lines(asked, database)


def as_record(line: services_pb2.ReportLine, by: Sequence[str]) -> Mapping[str, Any]:
    """One line for programs: the group by name, then every figure."""
    figures = json_format.MessageToDict(line, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    figures.pop("group")
    group = dict(zip(by, line.group, strict=False))
    # The JSON mapping of protobuf makes text of 64-bit numbers; money is far below what JSON's numbers hold exactly.
    return {**group, **{name: int(value) if isinstance(value, str) else value for name, value in figures.items()}}


async def _served(asked: services_pb2.ReportRequest, address: str) -> list[services_pb2.ReportLine]:
    dial = read_dial(os.environ)
    try:
        async with channel(address, dial) as open_channel:
            stub: Any = LedgerStub(open_channel)  # type: ignore[no-untyped-call]
            found: list[services_pb2.ReportLine] = [line async for line in stub.Report(asked, timeout=_TIMEOUT_S)]
            return found
    except grpc.aio.AioRpcError as error:
        said = error.details() or error.code().name
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            raise click.UsageError(said) from None
        hinted = "; python -m services.ledger serves it, --db asks a database" if error.code() is grpc.StatusCode.UNAVAILABLE else ""
        raise Unreachable(f"the ledger at {address}: {handshake_trouble(said, dial) or said}{hinted}") from None


def _dimensions(by: str) -> list[str]:
    names = [name.strip() for name in by.split(",") if name.strip()]
    for name in names:
        _known(name, "--by")
    return names


def _filters(only: Sequence[str]) -> list[services_pb2.ReportFilter]:
    found: dict[str, list[str]] = {}
    for text in only:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} must be NAME=VALUE, for example tenant=acme", param_hint="--only")
        _known(name, "--only")
        found.setdefault(name, []).append(value)
    return [services_pb2.ReportFilter(dimension=name, values=values) for name, values in found.items()]


def _known(name: str, where: str) -> None:
    if name not in DIMENSIONS:
        raise click.BadParameter(f"{name!r} is none of {', '.join(DIMENSIONS)}; {hint(name, DIMENSIONS)}", param_hint=where)


def _span(span: str | None, first: str | None, last: str | None) -> tuple[int, int]:
    """From and to in epoch ms; 0 is open."""
    if span and (first or last):
        raise click.UsageError("--since and --from, --to say the same thing: give one of them")
    if span:
        try:
            start = instant(span)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--since") from None
        # Whole days are answered from sums, and are what an invoice counts in.
        return (_midnight(start) + _DAY_MS if span.endswith("d") else start), 0
    from_ms, to_ms = _day(first, "--from"), _day(last, "--to")
    if last:
        to_ms += _DAY_MS
    if to_ms and from_ms >= to_ms:
        raise click.BadParameter(f"{last} is before {first}", param_hint="--to")
    return from_ms, to_ms


def _midnight(at_ms: int) -> int:
    return at_ms - at_ms % _DAY_MS


def _day(text: str | None, where: str) -> int:
    if not text:
        return 0
    try:
        return (date.fromisoformat(text) - date(1970, 1, 1)).days * _DAY_MS
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a day like 2026-11-21", param_hint=where) from None
