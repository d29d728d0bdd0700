"""Why a request went where it went."""

from dataclasses import dataclass
from enum import Enum

from trivium.core.quick import quick


class Source(Enum):
    """Where the candidates came from; the first that applies."""

    PINNED = "pinned"
    RULE = "rule"
    TASK = "task"
    NOVEL = "novel"
    DEFAULT = "default"


class ForbiddenBy(Enum):
    """What took a candidate away. Privacy and capability are for good, the rest for now."""

    PRIVACY = "privacy"
    CAPABILITY = "capability"
    FEASIBILITY = "feasibility"
    HEALTH = "health"
    MONEY = "money"
    DEADLINE = "deadline"
    LOAD = "load"
    """Its queue takes more of the time that is left than this priority may wait."""


@quick
@dataclass(frozen=True, slots=True)
class Forbidden:
    """A candidate that was taken away, and why in words."""

    target: str
    by: ForbiddenBy
    why: str


@quick
@dataclass(frozen=True, slots=True)
class Classification:
    """What the `auto` classifier says of a text. Confidence and complexity: 0..1."""

    task_type: str
    confidence: float
    complexity: float = 0.0
    novel: bool = False


@quick
@dataclass(frozen=True, slots=True)
class DecisionLine:
    """What one stage had to say."""

    stage: str
    text: str


@quick
@dataclass(frozen=True, slots=True)
class Decision:
    """The whole of a decision: with the request and the policy of that revision it can be recomputed."""

    policy_revision: int
    policy_fingerprint: str
    source: Source
    task_type: str
    rule: str = ""
    classification: Classification | None = None
    prompt_tokens: int = 0
    candidates: tuple[str, ...] = ()
    forbidden: tuple[Forbidden, ...] = ()
    experiment: str = ""
    arm: str = ""
    probability: float = 1.0
    lines: tuple[DecisionLine, ...] = ()
