"""The root command. Commands of other packages (demo, up) join by the entry point group `trivium.commands`."""

import sys
from importlib.metadata import entry_points

import click

from trivium import __version__
from trivium.cli.ask import ask
from trivium.cli.cache import cache
from trivium.cli.deadletter import deadletter
from trivium.cli.ingest import ingest
from trivium.cli.ledger import ledger
from trivium.cli.policy import policy
from trivium.cli.publish import publish
from trivium.cli.topics import topics
from trivium.cli.trace import trace
from trivium.cli.train import train_cache, train_classifier
from trivium.cli.why import why
from trivium.core.errors import TriviumError

GROUP = "trivium.commands"
OWN = (ask, cache, deadletter, ingest, ledger, policy, publish, topics, trace, train_cache, train_classifier, why)


class Commands(click.Group):
    """Own commands, and those of installed packages, loaded only when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(e.name for e in entry_points(group=GROUP))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        found = next(iter(entry_points(group=GROUP, name=cmd_name)), None)
        return None if found is None else found.load()


@click.group(cls=Commands, epilog="Example: trivium ask 'How do I get a refund?' --endpoint /auto")
@click.version_option(__version__, prog_name="trivium")
def trivium() -> None:
    """Answers language-model requests by the cheapest of three roads: fine-tuned, retrieval, cloud."""


for command in OWN:
    trivium.add_command(command)


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
