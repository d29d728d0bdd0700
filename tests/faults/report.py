"""The tables at the end of a run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.checker import Checked

_SHOWN = 5
FLOORS: Mapping[str, tuple[str, float]] = {
    "lost": ("<=", 0), "duplicates_seen": ("<=", 0), "recovery_p95_s": ("<=", 15.0), "traces_connected": (">=", 0.99),
    "retries_per_first": ("<=", 0.2),
}  # fmt: skip
"""What every run must reach, beside what its options ask."""
BY_CLOCK = frozenset(("recovery_p95_s", "traces_connected", "paid_twice_share", "crash_points"))
"""Of these and of what options ask, what a machine that is slow or busy may miss."""


def missed_floors(figures: Mapping[str, object], more: Mapping[str, tuple[str, float]]) -> Sequence[str]:
    """A sentence for each figure that is not what it must be."""
    wrong = []
    for name, (how, bar) in {**FLOORS, **more}.items():
        value = float(str(figures[name]))
        if (how == "<=" and value > bar) or (how == ">=" and value < bar):
            wrong.append(f"{name} is {value:g}, wanted {how} {bar:g}")
    return wrong


def show(checked: Checked, figures: Mapping[str, object], missed: Sequence[str]) -> None:
    """Promises and figures, for people."""
    console = Console(width=120, soft_wrap=True)
    promises = Table(title="What was promised", title_justify="left", title_style="bold")
    for name in ("promise", "looked at", "broken"):
        promises.add_column(name, justify="left" if name == "promise" else "right")
    for verdict in checked.verdicts:
        promises.add_row(verdict.promise, f"{verdict.looked:,}", str(len(verdict.broken)) if verdict.broken else "-")
    console.print(promises)
    table = Table(title="Figures", title_justify="left", title_style="bold")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name, ", ".join(f"{k} {v:,}" for k, v in value.items()) if isinstance(value, dict) else str(value))
    console.print(table)
    for verdict in checked.verdicts:
        for sentence in verdict.broken[:_SHOWN]:
            console.print(f"BROKEN {verdict.promise}: {sentence}")
        if len(verdict.broken) > _SHOWN:
            console.print(f"BROKEN {verdict.promise}: and {len(verdict.broken) - _SHOWN} more")
    for sentence in missed:
        console.print(f"MISSED {sentence}")


def in_markdown(checked: Checked, figures: Mapping[str, object], missed: Sequence[str], command: str) -> str:
    """The same as a page for docs/faults."""
    lines = [f"# A run of the fault harness, seed {figures['seed']}", "", "```", command, "```", "", "| promise | looked at | broken |", "|---|---|---|"]
    lines += [f"| {verdict.promise} | {verdict.looked:,} | {len(verdict.broken)} |" for verdict in checked.verdicts]
    lines += ["", "| figure | value |", "|---|---|"]
    for name, value in figures.items():
        lines.append(f"| `{name}` | {', '.join(f'{k} {v:,}' for k, v in value.items()) if isinstance(value, dict) else value} |")
    return "\n".join([*lines, *(["", *(f"Missed: {sentence}" for sentence in missed)] if missed else []), ""])


def keep(folder: Path, checked: Checked, figures: Mapping[str, object], missed: Sequence[str], command: str) -> None:
    """All of it, for later: report.json, and report.md."""
    (folder / "report.md").write_text(in_markdown(checked, figures, missed, command))
    verdicts = [{"promise": one.promise, "looked": one.looked, "broken": list(one.broken)} for one in checked.verdicts]
    told = {"figures": dict(figures), "missed": list(missed), "verdicts": verdicts}
    (folder / "report.json").write_text(json.dumps(told, indent=1))
