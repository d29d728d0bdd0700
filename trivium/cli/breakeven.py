"""`trivium breakeven`: from which volume a fixed endpoint pays."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from trivium.cli import breakeven_case
from trivium.cli.breakeven_tables import figures, show_all
from trivium.cli.screen import json_option, kafka_option, print_json, print_records
from trivium.economy import case as published
from trivium.economy.breakeven import Verdict, judge
from trivium.economy.case import Case
from trivium.economy.money import USD, Amount, BadFigure, currency_of, nothing, read_amount
from trivium.economy.plot import picture, svg
from trivium.economy.roads import road
from trivium.economy.scenario import read_scenario

FIGURES = ("volume", "endpoint_fee", "endpoint_price", "training", "months", "capacity", "api_price", "retrieval_fee", "retrieval_price")
CASE_ONLY = ("embedding_price", "inference_price", "vector_store", "routed_retrieval_price", "shares", "scaled_volume")
CASE_TOO = ("volume", "endpoint_fee", "training", "months", "api_price", "currency", *CASE_ONLY)
LEDGER_ONLY = ("since", "tenant", "kafka", "ledger", "db")


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The figures. Amounts are texts: `0.03`, `AU$9,000`, or `7200/300000` for so much for so many."""
    words = (
        ("--volume", int, "Requests a month."),
        ("--endpoint-fee", str, "What the fixed endpoint costs a month."),
        ("--endpoint-price", str, "What it costs for each request beyond that; default nothing."),
        ("--training", str, "What training it costs, once."),
        ("--months", int, "Months that training is spread over; default 12."),
        ("--capacity", int, "Requests that one endpoint carries a month; more need a second one."),
        ("--api-price", str, "What the API takes for a request."),
        ("--retrieval-fee", str, "What is fixed of retrieval a month (vector store)."),
        ("--retrieval-price", str, "What retrieval takes for a request (embedding and inference)."),
        ("--currency", str, "A label such as AUD; default USD, for the example AUD. Two are never mixed."),
        ("--embedding-price", str, "Example: embedding of one request; default 150/300000."),
        ("--inference-price", str, "Example: inference of one request; default 7200/300000."),
        ("--vector-store", str, "Example: vector store a month; default 200."),
        ("--routed-retrieval-price", str, "Example: one of the requests routed to retrieval; default 1900/75000."),
        ("--shares", str, "Example: percent of endpoint/retrieval/cloud; default 60/25/15."),
        ("--scaled-volume", int, "Example: the second volume; default 600000."),
    )
    for name, kind, text in reversed(words):
        function = click.option(name, type=kind, help=text, metavar="N" if kind is int else "AMOUNT" if name not in ("--shares", "--currency") else "WORD")(function)
    return function


@click.command(epilog="Example: trivium breakeven --volume 180000 --endpoint-fee 800 --api-price 0.03 --retrieval-fee 200 --retrieval-price 0.0245")
@click.option("--example", type=click.Choice([published.NAME]), help="Work a published case through, step by step.")
@click.option("--file", "path", type=click.Path(path_type=Path), metavar="FILE.yaml", help="A scenario of several task types.")
@_options
@click.option("--task", metavar="NAME", help="Of a file or the ledger: only this task type, with every table.")
@click.option("--since", metavar="SPAN", help="Of the ledger: only the last 30m, 2h, 7d; default everything that is kept. The store counts whole days.")
@click.option("--tenant", help="Of the ledger: only this tenant.")
@click.option("--ledger", metavar="HOST:PORT", help="Ask the ledger's store instead of its topic.")
@click.option("--db", metavar="URL", help="Ask the store's database itself: a file name (SQLite) or a PostgreSQL URL.")
@click.option("--policy", "policy_path", type=click.Path(path_type=Path), metavar="FILE", help="Where the endpoints' prices stand; default TRIVIUM_POLICY.")
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), metavar="FILE.svg", help="Draw the costs over the volume.")
@kafka_option
@json_option
def breakeven(example: str | None, path: Path | None, policy_path: Path | None, plot_path: Path | None, task: str | None, as_json: bool,
              **given: Any) -> int:  # fmt: skip
    """The monthly volume from which a fixed fine-tuned endpoint beats the API and retrieval, for each task type.

    From the ledger, from a scenario file, from figures given as flags, or a published case. Exit status 1 when the
    endpoint wins at no volume."""
    given = {name: value for name, value in given.items() if value is not None}
    _belongs(example, path, given)
    if example:
        case = _case(given)
        worked = published.work(case)
        verdicts = [worked.verdict]
        if as_json:
            print_json(breakeven_case.figures(worked))
        else:
            breakeven_case.show(worked)
    else:
        verdicts, notes = _verdicts(path, policy_path, task, given)
        verdicts = [verdict for verdict in verdicts if task in (None, verdict.task)]
        if not verdicts:
            raise BadFigure(f"--task: there are no figures for {task!r}")
        if as_json:
            print_records(map(figures, verdicts))
        else:
            show_all(verdicts, notes)
    if plot_path is not None:
        _draw(plot_path, verdicts, quiet=as_json)
    return 0 if any(verdict.against_all for verdict in verdicts) else 1


def _belongs(example: str | None, path: Path | None, given: dict[str, Any]) -> None:
    """Flags of another way of asking are refused, not ignored."""
    if example and path:
        raise click.UsageError("--example and --file are two ways of asking; give one")
    for name in given:
        flag = f"--{name.replace('_', '-')}"
        if example and name not in CASE_TOO:
            raise click.UsageError(f"{flag} is none of the inputs of --example {example}")
        if not example and name in CASE_ONLY:
            raise click.UsageError(f"{flag} is an input of --example {published.NAME}")
        if path and name in (*FIGURES, "currency", *LEDGER_ONLY):
            raise click.UsageError(f"{flag} and --file: the file has the figures")


def _case(given: dict[str, Any]) -> Case:
    currency = currency_of(given["currency"], "--currency") if "currency" in given else published.CURRENCY
    base = published.PUBLISHED
    names = {"api": "api_price", "embedding": "embedding_price", "inference": "inference_price", "vector_store": "vector_store",
             "routed_retrieval": "routed_retrieval_price", "endpoint": "endpoint_fee", "training": "training"}  # fmt: skip
    amounts = {field: _amount(given, flag, currency) or Amount(getattr(base, field).micro, currency) for field, flag in names.items()}
    shares = _shares(given["shares"]) if "shares" in given else base.shares
    return Case(given.get("volume", base.volume), given.get("scaled_volume", base.scaled_volume), shares,
                months=given.get("months", base.months), **amounts)  # fmt: skip


def _shares(text: str) -> tuple[int, int, int]:
    parts = text.split("/")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        raise BadFigure(f"--shares: {text!r} must be three whole percentages that sum to 100, like 60/25/15")
    own, looked_up, rest = (int(part) for part in parts)
    return own, looked_up, rest


def _verdicts(
    path: Path | None, policy_path: Path | None, task: str | None, given: dict[str, Any]
) -> tuple[list[Verdict], Sequence[str]]:
    if path is not None:
        return read_scenario(path), ()
    currency = currency_of(given.get("currency", USD), "--currency")
    amounts = {name: _amount(given, name, currency) for name in FIGURES if name not in ("volume", "months", "capacity")}
    if "volume" in given and given["volume"] < 1:
        raise BadFigure(f"--volume: is {given['volume']}, must be at least one request a month")
    whole = {name: given.get(name, default) for name, default in (("months", 12), ("capacity", 0))}
    if given.keys() & {*LEDGER_ONLY} or not given.keys() & {"endpoint_fee", "api_price", "retrieval_price"} or _only_endpoint(given):
        # Not at the top: the ledger's readers take longer to import than the arithmetic takes.
        from trivium.cli.breakeven_ledger import judged_ledger

        return judged_ledger(policy_path, given | {"task": task}, amounts, currency, **whole)
    return [_given(given.get("volume"), amounts, currency, **whole)], ()


def _only_endpoint(given: dict[str, Any]) -> bool:
    """The endpoint's price is said, and nothing that it could be compared with: the ledger knows the rest."""
    return not given.keys() & {"api_price", "retrieval_price", "volume"}


def _given(volume: int | None, amounts: dict[str, Amount | None], currency: str, months: int, capacity: int) -> Verdict:
    """From flags alone. BadFigure names the first flag that is missing."""
    none = nothing(currency)
    fee, api, looked_up = amounts["endpoint_fee"], amounts["api_price"], amounts["retrieval_price"]
    if volume is None:
        raise BadFigure("--volume is missing: requests a month, for example --volume 180000")
    if fee is None:
        raise BadFigure("--endpoint-fee is missing: what the fixed endpoint costs a month, for example --endpoint-fee 800")
    if api is None and looked_up is None:
        raise BadFigure("--api-price is missing: what the API takes for a request, for example --api-price 0.03")
    if looked_up is None and amounts["retrieval_fee"] is not None:
        raise BadFigure("--retrieval-price is missing: --retrieval-fee alone is no price for a request")
    endpoint = road("endpoint", fee, amounts["endpoint_price"] or none, amounts["training"], months, capacity)
    others = [road("api", none, api)] if api is not None else []
    others += [road("retrieval", amounts["retrieval_fee"] or none, looked_up)] if looked_up is not None else []
    return judge("requests", volume, endpoint, others)


def _amount(given: dict[str, Any], name: str, currency: str) -> Amount | None:
    return read_amount(given[name], currency, f"--{name.replace('_', '-')}") if name in given else None


def _draw(path: Path, verdicts: Sequence[Verdict], quiet: bool) -> None:
    if path.suffix.lower() != ".svg":
        raise BadFigure(f"--plot: {path} must end in .svg, which is what is drawn")
    try:
        path.write_text(svg([picture(verdict) for verdict in verdicts]), encoding="utf-8")
    except OSError as error:
        raise BadFigure(f"--plot: {path} cannot be written: {error.strerror or error}") from None
    click.echo(f"drawn: {path}", err=quiet)
