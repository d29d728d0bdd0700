"""What every benchmark prints: tables for people, and one line of JSON last for programs."""

import json
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table


def print_table(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Prints rows of equal keys under their names, on standard output."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in rows[0] if rows else ():
        table.add_column(str(name), justify="right" if isinstance(rows[0][name], int | float) else "left")
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    Console(width=120, soft_wrap=True).print(table)


def finish(figures: Mapping[str, object], as_json: bool) -> None:
    """Prints the figures as one line of JSON when asked to, and as a table otherwise."""
    if as_json:
        print(json.dumps(dict(figures), ensure_ascii=False), flush=True)
    else:
        print_table("figures", [{"figure": name, "value": value} for name, value in figures.items()])


def _shown(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
