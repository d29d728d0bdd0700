"""How hard a backend may be called after it said "slower" (HTTP 429, 529): a pure value like the breaker, one a target and
instance.

A vendor that names a pause is left alone for so long. One that names none is left alone for a second, doubled each time it
says so again without an answer in between. Those who waited go one by one, not all in the moment the pause is over.
"""

from dataclasses import dataclass

FIRST_MS = 1_000
LONGEST_MS = 60_000
TURN_MS = 20
"""Between two calls that waited for the same vendor: fifty a second, where a rate limit was just hit."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """Instants are epoch ms."""

    until_ms: int = 0
    """No call before it."""
    refusals: int = 0
    """Without a named pause, in a row."""
    turns: int = 0
    """Given out for after the pause."""


FREE = Pacing()


def slowed(pacing: Pacing, retry_after_ms: int, now_ms: int) -> Pacing:
    """The vendor said so; `retry_after_ms` 0: it named no pause. A pause is never shortened by an answer that took longer."""
    if retry_after_ms > 0:
        pause, refusals = min(retry_after_ms, LONGEST_MS), pacing.refusals
    elif now_ms < pacing.until_ms:
        # Calls that were out already when the pause began say nothing new.
        return pacing
    else:
        pause, refusals = min(FIRST_MS << min(pacing.refusals, 10), LONGEST_MS), pacing.refusals + 1
    return Pacing(max(pacing.until_ms, now_ms + pause), refusals, pacing.turns)


def answered(pacing: Pacing) -> Pacing:
    """The vendor gave an answer: the next pause without a name is short again. A pause that runs stays."""
    return Pacing(pacing.until_ms, 0, pacing.turns) if pacing.refusals else pacing


def left_ms(pacing: Pacing, now_ms: int) -> int:
    """Of the pause; 0: call now."""
    return max(0, pacing.until_ms - now_ms)


def turn(pacing: Pacing, now_ms: int) -> tuple[int, Pacing]:
    """How long to wait until one's turn after the pause (0: call now), and the pacing to keep."""
    left = left_ms(pacing, now_ms)
    if not left:
        return 0, Pacing(pacing.until_ms, pacing.refusals) if pacing.turns else pacing
    turns = pacing.turns + 1
    return left + turns * TURN_MS, Pacing(pacing.until_ms, pacing.refusals, turns)
