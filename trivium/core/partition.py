"""Which partition a record goes to: home for what concerns a request, a share for the work of a task type.

Every task type owns a run of partitions on a ring, as long as its weight and at least two, so that a slow task type
never blocks another. When all the twos fit, the runs are disjoint and cover the ring; when they do not, they overlap as
little as a ring allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from trivium.core import draw, murmur2
from trivium.core.policy import Policy
from trivium.core.request import Identity

LEAST = 2


def home(identity_key: str, partitions: int) -> int:
    """The partition that owns all of a request: murmur2 of `tenant/request id`, as Kafka's own partitioner has it."""
    return murmur2.partition_of(identity_key.encode("utf-8", "surrogatepass"), partitions)


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """`shares`: task type -> its partitions, in order."""

    partitions: int
    shares: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, weights: Mapping[str, int], partitions: int) -> "PartitionPlan":
        """The plan of task types with these weights (at least 1 each) over this many partitions."""
        names = sorted(weights)
        shares: dict[str, tuple[int, ...]] = {}
        start = 0
        for name, length in zip(names, _lengths([max(1, weights[n]) for n in names], partitions), strict=True):
            shares[name] = tuple(sorted((start + i) % partitions for i in range(length)))
            start += length
        return cls(partitions, shares)

    @classmethod
    def of_policy(cls, policy: Policy, partitions: int) -> "PartitionPlan":
        """All task types of a policy, and novel work as one more of weight 1."""
        weights = {name: task.weight for name, task in policy.tasks.items()}
        return cls.of({policy.novel_spec.name: 1, **weights}, partitions)

    def partition(self, task_type: str, identity: Identity) -> int:
        """Where this request's work goes. A task type that the plan does not know (of an older policy) is spread over all."""
        share = self.shares.get(task_type)
        drawn = draw.number("work", identity.tenant, identity.id)
        return share[drawn % len(share)] if share else drawn % self.partitions


def _lengths(weights: list[int], partitions: int) -> list[int]:
    """Runs: proportional with largest remainders, nobody below two (or below all there are)."""
    least = min(LEAST, partitions)
    spare = partitions - least * len(weights)
    total = sum(weights)
    if spare < 0:
        return [max(least, partitions * weight // total) for weight in weights]
    exact = [(spare * weight) // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-((spare * weights[i]) % total), i))
    for i in by_remainder[: spare - sum(exact)]:
        exact[i] += 1
    return [least + extra for extra in exact]
