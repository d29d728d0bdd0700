"""Reading of a YAML tree that remembers where everything stands, and goes on after a problem so that all are told at once."""

import re
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from typing import Final, TypeVar

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from trivium.core.near import hint, quoted

E = TypeVar("E", bound=Enum)

TAG: Final = "tag:yaml.org,2002:"
WHOLE: Final = re.compile(r"[+-]?[0-9][0-9_]*\Z")
DECIMAL: Final = re.compile(r"[+-]?(?:[0-9][0-9_]*)?(?:\.[0-9]+)?\Z")
KINDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "str": "a text",
}
MICRO: Final = 1_000_000
MOST_DOLLARS: Final = 1_000_000
"""Of a price: what a million tokens, a request or a month may cost. Sums of costs stay far below 64 bits."""
NAME: Final = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_./-]{0,63}\Z")


class Report:
    """The problems of one file, in the order in which they were met."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._found: list[tuple[int, str]] = []

    def problem(self, node: Node, path: str, message: str) -> None:
        line = node.start_mark.line + 1
        self._found.append((line, f"{node.start_mark.name}:{line}: {path + ': ' if path else ''}{message}"))

    @property
    def problems(self) -> tuple[str, ...]:
        """By line."""
        return tuple(text for _, text in sorted(self._found, key=lambda found: found[0]))


class Section:
    """A mapping of the file. Every key that is asked for is a known key; `close` tells of the others."""

    def __init__(self, node: MappingNode, path: str, report: Report) -> None:
        self.node, self.path, self.report = node, path, report
        self._values: dict[str, Node] = {}
        self._keys: dict[str, Node] = {}
        self._known: set[str] = set()
        for key, value in node.value:
            name = key.value if isinstance(key, ScalarNode) else ""
            if not name:
                report.problem(key, path, "a key must be a text")
            elif name in self._values:
                report.problem(
                    key,
                    self.at(name),
                    f"stands here a second time, first in line {self._keys[name].start_mark.line + 1}",
                )
            else:
                self._values[name], self._keys[name] = value, key

    def at(self, key: str) -> str:
        """The path of a key."""
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str) -> Node | None:
        self._known.add(key)
        return self._values.get(key)

    def has(self, key: str) -> bool:
        self._known.add(key)
        return key in self._values

    def problem(self, key: str, message: str) -> None:
        """A problem of the value of `key`; of the section when the key is not there."""
        self.report.problem(self._values.get(key, self.node), self.at(key), message)

    def close(self) -> None:
        for name, key in self._keys.items():
            if name not in self._known:
                self.report.problem(key, self.at(name), f"is not a key here; {hint(name, self._known)}")

    def names(self) -> Iterator[tuple[str, Node]]:
        """All entries of a section whose keys are names; a name that cannot be one is a problem."""
        for name, value in self._values.items():
            self._known.add(name)
            if NAME.match(name) is None:
                self.report.problem(
                    self._keys[name], self.at(name), "is not a name: letters, digits, `_`, `.`, `-` and `/`, at most 64"
                )
            else:
                yield name, value

    def required(self, key: str) -> bool:
        """Whether it is there; a problem when not."""
        if self.has(key):
            return True
        self.report.problem(self.node, self.at(key), "is missing")
        return False

    def section(self, key: str, required: bool = False) -> "Section | None":
        node = self.take(key)
        if node is None:
            if required:
                self.required(key)
            return None
        return as_section(node, self.at(key), self.report)

    def items(self, key: str) -> list[tuple[Node, str]]:
        """The entries of a list, each with its path."""
        node = self.take(key)
        if node is None:
            return []
        if not isinstance(node, SequenceNode):
            self.problem(key, f"must be a list, not {kind_of(node)}")
            return []
        return [(item, f"{self.at(key)}[{i}]") for i, item in enumerate(node.value)]

    def text(self, key: str, default: str = "") -> str:
        node = self.take(key)
        return default if node is None else as_text(node, self.at(key), self.report) or default

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, none twice."""
        found: list[str] = []
        for node, path in self.items(key):
            text = as_text(node, path, self.report)
            if text in found:
                self.report.problem(node, path, f"{quoted(text)} stands here a second time")
            elif text:
                found.append(text)
        return tuple(found)

    def word(self, key: str, kind: type[E], default: E) -> E:
        text = self.text(key)
        if not text:
            return default
        try:
            return kind(text)
        except ValueError:
            self.problem(key, f"{quoted(text)} is not one of the words; {hint(text, [w.value for w in kind])}")
            return default

    def words(self, key: str, kind: type[E]) -> frozenset[E]:
        """A list of words of a closed set."""
        found: set[E] = set()
        for node, path in self.items(key):
            text = as_text(node, path, self.report)
            try:
                found.add(kind(text))
            except ValueError:
                said = f"{quoted(text)} is not one of the words; {hint(text, [w.value for w in kind])}"
                if text:
                    self.report.problem(node, path, said)
        return frozenset(found)

    def flag(self, key: str, default: bool = False) -> bool:
        node = self.take(key)
        if node is None:
            return default
        if not isinstance(node, ScalarNode) or node.tag != TAG + "bool":
            self.problem(key, f"must be true or false, not {kind_of(node)}")
            return default
        return node.value.lower() in ("true", "yes", "on")

    def whole(self, key: str, default: int = 0, least: int = 0, most: int = 1 << 31) -> int:
        node = self.take(key)
        if node is None:
            return default
        if not isinstance(node, ScalarNode) or WHOLE.match(node.value) is None:
            self.problem(key, f"must be a whole number, not {kind_of(node)}")
            return default
        value = int(node.value.replace("_", ""))
        if not least <= value <= most:
            self.problem(key, f"is {value}, must be from {least} to {most}")
            return default
        return value

    def number(self, key: str, least: float, most: float) -> float | None:
        """A number in a range; None when it is not given."""
        node = self.take(key)
        value = None if node is None else as_decimal(node, self.at(key), self.report)
        if value is not None and not least <= value <= most:
            self.problem(key, f"is {value}, must be from {least:g} to {most:g}")
            return None
        return None if value is None else float(value)

    def micro_dollars(self, key: str, default: int = 0) -> int:
        """Dollars in the file, as a number or a text; exact."""
        node = self.take(key)
        value = None if node is None else as_decimal(node, self.at(key), self.report)
        if value is None:
            return default
        if value < 0:
            self.problem(key, f"is {value}, a price cannot be negative")
            return default
        if value > MOST_DOLLARS:
            self.problem(key, f"is {value}, which is beyond all measure; at most {MOST_DOLLARS:,} dollars")
            return default
        micro = value * MICRO
        if micro != int(micro):
            self.problem(key, f"is {value}, finer than a millionth of a dollar")
            return default
        return int(micro)


def as_section(node: Node, path: str, report: Report) -> Section | None:
    """None, and a problem, when the node is no mapping."""
    if isinstance(node, MappingNode):
        return Section(node, path, report)
    report.problem(node, path, f"must have keys and values, not {kind_of(node)}")
    return None


def as_text(node: Node, path: str, report: Report) -> str:
    """Empty, and a problem, when the node is no text."""
    if isinstance(node, ScalarNode) and node.tag == TAG + "str":
        return str(node.value)
    advice = "; put it into quotes" if isinstance(node, ScalarNode) and node.value else ""
    report.problem(node, path, f"must be a text, not {kind_of(node)}{advice}")
    return ""


def as_decimal(node: Node, path: str, report: Report) -> Decimal | None:
    """Exactly what the file says, never through a float."""
    if isinstance(node, ScalarNode) and node.value and DECIMAL.match(node.value):
        digits = node.value.replace("_", "")
        if any(c.isdigit() for c in digits):
            return Decimal(digits)
    report.problem(node, path, f"must be a number such as 0.25, not {kind_of(node)}")
    return None


def kind_of(node: Node) -> str:
    """What a node is, in words."""
    if isinstance(node, MappingNode):
        return "keys and values"
    if isinstance(node, SequenceNode):
        return "a list"
    if not isinstance(node, ScalarNode) or not node.value:
        return "nothing"
    return f"{KINDS.get(node.tag.removeprefix(TAG), 'a value')} ({quoted(node.value)})"
