"""What a decision is made on: quotas, shared among those who decide."""

from dataclasses import dataclass

import pytest

from tests.unit.journeys import NOW, a_policy
from trivium.core.policy import Policy, Tenant
from trivium.facts import FactSource


@dataclass
class Fixed:
    current: Policy


@pytest.mark.parametrize(("share", "within"), [(1.0, 120), (0.25, 30), (0.001, 1)])
def test_a_router_with_a_part_of_the_requests_has_that_part_of_the_quota(share: float, within: int) -> None:
    source = FactSource(Fixed(a_policy(tenants={"acme": Tenant("acme", (), requests_per_minute=120), "free": Tenant("free", ())})))
    source.share = share
    over = [source.at(NOW + number, "acme").over_quota for number in range(200)]
    assert over.index(True) == within
    assert all(over[within:])
    assert not any(source.at(NOW, "free").over_quota for _ in range(200))
    assert not source.at(NOW + 70_000, "acme").over_quota
