"""What a road costs a month at a volume: something fixed, and something for each request."""

from dataclasses import dataclass, replace
from fractions import Fraction

from trivium.economy.money import Amount, BadFigure, nothing


@dataclass(frozen=True, slots=True)
class Road:
    """One way to answer a task type. Money of a month, but `training`, which is paid once and lasts `months`."""

    name: str
    per_month: Amount
    per_request: Amount
    training: Amount
    months: int = 12
    capacity: int = 0
    """Requests that one endpoint carries in a month; more need a second one at `per_month`. 0: one carries all."""

    def __post_init__(self) -> None:
        if self.months < 1:
            raise BadFigure(f"{self.name}: training must be spread over at least one month, not {self.months}")
        if self.capacity < 0:
            raise BadFigure(f"{self.name}: a capacity cannot be negative, it is {self.capacity}")

    @property
    def training_share(self) -> Amount:
        """What training comes to in a month."""
        return self.training / self.months

    def endpoints(self, volume: int) -> int:
        """How many are needed; one runs whether it is used or not."""
        return max(1, -(-volume // self.capacity)) if self.capacity else 1

    def fixed(self, volume: int) -> Amount:
        """What is paid whether requests come or not."""
        return self.per_month * self.endpoints(volume) + self.training_share

    def cost(self, volume: int) -> Amount:
        """All of a month with so many requests."""
        return self.fixed(volume) + self.per_request * volume

    def priced(self, percent: int) -> "Road":
        """The same road with its price for a request, and what is paid by the month, changed by so many percent."""
        factor = Fraction(100 + percent, 100)
        return replace(self, per_month=self.per_month * factor, per_request=self.per_request * factor, training=self.training * factor)


def road(name: str, per_month: Amount, per_request: Amount, training: Amount | None = None, months: int = 12, capacity: int = 0) -> Road:
    """A road; its amounts must be of one currency. Raises MixedCurrencies."""
    paid_once = training or nothing(per_month.currency)
    assert per_month + per_request + paid_once is not None
    return Road(name, per_month, per_request, paid_once, months, capacity)
