"""What the stages say, collected into a decision of bounded size."""

from collections.abc import Sequence

from trivium.core.decision import Decision, DecisionLine, Forbidden
from trivium.core.prompt import byte_length
from trivium.core.quick import replace

LINE_BYTES = 220
NAME_BYTES = 96
LINES = 24
FIRST_LINES = 14
FORBIDDEN = 16
CANDIDATES = 16
"""Together below 13 KiB; with the names of a decision below the promised 16 KiB."""


def clip(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8, with an ellipsis where something was cut."""
    if byte_length(text) <= limit:
        return text
    return text.encode("utf-8", "replace")[: limit - 3].decode("utf-8", "ignore") + "..."


def short(name: str) -> str:
    """A name of at most NAME_BYTES."""
    return name if len(name) <= NAME_BYTES // 4 else clip(name, NAME_BYTES)


class Trail:
    """Mutable on purpose: lives for one step, inside one function call."""

    __slots__ = ("forbidden", "lines")

    def __init__(self) -> None:
        self.lines: list[DecisionLine] = []
        self.forbidden: list[Forbidden] = []

    def say(self, stage: str, text: str) -> None:
        self.lines.append(DecisionLine(stage, text if len(text) <= LINE_BYTES // 4 else clip(text, LINE_BYTES)))

    def forbid(self, taken: Forbidden) -> None:
        self.forbidden.append(Forbidden(short(taken.target), taken.by, clip(taken.why, LINE_BYTES)))

    def reasons(self) -> str:
        """All that was forbidden, in words."""
        return "; ".join(f"{f.target}: {f.why}" for f in self.forbidden)


def extended(decision: Decision, trail: Trail) -> Decision:
    """The decision with what a later step had to say; the oldest of the later lines go first when there are too many."""
    if not trail.lines and not trail.forbidden:
        return decision
    return replace(
        decision,
        forbidden=(*decision.forbidden, *trail.forbidden)[:FORBIDDEN],
        lines=kept((*decision.lines, *trail.lines)),
    )


def kept(lines: Sequence[DecisionLine]) -> tuple[DecisionLine, ...]:
    """The first stages and the latest words; one line in between says that others are gone."""
    if len(lines) <= LINES:
        return tuple(lines)
    latest = lines[-(LINES - FIRST_LINES - 1) :]
    return (*lines[:FIRST_LINES], DecisionLine("trail", "lines in between were left out"), *latest)
