"""What is refused often is said once a minute for each who and why, with how often it happened meanwhile."""

import logging
import time
from collections.abc import Callable
from typing import Final

_EVERY_S: Final = 60.0
_MOST: Final = 1_000


class Once:
    """A log for refusals. Bounded: a thousand different ones are remembered."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def say(self, who: str, why: str, sentence: str) -> None:
        """A warning, unless this who and why had one within a minute."""
        now = self._clock()
        at, silent = self._said.get((who, why), (-_EVERY_S, 0))
        if now - at < _EVERY_S:
            self._said[who, why] = (at, silent + 1)
            return
        if len(self._said) >= _MOST:
            self._said.clear()
        self._said[who, why] = (now, 0)
        self._log.warning("%s%s", sentence, f" ({silent} more since this was said last)" if silent else "")
