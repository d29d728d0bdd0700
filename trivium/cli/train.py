"""`trivium train-classifier` and `trivium train-cache`: models of the user's own."""

from pathlib import Path

import click

from trivium.cache.training import CacheReport, Share
from trivium.cache.training import train_cache as train_verifier
from trivium.classifier.training import ClassifierReport
from trivium.classifier.training import train_classifier as train_head
from trivium.cli.screen import console, json_option, print_json, print_table
from trivium.embed.static import StaticEmbedder


@click.command("train-classifier", epilog="Example: trivium train-classifier examples/support/tasks.jsonl -o classifier.json")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the classifier is written.")
@click.option("--text", "text_column", default="text", show_default=True, help="Column of the text.")
@click.option("--label", "label_column", default="label", show_default=True, help="Column of the task type.")
@json_option
def train_classifier(path: Path, output: Path | None, text_column: str, label_column: str, as_json: bool) -> None:
    """Train the classifier behind `auto` on labelled JSONL or CSV. Prints its accuracy on texts that it did not see.

    Rows labelled `novel` (or oos) are never trained on: they measure how much work out of scope it notices. Name the file
    that is written in the policy (classifier.path)."""
    with console(to_stderr=True).status("training"):
        report = train_head(path, StaticEmbedder.load(), text_column, label_column, output)
    if as_json:
        print_json({"texts": report.texts, "accuracy": round(report.accuracy, 4), "oos_recall": round(report.out_of_scope_recall, 4),
                    "oos_texts": report.out_of_scope_texts, "false_novel": round(report.false_novel, 4), "output": str(output or "")})  # fmt: skip
        return
    _print_classifier(report, output)


def _print_classifier(report: ClassifierReport, output: Path | None) -> None:
    rows = [(label, f"{accuracy:.1%}") for label, accuracy in sorted(report.accuracy_by_label.items())]
    print_table(f"{report.texts} texts, accuracy on those held out", ["task type", "accuracy"], [("all", f"{report.accuracy:.1%}"), *rows])
    click.echo(f"out of scope noticed: {report.out_of_scope_recall:.1%} of {report.out_of_scope_texts} ({report.out_of_scope_how}), "
               f"while {report.false_novel:.1%} of known work is called novel")  # fmt: skip
    click.echo(f"written to {output}; classifier.path in the policy uses it" if output else "nothing was written: -o FILE keeps it")


@click.command("train-cache", epilog="Example: trivium train-cache examples/support/pairs.jsonl -o verifier.json")
@click.argument("pairs", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the verifier is written.")
@click.option("--wrong-rate", default=0.008, show_default=True, help="The share of wrong hits that the bar is set for.")
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
