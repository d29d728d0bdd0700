"""When a mesh was disturbed: from a kill until its group has forgotten the dead, from a SIGSTOP until after its SIGCONT."""

from collections.abc import Sequence
from typing import Final

from tests.faults.evidence import Evidence

GRACE_MS: Final = 2_000
DEAD_MS: Final = 5_000
_ENDING: Final = ("kill", "crash", "sigstop", "sigcont", "leave")


def disturbances(evidence: Evidence) -> Sequence[int]:
    """When something died, was stopped, came back or left; a start too, because its group rebalances."""
    return sorted(event.at_ms for event in evidence.events if event.what in (*_ENDING, "start"))


def after_ms(evidence: Evidence) -> int:
    """How long a disturbance may last."""
    return evidence.session_timeout_ms + DEAD_MS


def disturbed(evidence: Evidence, at_ms: int) -> bool:
    """Whether a moment lies in a window, or a vendor's storm."""
    if any(began <= at_ms <= began + after_ms(evidence) for began in disturbances(evidence)):
        return True
    open_since = 0
    for event in sorted(evidence.events, key=lambda one: one.at_ms):
        if event.what == "storm":
            open_since = event.at_ms
        elif event.what == "calm" and open_since:
            if open_since <= at_ms <= event.at_ms + DEAD_MS:
                return True
            open_since = 0
    return False


def deadline_bound(evidence: Evidence, arrived_ms: int, deadline_ms: int) -> int:
    """When a terminal must be there: soon after its deadline; and when something died on the way, when its group has forgotten
    the last that died before that."""
    bound = deadline_ms + GRACE_MS
    for began in disturbances(evidence):
        if arrived_ms - after_ms(evidence) <= began <= bound:
            bound = max(bound, max(began, deadline_ms) + after_ms(evidence))
    return bound
