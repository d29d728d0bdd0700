"""`trivium report --invoice`: the ledger against a vendor's usage export."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from trivium.cli.screen import console, dollars, print_records, print_table
from trivium.ledger.invoice import FIELDS, TOKENS, Amounts, Bill, Difference, compared, read_invoice, same_model
from trivium.v1.services_pb2 import ReportFilter, ReportLine, ReportRequest

Ask = Callable[[ReportRequest], Sequence[ReportLine]]
_DAY, _MODEL, _PAID = range(3)
_TIER: Final = "cloud"


def compare(path: Path, mapping: Sequence[str], asked: ReportRequest, ask: Ask, as_json: bool) -> int:
    """Prints every day and model of the export beside ours. Status 1 when any differs by more than half a per cent."""
    columns, tier = _mapping(mapping)
    theirs = read_invoice(path, columns)
    question = ReportRequest(by=("day", "model", "paid"), filters=_without(asked.filters), from_ms=asked.from_ms, to_ms=asked.to_ms)
    differences = compared(ours(ask(question), tier), theirs)
    if as_json:
        print_records(map(_record, differences))
    else:
        _print(differences)
    return 0 if all(one.agrees for one in differences) else 1


def ours(lines: Sequence[ReportLine], tier: str) -> Bill:
    """What the ledger says that calls of this tier's targets used, by day and model."""
    bill: Bill = {}
    for line in lines:
        if line.total or not line.group[_PAID].startswith(f"{tier}/"):
            continue
        amounts = bill.setdefault((line.group[_DAY], same_model(line.group[_MODEL])), Amounts())
        cached = line.cache_read_tokens + line.cache_write_tokens
        amounts.add(
            {"input": line.input_tokens - cached, "cache_write": line.cache_write_tokens,
             "cache_read": line.cache_read_tokens, "output": line.output_tokens}, line.cost,
        )  # fmt: skip
        amounts.open_attempts += line.open_attempts
        amounts.faults += line.faults
    return bill


def _without(filters: Sequence[ReportFilter]) -> list[ReportFilter]:
    for one in filters:
        if one.dimension in ("day", "model", "paid"):
            raise click.BadParameter(f"an invoice is compared by day and model: leave {one.dimension} out", param_hint="--only")
    return list(filters)


def _mapping(mapping: Sequence[str]) -> tuple[dict[str, str], str]:
    columns: dict[str, str] = {}
    for text in mapping:
        name, equals, column = text.partition("=")
        if not equals or not column:
            named = f"one of {', '.join(FIELDS)} or tier"
            raise click.BadParameter(f"{text!r} must be NAME=COLUMN, where NAME is {named}", param_hint="--map")
        columns[name] = column
    return columns, columns.pop("tier", _TIER)


def _print(differences: Sequence[Difference]) -> None:
    head = ["day", "model", "tokens here", "there", "cost here", "there", "difference", "likely because"]
    rows = []
    for one in differences:
        here, there = one.ours, one.theirs
        apart = "-" if here.cost is None or there.cost is None else dollars(there.cost - here.cost)
        rows.append((one.day, one.model, _sum(here), _sum(there), _cost(here), _cost(there), apart, "; ".join(one.reasons) or "agrees"))
    print_table("Invoice", head, rows)
    agreed = sum(one.agrees for one in differences)
    console().print(f"{agreed} of {len(differences)} lines agree within half a per cent.", markup=False)


def _sum(amounts: Amounts) -> object:
    return "-" if amounts.tokens is None else sum(amounts.tokens.values())


def _cost(amounts: Amounts) -> str:
    return "-" if amounts.cost is None else dollars(amounts.cost)


def _record(one: Difference) -> dict[str, Any]:
    made: dict[str, Any] = {"day": one.day, "model": one.model, "agrees": one.agrees, "reasons": list(one.reasons)}
    for side, amounts in (("ours", one.ours), ("theirs", one.theirs)):
        tokens = dict.fromkeys(TOKENS) if amounts.tokens is None else amounts.tokens
        made[side] = {**tokens, "cost_micro_dollars": amounts.cost}
    return made
