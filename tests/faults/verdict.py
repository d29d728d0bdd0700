"""What a check says."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise, how many things were looked at, and a sentence for each that broke it."""

    promise: str
    looked: int
    broken: Sequence[str]
    by_clock: bool = False
    """Whether a machine that is slow or busy may break it."""

    @property
    def held(self) -> bool:
        """Whether it was kept."""
        return not self.broken
