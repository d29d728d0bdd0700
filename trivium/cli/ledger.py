"""`trivium ledger`: what was spent, by whatever one asks."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import click

from trivium.cli.log import ledger_records, since
from trivium.cli.screen import dollars, json_option, kafka_option, print_records, print_table, run, settings
from trivium.settings import KafkaSettings
from trivium.v1.records_pb2 import LedgerRecord

Key = Callable[[LedgerRecord], str]
KEYS: dict[str, Key] = {
    "tier": lambda r: r.terminal.tier or r.terminal.kind or r.role,
    "target": lambda r: r.terminal.target or r.stray.target,
    "task": lambda r: r.terminal.task_type,
    "tenant": lambda r: r.terminal.identity.tenant or r.stray.identity.tenant,
    "team": lambda r: r.team,
    "application": lambda r: r.application,
    "use_case": lambda r: r.use_case,
    "user_tier": lambda r: r.user_tier,
    "end_user": lambda r: r.end_user,
    "terminal": lambda r: r.terminal.kind or r.role,
    "door": lambda r: r.door,
}


@dataclass(slots=True)
class Sum:
    """What the records of one key come to. Costs are micro-dollars; tokens of retrieved context are part of the input."""

    requests: int = 0
    cost_micro_dollars: int = 0
    all_cloud_micro_dollars: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    context_tokens: int = 0
    tool_tokens: int = 0
    attempts: int = 0
    strays: int = 0

    def add(self, record: LedgerRecord) -> None:
        """Terminals count their whole request; strays only their own cost."""
        if record.role == "stray":
            self.strays += 1
            self.cost_micro_dollars += record.stray.cost_micro_dollars
            return
        terminal = record.terminal
        self.requests += 1
        self.cost_micro_dollars += terminal.cost_micro_dollars
        self.all_cloud_micro_dollars += terminal.all_cloud_micro_dollars
        self.input_tokens += terminal.usage.input_tokens
        self.output_tokens += terminal.usage.output_tokens
        self.context_tokens += terminal.usage.context_tokens
        self.tool_tokens += terminal.usage.tool_tokens
        self.attempts += len(terminal.attempts)


@click.command(epilog="Example: trivium ledger --by team,target --since 24h")
@click.option("--by", default="tier", show_default=True, help=f"Columns, comma-separated: {', '.join(KEYS)}.")
@click.option("--since", "span", metavar="SPAN", help="Only the last 30m, 2h, 7d; default everything that is kept.")
@click.option("--tenant", help="Only this tenant.")
@kafka_option
@json_option
def ledger(by: str, span: str | None, tenant: str | None, kafka: str | None, as_json: bool) -> None:
    """Cost by tier, target, task, team, application, use case, user tier, end user: summed from the ledger topic."""
    columns = [name.strip() for name in by.split(",") if name.strip()]
    if unknown := [name for name in columns if name not in KEYS]:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(KEYS)}", param_hint="--by")
    try:
        start = since(span)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None
    sums = run(_sum(settings(KafkaSettings, kafka=kafka), columns, start, tenant))
    rows = sorted(sums.items(), key=lambda item: -item[1].cost_micro_dollars)
    if as_json:
        print_records({**dict(zip(columns, key, strict=True)), **dataclasses.asdict(total)} for key, total in rows)
        return
    head = [*columns, "requests", "cost", "all-cloud", "input", "of it context", "of it tools", "output", "attempts", "strays"]
    print_table("Ledger", head, [(*key, *_cells(total)) for key, total in [*rows, _total(columns, sums)]])


async def _sum(kafka: KafkaSettings, columns: list[str], start: int, tenant: str | None) -> dict[tuple[str, ...], Sum]:
    sums: dict[tuple[str, ...], Sum] = defaultdict(Sum)
    async for record in ledger_records(kafka, start):
        if tenant is None or KEYS["tenant"](record) == tenant:
            sums[tuple(KEYS[name](record) or "-" for name in columns)].add(record)
    return sums


def _total(columns: list[str], sums: dict[tuple[str, ...], Sum]) -> tuple[tuple[str, ...], Sum]:
    names = [f.name for f in dataclasses.fields(Sum)]
    total = Sum(**{name: sum(getattr(s, name) for s in sums.values()) for name in names})
    return ("total", *[""] * (len(columns) - 1)), total


def _cells(s: Sum) -> tuple[object, ...]:
    return (s.requests, dollars(s.cost_micro_dollars), dollars(s.all_cloud_micro_dollars), s.input_tokens,
            s.context_tokens, s.tool_tokens, s.output_tokens, s.attempts, s.strays)  # fmt: skip
