"""Home partitions, and the shares of task types."""

from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.core.murmur2 import partition_of
from trivium.core.partition import PartitionPlan, home
from trivium.core.request import Identity

quickly = settings(max_examples=200, deadline=None, database=None)
weights = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=4), st.integers(1, 50), min_size=1, max_size=20)


@quickly
@given(weights, st.integers(1, 40))
def test_everybody_has_two_and_all_are_used(types: dict[str, int], partitions: int) -> None:
    plan = PartitionPlan.of(types, partitions)
    assert set(plan.shares) == set(types)
    for share in plan.shares.values():
        assert len(share) == len(set(share)) >= min(2, partitions)
        assert all(0 <= at < partitions for at in share)
    assert {at for share in plan.shares.values() for at in share} == set(range(partitions))


@quickly
@given(weights, st.integers(2, 40))
def test_shares_are_disjoint_when_all_the_twos_fit_and_follow_the_weights(
    types: dict[str, int], partitions: int
) -> None:
    plan = PartitionPlan.of(types, partitions)
    sizes = {name: len(share) for name, share in plan.shares.items()}
    if 2 * len(types) <= partitions:
        assert sum(sizes.values()) == partitions
    for one in types:
        for other in types:
            assert types[one] <= types[other] or sizes[one] >= sizes[other] - 1


@quickly
@given(weights, st.integers(1, 40), st.text(max_size=8), st.text(max_size=8), st.integers(0, 3))
def test_a_request_stays_in_the_share_of_its_task_type(
    types: dict[str, int], partitions: int, tenant: str, name: str, replay: int
) -> None:
    plan = PartitionPlan.of(types, partitions)
    backwards = PartitionPlan.of(dict(reversed(types.items())), partitions)
    for task_type, share in plan.shares.items():
        at = plan.partition(task_type, Identity(tenant, name, replay))
        assert at in share
        assert at == backwards.partition(task_type, Identity(tenant, name))
    assert 0 <= plan.partition("of an older policy", Identity(tenant, name)) < partitions


def test_a_share_is_used_evenly() -> None:
    plan = PartitionPlan.of({"a": 1, "b": 2}, 12)
    counts = dict.fromkeys(plan.shares["b"], 0)
    for number in range(4000):
        counts[plan.partition("b", Identity("acme", f"r{number}"))] += 1
    expected = 4000 / len(counts)
    assert all(0.85 * expected < count < 1.15 * expected for count in counts.values())


def test_home_is_what_kafkas_partitioner_says() -> None:
    key = Identity("acme", "r1", 4).key
    assert home(key, 12) == partition_of(b"acme/r1", 12)
