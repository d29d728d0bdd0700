"""What the commands print: tables for people, one JSON object a line for pipes."""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from trivium.settings import KafkaSettings, S, read

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """--json on every command that prints."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")(function)


def kafka_option(function: F) -> F:
    """--kafka instead of TRIVIUM_KAFKA."""
    return click.option("--kafka", metavar="HOST:PORT", help="Kafka; default TRIVIUM_KAFKA or localhost:9092.")(function)


def console(to_stderr: bool = False) -> Console:
    """Where people read. Wide enough for tables when piped."""
    return Console(stderr=to_stderr, width=None if os.isatty(2 if to_stderr else 1) else 120, highlight=False)


def settings(cls: type[S], **overrides: str | None) -> S:
    """Settings of the environment, with TRIVIUM_<NAME>=value for each option that was given."""
    given = {f"TRIVIUM_{name.upper()}": value for name, value in overrides.items() if value}
    chosen = read(cls, os.environ | given)
    if not isinstance(chosen, KafkaSettings):
        return chosen
    # Not at the top: aiokafka is slow to import, and most commands' --help needs none of it.
    from trivium.kafka.security import secured

    return cast(S, secured(chosen))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command's coroutine."""
    return asyncio.run(work)


def print_json(record: Mapping[str, Any]) -> None:
    click.echo(json.dumps(record, ensure_ascii=False, default=str))


def print_records(records: Iterable[Mapping[str, Any]]) -> None:
    for record in records:
        print_json(record)


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Numbers to the right, words to the left."""
    rows = [tuple(row) for row in rows]
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for i, name in enumerate(head):
        numeric = bool(rows) and all(isinstance(row[i], (int, float)) or str(row[i])[:1] in "$0123456789-" for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    console().print(table)


def progress() -> Progress:
    """A bar on stderr, so that stdout stays pipeable; silent when nobody looks."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console(to_stderr=True),
    )


def dollars(micro: int) -> str:
    """Micro-dollars as people read them."""
    return f"${micro / 1_000_000:,.6f}" if abs(micro) < 1_000_000 else f"${micro / 1_000_000:,.2f}"
