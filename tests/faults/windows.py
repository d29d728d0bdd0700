"""When a mesh was disturbed: from a kill until its group has forgotten the dead, from a SIGSTOP until after its SIGCONT, from a start
until the group has taken the new one in."""

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from tests.faults.evidence import Event, Evidence

GRACE_MS: Final = 2_000
DEAD_MS: Final = 5_000
_ENDING: Final = ("kill", "crash", "sigstop", "sigcont", "leave")
_STARTING_MS: Final = 1_000


class Windows:
    """Of one run."""

    def __init__(self, evidence: Evidence) -> None:
        self.after_ms = evidence.session_timeout_ms + DEAD_MS
        """How long a disturbance may last."""
        events = sorted(evidence.events, key=lambda event: event.at_ms)
        moments = {event.at_ms for event in events if event.what in _ENDING}
        for number, event in enumerate(events):
            if event.what == "start":
                moments |= set(range(event.at_ms, _settled_ms(events[number + 1 :], event), _STARTING_MS))
        self._moments = sorted(moments)
        self._storms = _storms(events)

    def disturbed(self, at_ms: int) -> bool:
        """Whether a moment lies in a window, or in a vendor's storm."""
        at = bisect_left(self._moments, at_ms - self.after_ms)
        if at < len(self._moments) and self._moments[at] <= at_ms:
            return True
        return any(began <= at_ms <= ended + DEAD_MS for began, ended in self._storms)

    def deadline_bound(self, arrived_ms: int, deadline_ms: int) -> int:
        """When a terminal must be there: soon after its deadline; and when something died on the way, when its group has forgotten
        the last that died before that."""
        bound = deadline_ms + GRACE_MS
        for began in itertools.islice(self._moments, bisect_left(self._moments, arrived_ms - self.after_ms), None):
            if began > bound:
                break
            bound = max(bound, max(began, deadline_ms) + self.after_ms)
        return bound


def _settled_ms(later: Sequence[Event], start: Event) -> int:
    """When a process that was started was ready, or dead."""
    return next((event.at_ms + 1 for event in later if event.victim == start.victim), start.at_ms + 1)


def _storms(events: Sequence[Event]) -> Sequence[tuple[int, int]]:
    found, since = [], 0
    for event in events:
        if event.what == "storm":
            since = event.at_ms
        elif event.what == "calm" and since:
            found.append((since, event.at_ms))
            since = 0
    return found
