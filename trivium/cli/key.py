"""`trivium key`: make API keys, and look at a keys file."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from trivium.cli.screen import json_option, print_json, print_table
from trivium.core.errors import BadSetting
from trivium.keys.file import DOORS, KeyFile, parse
from trivium.keys.key import ANY, digest_of, new_key, signing_of


@click.group()
def key() -> None:
    """API keys of the gRPC doors, and signatures of Kafka requests."""


@key.command(epilog="Example: trivium key new --tenant acme --team support --endpoint /classify --rate 50 --burst 100 --days 365")
@click.option("--tenant", required=True, help="Whose requests it may send; * for a part of the mesh.")
@click.option("--name", help="How logs and metrics call it; default the tenant and a few letters.")
@click.option("--team", default="", help="Bills go to this team, whatever the request says.")
@click.option("--door", "doors", multiple=True, type=click.Choice(DOORS), help="Default gateway.")
@click.option("--endpoint", "endpoints", multiple=True, help="Only these endpoints or task types; repeat it.")
@click.option("--target", "targets", multiple=True, help="Only these targets may be pinned; repeat it.")
@click.option("--rate", type=click.FloatRange(0.001), help="Calls a second, in each gateway process.")
@click.option("--burst", type=click.IntRange(1), help="Calls at once; default one second's.")
@click.option("--days", type=click.IntRange(1), help="Expires after so many days; default never.")
@click.option("--signing", is_flag=True, help="It also signs requests on Kafka; the tenant's must then be signed.")
@json_option
def new(tenant: str, name: str | None, team: str, doors: tuple[str, ...], endpoints: tuple[str, ...], targets: tuple[str, ...],
        rate: float | None, burst: int | None, days: int | None, signing: bool, as_json: bool) -> int:  # fmt: skip
    """Make a key: it is shown once, and the entry for the keys file (TRIVIUM_KEYS) with it.

    The entry holds a hash, not the key. With --signing it also holds a secret that requests can be signed with: keep such a
    file from other eyes."""
    if burst and not rate:
        raise BadSetting("--burst needs --rate")
    made = new_key()
    entry: dict[str, Any] = {}
    entry["name"] = name or f"{'mesh' if tenant == ANY else tenant}-{secrets.token_hex(3)}"
    entry |= {"sha256": digest_of(made).hex(), "tenant": tenant}
    optional = {"team": team, "doors": list(doors), "endpoints": list(endpoints), "targets": list(targets)}
    entry |= {field: value for field, value in optional.items() if value}
    if rate:
        entry["rate"] = {"per_second": rate, "burst": burst or max(1, round(rate))}
    if days:
        entry["expires"] = (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    if signing:
        entry["signing"] = signing_of(made).hex()
    line = f"  - {_flow(entry)}"
    parse(f"keys:\n{line}\n".encode(), "the new entry")
    if as_json:
        print_json({"key": made, "entry": entry})
    else:
        click.echo(f"{made}\n\nThis is the only time that the key is shown. Below `keys:` in the file of TRIVIUM_KEYS:\n\n{line}")
    return 0


@key.command(epilog="Example: trivium key check keys.yaml")
@click.argument("path", type=click.Path(exists=True, dir_okay=False))
@json_option
def check(path: str, as_json: bool) -> int:
    """Whether a keys file is right, and what is in it. Exit status 2 with every problem when it is not."""
    rows = []
    for found in KeyFile(path).current.all:
        expires = "never" if found.expires_ms is None else f"{datetime.fromtimestamp(found.expires_ms / 1000, UTC):%Y-%m-%d %H:%M}"
        rate = f"{found.per_second:g}/s, burst {found.burst}" if found.per_second else "any"
        may = [", ".join(sorted(names)) if names is not None else "any" for names in (found.endpoints, found.targets)]
        rows.append((found.name, found.tenant, found.team, " ".join(sorted(found.doors)), *may, rate, expires, "yes" if found.signing else "no"))
    head = ["key", "tenant", "team", "doors", "endpoints", "targets", "rate", "expires", "signs"]
    if as_json:
        for row in rows:
            print_json(dict(zip(head, row, strict=True)))
    else:
        print_table(f"Keys in {path}", head, rows)
    return 0


def _flow(value: Any) -> str:
    """YAML on one line; every text in quotes, so that no hash of digits becomes a number."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{value:g}" if isinstance(value, float) else str(value)
