"""Prompt caching as Anthropic bills it: prefixes that were marked are written once and read cheaply afterwards.

A prefix ends after a block with `cache_control`. A later request reads the longest stored prefix that ends at most 20
blocks before one of its own marks; what lies between it and its last mark is written; the rest is plain input.
Prefixes shorter than the least length are not cached, and nobody is told, as in the real API.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from infra.standins.claude_wire import Block

KEPT: Final = 1_024
LOOK_BACK: Final = 20
LEAST_TOKENS: Final = 1_024


@dataclass(frozen=True, slots=True)
class Billed:
    """Input tokens by price class; their sum is the prompt."""

    plain: int
    written: int
    written_1h: int
    """The part of `written` that is kept for an hour."""
    read: int

    def usage(self) -> dict[str, object]:
        """The `usage` of a message, without output tokens."""
        return {
            "input_tokens": self.plain,
            "cache_creation_input_tokens": self.written,
            "cache_read_input_tokens": self.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.written - self.written_1h,
                "ephemeral_1h_input_tokens": self.written_1h,
            },
            "service_tier": "standard",
        }


@dataclass(slots=True)
class Prefixes:
    """The stored prefixes of all models, the most recently used last."""

    count: Callable[[str], int]
    """Tokens of a text."""
    least_tokens: int = LEAST_TOKENS
    now: Callable[[], float] = time.monotonic
    _until: OrderedDict[bytes, tuple[float, int]] = field(default_factory=OrderedDict)

    def bill(self, model: str, blocks: Sequence[Block]) -> Billed:
        """What the prompt costs, and remembers its prefixes."""
        keys, totals = self._cumulate(model, blocks)
        total = totals[-1] if totals else 0
        marks = [at for at, block in enumerate(blocks) if block.breakpoint_s and totals[at] >= self.least_tokens]
        if not marks:
            return Billed(total, 0, 0, 0)
        read = max((totals[at] for mark in marks for at in self._hits(keys, mark)), default=0)
        written = max(0, totals[marks[-1]] - read)
        long = max((totals[at] for at in marks if blocks[at].breakpoint_s > 300), default=0)
        for mark in marks:
            self._keep(keys[mark], blocks[mark].breakpoint_s)
        return Billed(total - read - written, written, max(0, min(long - read, written)), read)

    def _cumulate(self, model: str, blocks: Sequence[Block]) -> tuple[list[bytes], list[int]]:
        digest = hashlib.sha256(model.encode())
        keys: list[bytes] = []
        totals: list[int] = []
        for block in blocks:
            raw = block.text.encode("utf-8", "replace")
            digest.update(len(raw).to_bytes(8, "big") + raw)
            keys.append(digest.digest())
            totals.append((totals[-1] if totals else 0) + self.count(block.text))
        return keys, totals

    def _hits(self, keys: Sequence[bytes], mark: int) -> list[int]:
        now = self.now()
        places = range(max(0, mark - LOOK_BACK), mark + 1)
        hits = [at for at in places if keys[at] in self._until and self._until[keys[at]][0] > now]
        for at in hits:
            self._keep(keys[at], self._until[keys[at]][1])
        return hits

    def _keep(self, key: bytes, seconds: int) -> None:
        self._until[key] = (self.now() + seconds, seconds)
        self._until.move_to_end(key)
        if len(self._until) > KEPT:
            self._until.popitem(last=False)
