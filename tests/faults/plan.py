"""What is done to a mesh, and in which order: drawn from a seed, printed before it is done. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from trivium.crash import Point

ROUTERS: Final = ("router-1", "router-2")
TIERS: Final = ("finetuned-1", "finetuned-2", "cloud-1", "cloud-2", "retrieval-1", "retrieval-2")
GATEWAY: Final = "gateway"
ROUTER_POINTS: Final = (Point.AFTER_ACCEPT, Point.AFTER_LEDGER, Point.AFTER_TERMINAL, Point.BEFORE_COMMIT, Point.DURING_FOLD, Point.DURING_REVOKE)
TIER_POINTS: Final = (Point.AFTER_STARTED, Point.AFTER_VENDOR_CALL, Point.AFTER_OUTCOME, Point.BEFORE_COMMIT, Point.DURING_REVOKE)
STORMS: Final = (("claude", "overloaded"), ("tgi", "unavailable"), ("claude", "hang"), ("tgi", "cut"), ("claude", "rate_limited"), ("tgi", "reset"))


HASTY: Final = 0.25


class What(Enum):
    """A kind of step."""

    KILL = "kill"
    """SIGKILL at any moment, then a new start."""
    CRASH = "crash"
    """Started with a place at which it kills itself; then a new start."""
    STOP = "stop"
    """SIGSTOP for longer than the session timeout, then SIGCONT: a zombie that believes it is alive."""
    LEAVE = "leave"
    """SIGTERM, then a new start."""
    STORM = "storm"
    """Every call of a vendor fails for a while."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done, to its end, before the next begins."""

    what: What
    victim: str
    """A process; of a storm the vendor."""
    point: Point | None = None
    passages: int = 1
    fault: str = ""
    seconds: float = 0.0
    """Of a storm, of a stop; of others the pause after it."""
    hasty: bool = False
    """The next step does not wait until the mesh has recovered from this one."""

    @property
    def kills(self) -> int:
        """How many SIGKILLs it is, at least."""
        return 1 if self.what in (What.KILL, What.CRASH) else 0

    def __str__(self) -> str:
        more = f" {self.point.value}:{self.passages}" if self.point else f" {self.fault} {self.seconds:.0f} s" if self.fault else ""
        return f"{self.what.value} {self.victim}{more}{', hasty' if self.hasty else ''}"


def crashes(draw: random.Random) -> list[Step]:
    """Every place once: those of routers on one router, one after the other, those of tiers each on a tier of its own."""
    router = draw.choice(ROUTERS)
    found = [_crash(draw, router, point) for point in draw.sample(ROUTER_POINTS, len(ROUTER_POINTS))]
    for point in draw.sample(TIER_POINTS, len(TIER_POINTS)):
        # Few requests go to retrieval: a place there may not be passed for long.
        found.append(_crash(draw, draw.choice(TIERS[:4]), point))
    return found


def _crash(draw: random.Random, victim: str, point: Point) -> Step:
    seldom = point in (Point.DURING_REVOKE, Point.DURING_FOLD)
    passages = 1 if seldom else draw.randint(1, 4) if point is Point.BEFORE_COMMIT else draw.randint(1, 15)
    return Step(What.CRASH, victim, point, passages, seconds=draw.uniform(0.5, 2))


def make(seed: int, kills: int, session_timeout_s: float, pause_s: float, points: bool = True) -> Sequence[Step]:
    """At least so many kills; every crash point at least once; a zombie router and tier, a rolling restart and a storm a round.

    `pause_s`: about how long the mesh is left alone after a kill. `points` False: kills alone."""
    draw, steps = random.Random(seed), list[Step]()
    if not points:
        return tuple(Step(What.KILL, draw.choice([*ROUTERS, *TIERS, GATEWAY]), seconds=pause_s) for _ in range(kills))
    while sum(step.kills for step in steps) < kills:
        left = kills - sum(step.kills for step in steps)
        round_ = crashes(draw) if not steps or left >= 11 else []
        plain = min(max(0, left - len(round_)), 14) if not steps or left < 11 else 10
        others = [*ROUTERS, *TIERS, GATEWAY]
        round_ += [Step(What.KILL, draw.choice(others), seconds=draw.uniform(0.3, 1.7) * pause_s) for _ in range(plain)]
        away = session_timeout_s + 2
        round_ += [Step(What.STOP, draw.choice(ROUTERS), seconds=away), Step(What.STOP, draw.choice(TIERS[:4]), seconds=away)]
        round_ += [Step(What.LEAVE, draw.choice(others), seconds=1.0)]
        vendor, fault = draw.choice(STORMS)
        round_ += [Step(What.STORM, vendor, fault=fault, seconds=4.0)]
        steps += [replace(step, hasty=draw.random() < HASTY) for step in draw.sample(round_, len(round_))]
    return tuple(steps)
