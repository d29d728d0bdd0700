"""A circuit breaker as a pure value: one per target and instance.

Closed -> open: five faults in a row, or more than half of the last ten seconds' calls when there were at least twenty.
Open for 30 s, doubled with every failed probe up to 300 s, each stretched by up to a tenth (a hash of the name and the
count, so that instances do not probe together). Then half open: one probe; an answer closes, a fault opens again.

Instances hear of each other's breakers once a second (the pulse). While another one's is open, two faults in a row are
enough to open this one; when another one's probe has ended, its result counts here too, in place of a probe of one's own.
"""

from dataclasses import dataclass, replace
from enum import Enum

from trivium.core import draw

IN_A_ROW = 5
WARY_IN_A_ROW = 2
"""While another instance's breaker of the same target is open."""
WARY_MS = 3_000
"""What another instance said counts for three of its pulses."""
YIELD_MS = 5_000
"""Another instance may have no work for the target to probe with."""
WINDOW_MS = 10_000
WINDOW_CALLS = 20
OPEN_MS = 30_000
LONGEST_OPEN_MS = 300_000
PROBE_MS = 120_000
"""A probe that never reported is given up after the longest attempt, so that a lost one cannot keep a target out."""


class State(Enum):
    """Words of the pulse."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """`name`: target and instance. `recent`: (instant in ms, ok) of the window, oldest first. `openings`: in a row."""

    name: str
    state: State = State.CLOSED
    in_a_row: int = 0
    recent: tuple[tuple[int, bool], ...] = ()
    until_ms: int = 0
    """Open: when a probe may go. Half open: when the probe counts as lost."""
    openings: int = 0
    wary_until_ms: int = 0
    """Another instance's was open a moment ago."""


def record(breaker: Breaker, ok: bool, now_ms: int) -> Breaker:
    """After a call has ended. While open, calls that were begun before do not count."""
    if breaker.state is State.OPEN:
        return breaker
    if breaker.state is State.HALF_OPEN:
        return Breaker(breaker.name) if ok else _opened(breaker, now_ms)
    since = now_ms - WINDOW_MS
    recent = (*(call for call in breaker.recent if call[0] > since), (now_ms, ok))[-WINDOW_CALLS:]
    after = replace(breaker, in_a_row=0 if ok else breaker.in_a_row + 1, recent=recent)
    return _opened(after, now_ms) if not ok and _tripped(after, now_ms) else after


def heard(breaker: Breaker, before: State | None, now: State, now_ms: int) -> Breaker:
    """Another instance's pulse tells the state of its breaker of the same target; `before`: what it told last, None: nothing."""
    if before is State.HALF_OPEN and breaker.state is not State.CLOSED:
        if now is State.CLOSED:
            return Breaker(breaker.name)
        if now is State.OPEN and state_at(breaker, now_ms) is State.HALF_OPEN and breaker.state is State.OPEN:
            return _opened(breaker, now_ms)
    if now is State.CLOSED or breaker.state is not State.CLOSED:
        return breaker
    return replace(breaker, wary_until_ms=now_ms + WARY_MS)


def allows(breaker: Breaker, now_ms: int, other_probes: bool = False) -> tuple[bool, Breaker]:
    """Whether a call may go now, and the breaker to keep: the one that asks after the pause is the probe.

    `other_probes`: an instance that goes first is half open too; its probe is waited for a little."""
    if breaker.state is State.CLOSED:
        return True, breaker
    if now_ms < breaker.until_ms + (YIELD_MS if other_probes and breaker.state is State.OPEN else 0):
        return False, breaker
    return True, replace(breaker, state=State.HALF_OPEN, until_ms=now_ms + PROBE_MS)


def state_at(breaker: Breaker, now_ms: int) -> State:
    """What to tell others: an open breaker whose pause is over is half open, so that somebody sends the probe."""
    return State.HALF_OPEN if breaker.state is State.OPEN and now_ms >= breaker.until_ms else breaker.state


def _tripped(breaker: Breaker, now_ms: int) -> bool:
    faults = sum(not ok for _, ok in breaker.recent)
    enough = WARY_IN_A_ROW if now_ms < breaker.wary_until_ms else IN_A_ROW
    return breaker.in_a_row >= enough or (len(breaker.recent) >= WINDOW_CALLS and 2 * faults > len(breaker.recent))


def _opened(breaker: Breaker, now_ms: int) -> Breaker:
    pause = min(OPEN_MS << min(breaker.openings, 10), LONGEST_OPEN_MS)
    jitter = int(pause * draw.fraction(breaker.name, str(breaker.openings)) / 10)
    return Breaker(breaker.name, State.OPEN, until_ms=now_ms + pause + jitter, openings=breaker.openings + 1)
