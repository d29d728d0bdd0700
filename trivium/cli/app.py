"""The root command. Commands of other packages (demo, up) join by the entry point group `trivium.commands`."""

import importlib
import sys
from importlib.metadata import entry_points

import click

from trivium import __version__
from trivium.core.errors import TriviumError

GROUP = "trivium.commands"
OWN = {
    "ask": "ask:ask",
    "breakeven": "breakeven:breakeven",
    "budget": "budget:budget",
    "cache": "cache:cache",
    "deadletter": "deadletter:deadletter",
    "erase": "erase:erase",
    "feedback": "feedback:feedback",
    "ingest": "ingest:ingest",
    "key": "key:key",
    "ledger": "ledger:ledger",
    "policy": "policy:policy",
    "prompts": "prompts:prompts",
    "publish": "publish:publish",
    "report": "report:report",
    "topics": "topics:topics",
    "trace": "trace:trace",
    "train-cache": "train:train_cache",
    "train-classifier": "train:train_classifier",
    "why": "why:why",
}
"""Command -> module:name below trivium.cli, loaded only when it is asked for: together they take half a second."""


class Commands(click.Group):
    """Own commands, and those of installed packages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*OWN, *(e.name for e in entry_points(group=GROUP))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in OWN:
            module, _, name = OWN[cmd_name].partition(":")
            command: click.Command = getattr(importlib.import_module(f"trivium.cli.{module}"), name)
            return command
        found = next(iter(entry_points(group=GROUP, name=cmd_name)), None)
        return None if found is None else found.load()


@click.group(cls=Commands, epilog="Example: trivium ask 'How do I get a refund?' --endpoint /auto")
@click.version_option(__version__, prog_name="trivium")
def trivium() -> None:
    """Answers language-model requests by the cheapest of three roads: fine-tuned, retrieval, cloud."""


def main(arguments: list[str] | None = None) -> None:
    """Exit status: 0 done, 1 done and the answer is no (something missing, unequal or failed), 2 could not be done."""
    try:
        status = trivium.main(arguments, prog_name="trivium", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except TriviumError as error:
        click.echo(f"trivium: {error}", err=True)
        sys.exit(2)
    sys.exit(status if isinstance(status, int) else 0)
