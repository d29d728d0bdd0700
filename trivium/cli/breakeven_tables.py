"""What `trivium breakeven` prints of a comparison."""

from collections.abc import Sequence
from typing import Any

import click

from trivium.cli.screen import console, print_table
from trivium.economy.breakeven import Range, Verdict, by_price, by_volume_and_price
from trivium.economy.money import Amount
from trivium.economy.plot import picture, terminal

SHOWN_RANGES = 3


def show_all(verdicts: Sequence[Verdict], notes: Sequence[str]) -> None:
    """One task type in full, several in a table."""
    for note in notes:
        click.echo(note)
    if len(verdicts) == 1:
        show(verdicts[0])
        return
    names = list(dict.fromkeys(other.name for verdict in verdicts for other in verdict.others))
    rows = [_row(verdict, names) for verdict in sorted(verdicts, key=lambda v: -v.saved.micro)]
    print_table("A month at this volume", ["task type", "requests", "endpoint", *names, "break-even", "endpoint saves"], rows)
    if any(_gaps(verdict) for verdict in verdicts):
        click.echo("* dearer again at some volumes above it: --task says at which")
    click.echo("--task NAME shows one of them with its sensitivity and picture")


def _row(verdict: Verdict, names: Sequence[str]) -> tuple[object, ...]:
    costs = {other.name: str(other.cost(verdict.volume)) for other in verdict.others}
    return (verdict.task, verdict.volume, str(verdict.endpoint.cost(verdict.volume)), *(costs.get(name, "-") for name in names),
            _volume(verdict.break_even) + "*" * _gaps(verdict), str(verdict.saved))  # fmt: skip


def _gaps(verdict: Verdict) -> bool:
    """Whether the endpoint loses again somewhere above its break-even."""
    return bool(verdict.against_all) and (len(verdict.against_all) > 1 or verdict.against_all[-1].last is not None)


def show(verdict: Verdict) -> None:
    """One task type: what each road costs, where the endpoint wins, how that moves, and the picture."""
    volume, endpoint = verdict.volume, verdict.endpoint
    console().print(f"[bold]{verdict.task}[/], {volume:,} requests a month")
    rows = [(r.name, str(r.fixed(volume)), str(r.per_request), str(r.cost(volume))) for r in (endpoint, *verdict.others)]
    print_table("", ["road", "fixed a month", "a request", "a month at this volume"], rows)
    if endpoint.training.micro:
        click.echo(f"training {endpoint.training} over {endpoint.months} months is {endpoint.training_share} of the fixed price")
    if endpoint.capacity:
        click.echo(f"one endpoint carries {endpoint.capacity:,} a month; {endpoint.endpoints(volume):,} run at this volume")
    for name, ranges in verdict.against:
        click.echo(f"beats {name:<10} {said(ranges)}")
    if len(verdict.against) > 1:
        click.echo(f"beats all of them {said(verdict.against_all)}")
    sign = "saves" if verdict.saved.micro >= 0 else "costs more than the cheapest other road by"
    click.echo(f"at {volume:,} requests it {sign} {Amount(abs(verdict.saved.micro), verdict.saved.currency)} a month")
    show_sensitivity(verdict)
    click.echo(terminal(picture(verdict)) + "\n")


def show_sensitivity(verdict: Verdict) -> None:
    """The two tables of what happens when prices and volumes are other than thought."""
    priced = by_price(verdict)
    print_table("Break-even when prices change", ["change", "of the other roads", "of the endpoint"],
                [(_percent(p), _volume(others), _volume(own)) for p, others, own in priced])  # fmt: skip
    grid = by_volume_and_price(verdict)
    head = ["volume", "requests", *(_percent(p) for p, *_ in priced)]
    rows = [(_percent(p), volume, *(str(amount) for amount in amounts)) for p, volume, amounts in grid]
    print_table("Saved a month by the endpoint: volume (down) against the other roads' prices (across)", head, rows)


def said(ranges: Sequence[Range]) -> str:
    """Ranges of volumes in words."""
    if not ranges:
        return "at no volume"
    words = [f"from {r.first:,} requests a month" if r.last is None else f"from {r.first:,} to {r.last:,}" for r in ranges]
    if len(words) > SHOWN_RANGES:
        words = [*words[:SHOWN_RANGES], f"... ({len(words) - SHOWN_RANGES - 1} more)", words[-1]]
    return ", ".join(dict.fromkeys(words))


def _percent(percent: int) -> str:
    return f"{percent:+d} %" if percent else "as is"


def _volume(volume: int | None) -> str:
    return "never" if volume is None else f"{volume:,}"


def figures(verdict: Verdict) -> dict[str, Any]:
    """One line of JSON; amounts in units of the currency."""
    return {
        "task": verdict.task, "currency": verdict.endpoint.per_month.currency, "volume": verdict.volume,
        "endpoint": verdict.endpoint.cost(verdict.volume).units,
        **{other.name: other.cost(verdict.volume).units for other in verdict.others},
        "break_even": verdict.break_even,
        "break_even_by_road": {name: ranges[0].first if ranges else None for name, ranges in verdict.against},
        "wins": [[r.first, r.last] for r in verdict.against_all],
        "saved": verdict.saved.units,
        "sensitivity": [{"percent": p, "others": others, "endpoint": own} for p, others, own in by_price(verdict)],
    }  # fmt: skip
