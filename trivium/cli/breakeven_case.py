"""The published case of `trivium breakeven --example`, step by step."""

from typing import Any

import click

from trivium.cli.breakeven_tables import said, show_sensitivity
from trivium.cli.screen import print_table
from trivium.economy.case import CLAIMED, NAME, PUBLISHED, Case, Routed, Worked
from trivium.economy.money import Amount


def figures(worked: Worked) -> dict[str, Any]:
    """One line of JSON. Amounts are whole units of the currency; the keys of the second volume say which it is."""
    scaled = _thousands(worked.case.scaled_volume)
    return {
        "example": NAME, "currency": worked.case.endpoint.currency, "volume": worked.case.volume,
        "all_cloud": worked.all_cloud.units, "all_retrieval": worked.all_retrieval.units, "routed": worked.routed.total.units,
        "saved_share": round(float(worked.saved_share), 4),
        f"all_cloud_{scaled}": worked.scaled_cloud.units, f"routed_{scaled}": worked.scaled.total.units,
        "break_even": worked.verdict.break_even,
    }  # fmt: skip


def show(worked: Worked) -> None:
    """Every step of the arithmetic, and what does not add up in the source."""
    case = worked.case
    print_table(f"{NAME}: {case.volume:,} requests a month", ["month", "arithmetic", "comes to"], [
        ("all to the cloud", f"{case.volume:,} x {case.api}", str(worked.all_cloud)),
        ("all by retrieval", f"{worked.embedding} embedding + {case.vector_store} vector store + {worked.inference} inference",
         str(worked.all_retrieval)),
        *_routed_rows(case, worked.routed),
    ])  # fmt: skip
    saved = worked.all_cloud - worked.routed.total
    click.echo(f"saved against all-cloud: {worked.all_cloud} - {worked.routed.total} = {saved}, {float(worked.saved_share):.0%}\n")
    print_table(f"at {case.scaled_volume:,} requests a month", ["month", "arithmetic", "comes to"], [
        ("all to the cloud", f"{case.scaled_volume:,} x {case.api}", str(worked.scaled_cloud)),
        *_routed_rows(case, worked.scaled),
    ])  # fmt: skip
    if case == PUBLISHED:
        _what_does_not_follow(worked)
    click.echo(f"\nThe endpoint alone, for its {worked.verdict.volume:,} requests:")
    for name, ranges in worked.verdict.against:
        click.echo(f"  beats {name:<10} {said(ranges)}")
    click.echo(f"  beats both       {said(worked.verdict.against_all)}\n")
    show_sensitivity(worked.verdict)
    click.echo("Every input can be changed: trivium breakeven --example support-saas --volume 400000 --api-price 0.02 (--help lists them)")


def _routed_rows(case: Case, routed: Routed) -> list[tuple[str, str, str]]:
    own, looked_up, rest = routed.requests
    training = f" + {case.training} / {case.months} months of training" if case.training.micro else ""
    return [
        (f"routed {'/'.join(map(str, case.shares))}", "", ""),
        ("  fine-tuned", f"{own:,} requests: {case.endpoint} fixed{training}", str(routed.endpoint)),
        ("  retrieval", f"{looked_up:,} requests: {routed.retrieval_fixed} fixed + {looked_up:,} x {case.routed_retrieval} = "
                        f"{routed.retrieval_requests}", str(routed.retrieval)),
        ("  cloud", f"{rest:,} x {case.api}", str(routed.cloud)),
        ("  together", f"{routed.endpoint} + {routed.retrieval} + {routed.cloud}", str(routed.total)),
    ]  # fmt: skip


def _what_does_not_follow(worked: Worked) -> None:
    routed, case = worked.routed, worked.case
    own_rate = case.embedding + case.inference
    click.echo(
        f"The source says that the routed month comes to {CLAIMED}. That does not follow from its own table: {routed.endpoint} + "
        f"{routed.retrieval} + {routed.cloud} = {routed.total}, which is {CLAIMED - routed.total} less. What follows is shown here."
    )
    same: Amount = own_rate * routed.requests[1]
    click.echo(
        f"It also counts {routed.retrieval_requests} for the {routed.requests[1]:,} requests of retrieval; at its own all-retrieval "
        f"price of {own_rate} a request they are {same} (--routed-retrieval-price {float(own_rate.micro) / 1e6:g})."
    )


def _thousands(volume: int) -> str:
    return f"{volume // 1000}k" if volume % 1000 == 0 else str(volume)
