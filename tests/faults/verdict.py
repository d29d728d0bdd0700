"""What a check says."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise, how many things were looked at, and a sentence for each that broke it."""

    promise: str
    looked: int
    broken: Sequence[str]

    @property
    def held(self) -> bool:
        """Whether it was kept."""
        return not self.broken
