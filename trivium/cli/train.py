"""`trivium train-classifier` and `trivium train-cache`: models of the user's own."""

from pathlib import Path

import click

from trivium.cache.training import CacheReport, Share
from trivium.cache.training import train_cache as train_verifier
from trivium.cli.screen import console, json_option, print_json, print_table
from trivium.embed.static import StaticEmbedder


@click.command("train-cache", epilog="Example: trivium train-cache examples/support/pairs.jsonl -o verifier.json")
@click.argument("pairs", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the verifier is written.")
@click.option("--wrong-rate", default=0.01, show_default=True, help="The share of wrong hits that the bar is set for.")
@json_option
def train_cache(pairs: Path, output: Path | None, wrong_rate: float, as_json: bool) -> None:
    """Train the cache's verifier on pairs of questions, JSONL with a, b and same. Prints hits and wrong hits held out.

    Point TRIVIUM_VERIFIER at the file that is written."""
    with console(to_stderr=True).status("training, a few seconds for a thousand pairs"):
        report = train_verifier(pairs, StaticEmbedder.load(), wrong_rate, output)
    if as_json:
        print_json({"pairs": report.pairs, "hits": _plain(report.hits), "wrong_hits": _plain(report.wrong),
                    "output": str(output or "")})  # fmt: skip
        return
    print_table(f"{report.pairs} pairs; of those held out", ["kind", "pairs", "hits", "rate", "95 % interval"], _rows(report))
    click.echo(f"written to {output}; TRIVIUM_VERIFIER={output} uses it" if output else "nothing was written: -o FILE keeps it")


def _rows(report: CacheReport) -> list[tuple[object, ...]]:
    head = [("one answer: hits", report.hits), ("different answers: wrong hits", report.wrong)]
    kinds = [(f"  {kind}", share) for shares in (report.hits_by_kind, report.wrong_by_kind) for kind, share in shares.items()]
    return [(kind, s.n, s.k, f"{s.rate:.1%}", f"{s.low:.1%} to {s.high:.1%}") for kind, s in (*head, *kinds)]


def _plain(share: Share) -> dict[str, float]:
    return {"count": share.k, "of": share.n, "rate": round(share.rate, 4), "low": round(share.low, 4), "high": round(share.high, 4)}
