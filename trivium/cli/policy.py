"""`trivium policy check`."""

from pathlib import Path

import click

from trivium.cli.screen import json_option, print_json
from trivium.core.errors import BadPolicy
from trivium.core.policy import Policy
from trivium.policy import load
from trivium.policy.notes import notes


@click.group()
def policy() -> None:
    """The file that decides: targets, endpoints, task types, rules, tenants."""


@policy.command(epilog="Example: trivium policy check examples/support/policy.yaml")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--with", "fragments", multiple=True, type=click.Path(path_type=Path), metavar="FRAGMENT",
              help="Check it with a fragment's prompts in the place of its own (trivium prompts slim writes such).")
@json_option
def check(path: Path, fragments: tuple[Path, ...], as_json: bool) -> int:
    """Validate a policy as a whole: every problem with line and field. Exit status 1 when it would be refused."""
    try:
        found = load(path, fragments)
    except BadPolicy as error:
        if as_json:
            print_json({"ok": False, "problems": list(error.problems)})
        else:
            click.echo("\n".join(error.problems))
            click.echo(f"{path}: {len(error.problems)} problem(s); a mesh would keep its old policy", err=True)
        return 1
    if as_json:
        print_json({"ok": True, **_summary(found), "notes": list(notes(found))})
    else:
        click.echo(f"{path}: good. " + ", ".join(f"{value} {name}" for name, value in _summary(found).items()))
        for note in notes(found):
            click.echo(f"note: {note}")
    return 0


def _summary(found: Policy) -> dict[str, object]:
    return {
        "revision": found.revision, "targets": len(found.targets), "task_types": len(found.tasks),
        "endpoints": len(found.endpoints), "rules": len(found.rules), "tenants": len(found.tenants),
        "experiments": len(found.experiments), "budgets": len(found.budgets),
    }  # fmt: skip
