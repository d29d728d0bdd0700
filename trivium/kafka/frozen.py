"""Leaves a process that was frozen for so long that its group may have given it up (SIGSTOP, a debugger, a host that gave it no time).

When it thaws, its partitions are another's, its view of the others is old, and it does not know it: it would call again what
was called since, and refuse what was answered, until the group tells it. Kafka has no fence against that outside of
transactions. So whoever acts asks first, and a process that has slept too long ends at once: what it had is in the log.

    with frozen_noticed(session_timeout_ms, heartbeat_ms, process.tuned) as look:
        look()      before anything that another may have done meanwhile; 0.1 us

A group counts from the last heartbeat, which may have been sent a heartbeat's interval before the process froze. Whoever was
frozen for less than the session timeout without that has lost nothing, and stays.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_LOG = logging.getLogger(__name__)
_TICK_S: Final = 0.25
STATUS: Final = 75
"""EX_TEMPFAIL of sysexits.h: start it again."""

Leave = Callable[[float], None]


class Frozen:
    """A thread ticks; when it has not for `limit_s` the whole process was not running. A busy event loop does not stop it."""

    def __init__(self, limit_s: float, leave: Leave) -> None:
        self._limit_s = limit_s
        self._leave = leave
        self._ticked = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="frozen")

    def start(self) -> None:
        """Begin to tick."""
        self._ticked = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """No more."""
        self._over.set()
        self._thread.join()

    def look(self) -> None:
        """Leaves when the process was frozen."""
        gap_s = time.monotonic() - self._ticked
        if gap_s > self._limit_s:
            self._leave(gap_s)

    def _run(self) -> None:
        while not self._over.wait(_TICK_S):
            self.look()
            self._ticked = time.monotonic()


@contextmanager
def frozen_noticed(session_timeout_ms: int, heartbeat_ms: int, alone: bool) -> Iterator[Callable[[], None]]:
    """For a member of a group. `alone`: it is what its process is for; a part of a test's process is never frozen alone, and never leaves."""
    if not alone:
        yield nothing
        return
    frozen = Frozen((session_timeout_ms - heartbeat_ms) / 1000, _leave)
    frozen.start()
    try:
        yield frozen.look
    finally:
        frozen.stop()


def nothing() -> None:
    """What there is to look at where nobody is frozen alone."""


def _leave(gap_s: float) -> None:
    _LOG.error("frozen for %.0f s: others have this process's partitions, it leaves; start it again", gap_s)
    os._exit(STATUS)
