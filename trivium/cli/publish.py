"""`trivium publish`: a file of the user's own, asked row by row through Kafka."""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress, TaskID

from trivium.cli.rows import FieldMap, ResultFile, Row, parse_pairs, problem_row, read_rows, result_row
from trivium.cli.screen import (
    dollars,
    json_option,
    kafka_option,
    print_json,
    print_records,
    print_table,
    progress,
    run,
    settings,
)
from trivium.client import KafkaClient
from trivium.client.kafka_client import KafkaClientOptions
from trivium.core.errors import BadRequest, Unreachable
from trivium.kafka.topics import RESPONSES
from trivium.keys.own import own_key
from trivium.settings import KafkaSettings, ToolSettings


@dataclass(slots=True)
class Sums:
    """What a run came to."""

    rows: int = 0
    terminals: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    cost_micro_dollars: int = 0
    unanswered: int = 0
    results: list[dict[str, Any]] = field(default_factory=list)

    def add(self, result: dict[str, Any]) -> None:
        self.rows += 1
        self.terminals[str(result["terminal"])] += 1
        self.tiers[str(result["tier"] or "nobody")] += 1
        self.cost_micro_dollars += int(result["cost_micro_dollars"] or 0)
        self.unanswered += result["terminal"] != "answered"


@click.command(epilog="Example: trivium publish tickets.csv --map prompt=message --map id=ticket --set endpoint=/classify -o out.csv")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--map", "columns", multiple=True, metavar="FIELD=COLUMN", help="Which column is which field of a request.")
@click.option("--set", "constants", multiple=True, metavar="FIELD=VALUE", help="The same for every row (endpoint=/auto).")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Results as .jsonl or .csv.")
@click.option("--tenant", help="Who asks; default TRIVIUM_TENANT or acme.")
@click.option("--reply-topic", default=RESPONSES, show_default=True, help="Where the tenant's answers come.")
@click.option("--in-flight", default=32, show_default=True, type=click.IntRange(1, 10_000), help="Unanswered at most.")
@click.option("--timeout", "timeout_s", default=120.0, show_default=True, help="Seconds to wait for one answer.")
@kafka_option
@json_option
def publish(path: Path, columns: tuple[str, ...], constants: tuple[str, ...], output: Path | None, tenant: str | None,
            reply_topic: str, in_flight: int, timeout_s: float, kafka: str | None, as_json: bool) -> int:  # fmt: skip
    """Ask every row of a .jsonl or .csv file and wait for the answers. Columns named like request fields need no --map.
    Rows that name no endpoint, task type or target go to /auto.

    Exit status 1 when a row was not answered; the results say why."""
    whose = tenant or settings(ToolSettings).tenant
    mapping = FieldMap(parse_pairs(columns, "--map"), parse_pairs(constants, "--set"))
    at = settings(KafkaSettings, kafka=kafka)
    options = KafkaClientOptions(partitions=at.partitions, in_flight=in_flight, timeout_ms=int(timeout_s * 1000),
                                 fetch_max_wait_ms=at.fetch_max_wait_ms, connect_timeout_ms=at.connect_timeout_ms, key=own_key(os.environ))  # fmt: skip
    rows = list(read_rows(path, mapping, whose))
    sums = run(_publish(KafkaClient(at.bootstrap, whose, reply_topic, options=options), rows, output, as_json))
    if as_json:
        print_json({"rows": sums.rows, "terminals": sums.terminals, "tiers": sums.tiers,
                    "cost_micro_dollars": sums.cost_micro_dollars})  # fmt: skip
    else:
        _print(sums, output)
    return 1 if sums.unanswered else 0


async def _publish(client: KafkaClient, rows: Iterable[Row], output: Path | None, as_json: bool) -> Sums:
    sums, rows = Sums(), list(rows)
    with contextlib.ExitStack() as stack, progress() as bar:
        file = stack.enter_context(contextlib.closing(ResultFile(output))) if output else None
        task = bar.add_task("answering rows", total=len(rows))
        # A bound of its own, so that the waiting rows are not all tasks at once.
        room = asyncio.Semaphore(client.room)
        async with client, asyncio.TaskGroup() as group:
            for row in rows:
                await room.acquire()
                work = group.create_task(_one(client, row, bar, task, sums, file, as_json))
                work.add_done_callback(lambda _done: room.release())
    return sums


async def _one(client: KafkaClient, row: Row, bar: Progress, task: TaskID, sums: Sums, file: ResultFile | None,
               as_json: bool) -> None:  # fmt: skip
    result = await _ask(client, row)
    sums.add(result)
    bar.advance(task)
    if file is not None:
        file.write(result)
    elif as_json:
        print_records([result])
    else:
        sums.results.append(result)


async def _ask(client: KafkaClient, row: Row) -> dict[str, Any]:
    if row.request is None:
        return problem_row(row)
    try:
        return result_row(row.number, await client.ask(row.request))
    except BadRequest as error:
        return problem_row(Row(row.number, None, f"{error.reason.message}; {error.reason.hint}"))
    except (TimeoutError, Unreachable) as error:
        return problem_row(Row(row.number, None, str(error))) | {"id": row.request.id, "terminal": "none yet"}


def _print(sums: Sums, output: Path | None) -> None:
    if output is None:
        shown = sorted(sums.results, key=lambda r: r["row"])[:20]
        rows = [(r["row"], r["terminal"], r["tier"], str(r["answer"] or r["message"])[:80]) for r in shown]
        print_table("The first rows (-o FILE keeps all)", ["row", "terminal", "tier", "answer or reason"], rows)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sums.terminals.most_common())
    tiers = ", ".join(f"{count} {tier}" for tier, count in sums.tiers.most_common())
    click.echo(f"{sums.rows} rows: {kinds}; by {tiers}; {dollars(sums.cost_micro_dollars)}" + (f"; results in {output}" if output else ""))
