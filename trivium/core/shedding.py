"""Load shedding: who is turned away first when waiting eats up a request's time. Pure.

The priority says how much of the time that is left may go into waiting. So while a queue grows batch work is turned away
first and interactive work last, and whoever is turned away hears it at once, while there is time to ask elsewhere.
"""

from typing import Final

from trivium.core.request import Priority

PERCENT: Final = {Priority.INTERACTIVE: 100, Priority.NORMAL: 80, Priority.BATCH: 50}
"""Of the time that is left, for waiting."""


def most_wait_ms(priority: Priority, left_ms: int) -> int:
    """What a request with `left_ms` to its deadline may wait."""
    return left_ms * PERCENT[priority] // 100


def expected_wait_ms(ahead: int, at_once: int, takes_ms: int) -> int:
    """Until a slot is free for the next one, with `ahead` before it, `at_once` served at a time and each `takes_ms`."""
    return ahead * takes_ms // max(1, at_once)


def words(wait_ms: int, priority: Priority, left_ms: int) -> str:
    """Why it is turned away."""
    most = most_wait_ms(priority, left_ms)
    return f"a wait of about {wait_ms} ms is more than the {most} that {priority.value} work may wait of its {left_ms} ms"
