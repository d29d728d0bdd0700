"""A result as a fragment of a policy, with what it stands on written above it."""

from typing import Any

import yaml

from trivium.core.policy import TaskSpec
from trivium.economy.edits import changed
from trivium.economy.intervals import Interval
from trivium.economy.slimming import Slimmed


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, lists of pairs with each pair on lines of its own."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def written(task: str, today: TaskSpec, result: Slimmed) -> str:
    """The YAML text. Only keys whose values differ from the policy's are in it."""
    values: dict[str, Any] = changed(today, result.after.spec)
    if "system" in values:
        values["system"] = str(values["system"]) + "\n"
    body = yaml.dump({"tasks": {task: values}}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    head = (
        f"# Measured by `trivium prompts slim` on {len(result.before.right)} questions that the search did not see.",
        f"# Tokens saved: {shown(result.saved)}. Right answers: {shown(result.before.quality)} before,",
        f"# {shown(result.after.quality)} after; difference {points(result.lost)}, margin {result.margin * 100:g} points.",
        "# Not in force: put the values into the policy and raise its revision.",
        "#",
        "#     trivium policy check POLICY --with THIS-FILE",
    )
    return "\n".join(head) + "\n" + body


def shown(interval: Interval) -> str:
    """`34.1 % (32.0 to 36.2)`."""
    return f"{interval.value * 100:.1f} % ({interval.low * 100:.1f} to {interval.high * 100:.1f})"


def points(interval: Interval) -> str:
    """`-1.0 points (-4.2 to +2.0)`."""
    return f"{interval.value * 100:+.1f} points ({interval.low * 100:+.1f} to {interval.high * 100:+.1f})"
