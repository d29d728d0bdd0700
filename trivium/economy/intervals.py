"""How sure a share is: Wilson's interval, Newcombe's for two shares of the same questions, the bootstrap for tokens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

TWO_SIDED: Final = 1.959964
"""Normal quantile of a 95 % interval."""
ONE_SIDED: Final = 1.644854
"""Normal quantile of a bound that is passed once in twenty times."""
ROUNDS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and where it lies with 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pairs:
    """The same questions answered twice: how many right both times, only before, only after, and never."""

    both: int
    lost: int
    won: int
    neither: int

    @property
    def n(self) -> int:
        return self.both + self.lost + self.won + self.neither


def pairs_of(before: Sequence[bool], after: Sequence[bool]) -> Pairs:
    """Counts of two equally long runs."""
    both = sum(b and a for b, a in zip(before, after, strict=True))
    return Pairs(both, sum(before) - both, sum(after) - both, len(before) - sum(before) - sum(after) + both)


def wilson(k: int, n: int, z: float = TWO_SIDED) -> Interval:
    """k of n (Wilson 1927); of nothing, everything is possible."""
    if n == 0:
        return Interval(0.0, 0.0, 1.0)
    p, z2 = k / n, z * z
    middle, half = (p + z2 / (2 * n)) / (1 + z2 / n), z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Interval(p, 0.0 if k == 0 else max(0.0, middle - half), 1.0 if k == n else min(1.0, middle + half))


def difference(pairs: Pairs, z: float = TWO_SIDED) -> Interval:
    """Share right after minus share right before (Newcombe 1998, method 10): of use where no answer changed, too."""
    if pairs.n == 0:
        return Interval(0.0, -1.0, 1.0)
    after, before = wilson(pairs.both + pairs.won, pairs.n, z), wilson(pairs.both + pairs.lost, pairs.n, z)
    phi, value = _alike(pairs), (pairs.won - pairs.lost) / pairs.n
    down, up = after.value - after.low, before.high - before.value
    low = value - math.sqrt(max(0.0, down * down - 2 * phi * down * up + up * up))
    down, up = before.value - before.low, after.high - after.value
    return Interval(value, low, value + math.sqrt(max(0.0, down * down - 2 * phi * down * up + up * up)))


def not_worse(pairs: Pairs, margin: float) -> bool:
    """Whether it can be said, wrong once in twenty times, that at most `margin` of the questions was lost."""
    return difference(pairs, ONE_SIDED).low > -margin


def fewest(margin: float) -> int:
    """Questions below which not even an unchanged run passes `not_worse` when every answer is right."""
    z2 = ONE_SIDED * ONE_SIDED
    return math.floor(z2 * (1 - margin) / margin) + 1


def saved_share(before: Sequence[int], after: Sequence[int], seed: int, rounds: int = ROUNDS) -> Interval:
    """1 - sum(after)/sum(before), with a paired bootstrap over the questions; the same seed, the same interval."""
    if not sum(before):
        return Interval(0.0, 0.0, 0.0)
    old, new = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(old), (rounds, len(old)))
    totals = old[drawn].sum(axis=1)
    shares = 1 - new[drawn].sum(axis=1) / np.where(totals, totals, np.inf)
    low, high = np.quantile(shares, (0.025, 0.975))
    return Interval(1 - sum(after) / sum(before), float(low), float(high))


def _alike(pairs: Pairs) -> float:
    """Correlation of the two runs, with Newcombe's correction for continuity."""
    b, a = pairs.both + pairs.lost, pairs.both + pairs.won
    square = b * (pairs.n - b) * a * (pairs.n - a)
    if square == 0:
        return 0.0
    more = pairs.both * pairs.neither - pairs.lost * pairs.won
    return (max(0.0, more - pairs.n / 2) if more > 0 else more) / math.sqrt(square)
