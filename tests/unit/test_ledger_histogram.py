"""Percentiles from buckets: never further off than is said, and buckets can be added and taken away."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.ledger.histogram import ERROR, added, bucket_of, changed, middle_of, percentile

values = st.lists(st.integers(0, 10**9), min_size=1, max_size=60)


@settings(deadline=None, database=None, max_examples=60)
@given(values, st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_at_most_one_per_cent_off(found: list[int], share: float) -> None:
    counts: dict[int, int] = {}
    for value in found:
        counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + 1
    exact = sorted(found)[max(1, math.ceil(share * len(found))) - 1]
    said = percentile(counts, share)
    assert said is not None
    assert abs(said - exact) <= ERROR * exact * 1.0001


@settings(deadline=None, database=None, max_examples=40)
@given(values, values)
def test_what_is_added_and_taken_away_again_leaves_nothing(first: list[int], second: list[int]) -> None:
    def counted(found: list[int], sign: int = 1) -> dict[int, int]:
        counts: dict[int, int] = {}
        for value in found:
            counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + sign
        return counts

    one, two = changed(b"", counted(first)), changed(b"", counted(second))
    assert added([one, two]) == added([changed(one, counted(second))]) == counted(first + second)
    assert changed(changed(one, counted(second)), counted(second, -1)) == one


def test_no_times_have_no_percentile() -> None:
    assert percentile({}, 0.5) is None
    assert middle_of(bucket_of(0)) == 0
