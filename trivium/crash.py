"""Places at which a process kills itself when it was told to: for tests of failure, off in every process that nobody told.

    TRIVIUM_CRASH_AT=after_started:3      SIGKILL at the third passage of that place

What is off costs nothing: on hot paths the parts of a process are put together with the place (trivium/kafka/crashing.py) or
without it; on cold ones (a commit, a rebalance) it is one look at None.
"""

import os
import signal
from enum import Enum

from trivium.core.errors import BadSetting
from trivium.core.outcome import Outcome
from trivium.core.slip import Work
from trivium.ports import Emit, Generator, emit_nothing


class Point(Enum):
    """Between which two effects the process ends."""

    AFTER_ACCEPT = "after_accept"
    """Router: a request was decided, its work record is not sent."""
    AFTER_STARTED = "after_started"
    """Tier: `started` is in the log, the vendor is not called."""
    AFTER_VENDOR_CALL = "after_vendor_call"
    """Tier: the vendor answered, the outcome is not sent."""
    AFTER_OUTCOME = "after_outcome"
    """Tier: the outcome is in the log, `settled` is not."""
    AFTER_LEDGER = "after_ledger"
    """Router: the ledger record is in the log, the terminal is not."""
    AFTER_TERMINAL = "after_terminal"
    """Router: the terminal is in the log, its cause is not acknowledged."""
    BEFORE_COMMIT = "before_commit"
    """Router or tier: effects are in the log, their offsets are about to be committed."""
    DURING_REVOKE = "during_revoke"
    """Router or tier: the group takes partitions away, the last commit is not made."""
    DURING_FOLD = "during_fold"
    """Router: partitions came, their log is half read again."""


class Crash:
    """One place and how many passages of it are left."""

    def __init__(self, point: Point, passages: int) -> None:
        self.point = point
        self.left = passages

    def passed(self, point: Point) -> None:
        """This place was passed; the last passage of the right one does not return."""
        if point is self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def pass_by(crash: Crash | None, point: Point) -> None:
    """For cold paths: nothing, unless this process was told."""
    if crash is not None:
        crash.passed(point)


def read_crash(told: str) -> Crash | None:
    """What TRIVIUM_CRASH_AT says; None when it says nothing. Raises BadSetting."""
    if not told:
        return None
    name, _, count = told.partition(":")
    points = {point.value: point for point in Point}
    if name not in points or not (count or "1").isdecimal() or int(count or "1") < 1:
        raise BadSetting(f"TRIVIUM_CRASH_AT is {told!r}; wanted POINT or POINT:PASSAGE, the point one of {', '.join(points)}")
    return Crash(points[name], int(count or "1"))


class CrashingGenerator:
    """A generator with a place after each answer."""

    def __init__(self, generator: Generator, crash: Crash) -> None:
        self._generator = generator
        self._crash = crash

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        """See trivium/ports.py."""
        outcome = await self._generator.answer(work, emit)
        self._crash.passed(Point.AFTER_VENDOR_CALL)
        return outcome
