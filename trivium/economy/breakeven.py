"""From which monthly volume a fixed endpoint costs no more than the other roads.

Within one number of endpoints every road is a straight line over the volume, so the answer is exact: ranges of whole
requests, found endpoint by endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from trivium.economy.money import Amount
from trivium.economy.roads import Road

MOST_ENDPOINTS: Final = 1_000
PERCENTS: Final = (-50, -25, -10, 0, 10, 25, 50)


@dataclass(frozen=True, slots=True)
class Range:
    """Monthly volumes, both ends included; `last` None: however many."""

    first: int
    last: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the endpoint wins, and what it comes to at the volume at hand."""

    task: str
    volume: int
    endpoint: Road
    others: tuple[Road, ...]
    against: tuple[tuple[str, tuple[Range, ...]], ...]
    """Each other road's name, and where the endpoint costs no more than that one."""
    against_all: tuple[Range, ...]

    @property
    def break_even(self) -> int | None:
        """The least volume at which no other road is cheaper; None: there is none."""
        return self.against_all[0].first if self.against_all else None

    @property
    def saved(self) -> Amount:
        """A month at this volume against the cheapest other road; negative: the endpoint is dearer."""
        return saved(self.endpoint, self.others, self.volume)


def judge(task: str, volume: int, endpoint: Road, others: Sequence[Road]) -> Verdict:
    """The whole comparison for one task type."""
    against = tuple((other.name, wins(endpoint, (other,))) for other in others)
    return Verdict(task, volume, endpoint, tuple(others), against, wins(endpoint, others))


def wins(endpoint: Road, others: Sequence[Road]) -> tuple[Range, ...]:
    """Volumes at which the endpoint costs no more than each of the others, in order; empty: nowhere. More than
    `MOST_ENDPOINTS` endpoints are not looked at one by one."""
    if not endpoint.capacity:
        here = _within(endpoint, 1, others, Range(1, None))
        return () if here is None else (here,)
    found: list[Range] = []
    for count in range(1, MOST_ENDPOINTS + 1):
        segment = Range((count - 1) * endpoint.capacity + 1, count * endpoint.capacity)
        here = _within(endpoint, count, others, segment)
        if here is not None:
            joins = bool(found) and found[-1].last == here.first - 1
            found[-1:] = [Range(found[-1].first, here.last)] if joins else [*found[-1:], here]
        if here == segment and all(_pays(endpoint, other) for other in others):
            # So does every further endpoint: each carries more than it costs.
            found[-1] = Range(found[-1].first, None)
            break
        if any(not _pays(endpoint, other) and _within(endpoint, count, (other,), segment) is None for other in others):
            break
    return tuple(found)


def saved(endpoint: Road, others: Sequence[Road], volume: int) -> Amount:
    """What the endpoint spares in a month against the cheapest of the others."""
    return min(other.cost(volume) for other in others) - endpoint.cost(volume)


def by_price(verdict: Verdict, percents: Sequence[int] = PERCENTS) -> list[tuple[int, int | None, int | None]]:
    """Percent; break-even when the other roads' prices change by it; break-even when the endpoint's price does."""
    return [
        (
            percent,
            _first(wins(verdict.endpoint, [other.priced(percent) for other in verdict.others])),
            _first(wins(verdict.endpoint.priced(percent), verdict.others)),
        )
        for percent in percents
    ]


def by_volume_and_price(verdict: Verdict, percents: Sequence[int] = PERCENTS) -> list[tuple[int, int, list[Amount]]]:
    """Percent of the volume, that volume, and what is saved in a month for each change of the other roads' prices."""
    rows = []
    for percent in percents:
        volume = verdict.volume * (100 + percent) // 100
        rows.append((percent, volume, [saved(verdict.endpoint, [o.priced(p) for o in verdict.others], volume) for p in percents]))
    return rows


def _first(ranges: tuple[Range, ...]) -> int | None:
    return ranges[0].first if ranges else None


def _within(endpoint: Road, count: int, others: Sequence[Road], volumes: Range) -> Range | None:
    """The part of the volumes, at which `count` endpoints run, where no other road is cheaper."""
    fixed, low, high = endpoint.per_month * count + endpoint.training_share, volumes.first, volumes.last
    for other in others:
        more, gain = (fixed - other.fixed(low)).micro, _gain(endpoint, other)
        if gain > 0:
            low = max(low, -(-more // gain))
        elif more > 0:
            return None
        elif gain < 0:
            last = (more / gain).__floor__()
            high = last if high is None else min(high, last)
    return None if high is not None and low > high else Range(low, high)


def _gain(endpoint: Road, other: Road) -> Fraction:
    """What a request is cheaper at the endpoint."""
    return (other.per_request - endpoint.per_request).micro


def _pays(endpoint: Road, other: Road) -> bool:
    """Whether an endpoint that is full costs no more than what it spares."""
    return _gain(endpoint, other) * endpoint.capacity >= endpoint.per_month.micro


def share(part: Amount, whole: Amount) -> Fraction:
    """Of the whole, what is not in the part: 1 - part/whole; nothing of nothing is 0."""
    return 1 - part.micro / whole.micro if (whole - part).micro and whole.micro else Fraction(0)
