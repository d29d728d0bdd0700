"""`trivium feedback`: how an answer was received."""

import os
from decimal import Decimal, InvalidOperation

import click

from trivium.cli.screen import json_option, print_json, run, settings
from trivium.client import TriviumClient
from trivium.core.request import Identity
from trivium.rpc.tls import read_dial
from trivium.settings import ToolSettings


@click.command(epilog="Example: trivium feedback ask-1b9f --unresolved --corrected 'Within 14 days.' --correction-dollars 0.80")
@click.argument("request_id")
@click.option("--resolved/--unresolved", "resolved", default=None, help="Whether it did what it was asked for.")
@click.option("--score", type=click.FloatRange(0, 1), help="How good it was, from 0 to 1.")
@click.option("--corrected", default="", help="What would have been right.")
@click.option("--correction-dollars", default="0", metavar="DOLLARS", help="What the correction cost: a person's time.")
@click.option("--source", default="", help="Who says so: a pseudonym or a program.")
@click.option("--replay", default=0, help="Replay number of the request.")
@click.option("--tenant", help="Whose request it is; default TRIVIUM_TENANT or acme.")
@click.option("--gateway", metavar="HOST:PORT", help="Default TRIVIUM_GATEWAY.")
@json_option
def feedback(request_id: str, resolved: bool | None, score: float | None, corrected: str, correction_dollars: str, source: str,
             replay: int, tenant: str | None, gateway: str | None, as_json: bool) -> None:  # fmt: skip
    """Say how an answer was received. Again and late is fine: what is said last counts."""
    tool = settings(ToolSettings, gateway=gateway, tenant=tenant)
    identity = Identity(tool.tenant, request_id, replay)
    outcome = "" if resolved is None else "resolved" if resolved else "unresolved"
    run(_say(tool.endpoint, identity, outcome, score, corrected, _micro_dollars(correction_dollars), source))
    if as_json:
        print_json({"tenant": tool.tenant, "id": request_id, "replay": replay, "outcome": outcome})
    else:
        click.echo(f"noted for {identity}; trivium report --columns outcomes shows what it comes to")


async def _say(address: str, identity: Identity, outcome: str, score: float | None, corrected: str, cost: int, source: str) -> None:
    dial = read_dial(os.environ)
    async with TriviumClient(address, key=dial.key, credentials=dial.credentials) as client:
        await client.feedback(
            identity, outcome, score=score, corrected_text=corrected, correction_micro_dollars=cost, source=source
        )


def _micro_dollars(text: str) -> int:
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise click.BadParameter(f"{text!r} must be dollars, like 0.80", param_hint="--correction-dollars")
    return int(amount * 1_000_000)
