"""What a ledger says of each task type, as far as a break-even needs it.

The seam between a ledger and the arithmetic: whoever reads one (the topic, a store) fills `Observed` and nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from trivium.core.policy import Tier
from trivium.economy.money import USD, Amount

MONTH_MS: Final = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt of a request: where, what it cost in micro-dollars, and whether an answer came."""

    tier: Tier
    cost_micro_dollars: int
    answered: bool


@dataclass(slots=True)
class Observed:
    """One task type. Costs are micro-dollars; instants epoch ms."""

    requests: int = 0
    all_cloud_micro_dollars: int = 0
    api_cost: int = 0
    api_answers: int = 0
    retrieval_cost: int = 0
    retrieval_answers: int = 0
    first_ms: int = 0
    last_ms: int = 0

    def add(self, at_ms: int, all_cloud_micro_dollars: int, tried: Iterable[Tried]) -> None:
        """A request that has ended. What failed attempts cost is part of what an answer costs."""
        self.requests += 1
        self.all_cloud_micro_dollars += all_cloud_micro_dollars
        self.first_ms = min(self.first_ms or at_ms, at_ms)
        self.last_ms = max(self.last_ms, at_ms)
        for one in tried:
            if one.tier is Tier.CLOUD:
                self.api_cost += one.cost_micro_dollars
                self.api_answers += one.answered
            elif one.tier is Tier.RETRIEVAL:
                self.retrieval_cost += one.cost_micro_dollars
                self.retrieval_answers += one.answered

    @property
    def api(self) -> tuple[Amount, str] | None:
        """What an answer of the cloud costs, and how that is known; None: it is not."""
        if self.api_answers:
            return _each(self.api_cost, self.api_answers), f"measured on {self.api_answers} answers"
        if self.all_cloud_micro_dollars:
            return _each(self.all_cloud_micro_dollars, self.requests), "what the reference target takes for the same tokens"
        return None

    @property
    def retrieval(self) -> tuple[Amount, str] | None:
        """What an answer of retrieval costs beyond what is fixed."""
        if not self.retrieval_answers:
            return None
        return _each(self.retrieval_cost, self.retrieval_answers), f"measured on {self.retrieval_answers} answers"

    def monthly(self, span_ms: int) -> int:
        """Requests in 30 days at the pace of the span, at least one; nothing to go by: as many as there were."""
        return max(1, self.requests * MONTH_MS // span_ms) if span_ms > 0 else self.requests


def _each(cost: int, answers: int) -> Amount:
    return Amount(Fraction(cost, answers), USD)
