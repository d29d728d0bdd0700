"""`trivium ingest`: documents into a corpus."""

import dataclasses
import os
from pathlib import Path

import click

from trivium.cli.screen import json_option, print_json, print_table, progress, run, settings
from trivium.ingest.files import Selection, select
from trivium.ingest.send import Report, Sent
from trivium.ingest.send import ingest as send
from trivium.rpc.channels import channel
from trivium.rpc.tls import read_dial
from trivium.settings import GatewaySettings, ToolSettings


@click.command(epilog="Example: trivium ingest docs README.md --corpus docs")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--corpus", default="docs", show_default=True, help="One of the tenant's.")
@click.option("--tenant", help="Whose corpus; default TRIVIUM_TENANT or acme.")
@click.option("--retrieval", metavar="HOST:PORT", help="Retrieval service; default TRIVIUM_RETRIEVAL.")
@json_option
def ingest(paths: tuple[Path, ...], corpus: str, tenant: str | None, retrieval: str | None, as_json: bool) -> int:
    """Read Markdown, text, HTML and PDF into a corpus. A second run only touches what changed; removed files are forgotten.

    Exit status 1 when a file could not be read."""
    address = settings(GatewaySettings, retrieval=retrieval).retrieval
    report = run(_ingest(address, tenant or settings(ToolSettings).tenant, corpus, select(paths)))
    if as_json:
        print_json({"documents": [dataclasses.asdict(s) for s in report.sent], "forgotten": list(report.forgotten)})
    else:
        _print(report, corpus)
    return 1 if report.failed else 0


async def _ingest(address: str, tenant: str, corpus: str, selection: Selection) -> Report:
    with progress() as bar:
        task = bar.add_task("reading documents", total=len(selection.sources))

        def advance(_sent: Sent) -> None:
            bar.advance(task)

        async with channel(address, read_dial(os.environ)) as open_channel:
            return await send(open_channel, tenant, corpus, selection, advance)


def _print(report: Report, corpus: str) -> None:
    touched = [s for s in report.sent if s.state != "unchanged"]
    if touched:
        rows = [(s.document, s.state, s.passages, s.version, s.message) for s in touched]
        print_table(f"Corpus {corpus}", ["document", "state", "passages", "version", ""], rows)
    for document in report.forgotten:
        click.echo(f"forgotten: {document}")
    click.echo(f"{len(report.sent)} documents: {report.count('added')} added, {report.count('changed')} changed, "
               f"{report.count('unchanged')} unchanged, {len(report.failed)} failed, {len(report.forgotten)} forgotten")  # fmt: skip
