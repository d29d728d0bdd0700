"""What a Kafka client says over and over while its broker is away, once in a while instead."""

import logging
from typing import Final

_EVERY_S: Final = 30.0


class Seldom(logging.Filter):
    """For a handler: lets each message of aiokafka pass once in 30 s, with how often it came meanwhile.

    Without it, a process whose broker was away for 20 s wrote 2,800 lines that said the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """False for what was just said."""
        if not record.name.startswith("aiokafka") or record.levelno < logging.WARNING:
            return True
        key = (record.name, str(record.msg))
        since, left_out = self._seen.get(key, (0.0, 0))
        if record.created - since < _EVERY_S:
            self._seen[key] = (since, left_out + 1)
            return False
        self._seen[key] = (record.created, 0)
        if left_out:
            record.msg = f"{record.msg} (and {left_out} times more since it was last said)"
        return True
