"""A published case, worked through: a support product with three roads, in Australian dollars a month.

The source's table: 300,000 requests; all to the cloud at 0.03 each; all by retrieval with 150 for embeddings, 200 for the
vector store and 7,200 for inference; routed 60/25/15 with 800 for a fine-tuned endpoint, 200 and 1,900 for the 75,000
requests of retrieval, and 0.03 for each of the cloud. Every figure is an input here."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from trivium.economy.breakeven import Verdict, judge, share
from trivium.economy.money import MICRO, Amount, BadFigure, nothing
from trivium.economy.roads import Road, road

NAME: Final = "support-saas"
CURRENCY: Final = "AUD"
CLAIMED: Final = Amount(Fraction(5_800 * MICRO), CURRENCY)
"""What the source says that the routed month comes to."""


def _amount(units: int, per: int = 1) -> Amount:
    return Amount(Fraction(units * MICRO, per), CURRENCY)


@dataclass(frozen=True, slots=True)
class Case:
    """The inputs. Prices are of one request, `per_month` of a month."""

    volume: int
    scaled_volume: int
    shares: tuple[int, int, int]
    """Percent that the endpoint, retrieval and the cloud answer."""
    api: Amount
    embedding: Amount
    inference: Amount
    vector_store: Amount
    """A month, whatever the volume."""
    routed_retrieval: Amount
    """Embedding and inference of one request of the 25 %; the source gives it apart."""
    endpoint: Amount
    """A month."""
    training: Amount
    months: int

    def __post_init__(self) -> None:
        if sum(self.shares) != 100 or min(self.shares) < 0:
            raise BadFigure(f"the shares {'/'.join(map(str, self.shares))} must be three whole percentages that sum to 100, like 60/25/15")


PUBLISHED: Final = Case(
    volume=300_000, scaled_volume=600_000, shares=(60, 25, 15), api=_amount(3, 100), embedding=_amount(150, 300_000),
    inference=_amount(7_200, 300_000), vector_store=_amount(200), routed_retrieval=_amount(1_900, 75_000),
    endpoint=_amount(800), training=_amount(0), months=12,
)  # fmt: skip
"""The source's table."""


@dataclass(frozen=True, slots=True)
class Routed:
    """One routed month, by road."""

    requests: tuple[int, int, int]
    endpoint: Amount
    retrieval_fixed: Amount
    retrieval_requests: Amount
    cloud: Amount

    @property
    def retrieval(self) -> Amount:
        return self.retrieval_fixed + self.retrieval_requests

    @property
    def total(self) -> Amount:
        return self.endpoint + self.retrieval + self.cloud


@dataclass(frozen=True, slots=True)
class Worked:
    """The case worked through. Each amount is a month's."""

    case: Case
    all_cloud: Amount
    embedding: Amount
    inference: Amount
    all_retrieval: Amount
    routed: Routed
    saved_share: Fraction
    """Of all-cloud."""
    scaled_cloud: Amount
    scaled: Routed
    verdict: Verdict
    """Of the endpoint's share of the requests against the two other roads."""


def work(case: Case) -> Worked:
    """Follows the table. Raises BadFigure when an input makes no sense."""
    for name, volume in (("volume", case.volume), ("scaled volume", case.scaled_volume)):
        if volume < 1:
            raise BadFigure(f"the {name} must be at least one request a month, not {volume}")
    embedding, inference = case.embedding * case.volume, case.inference * case.volume
    all_cloud, routed = case.api * case.volume, routed_month(case, case.volume)
    verdict = judge(NAME, max(1, routed.requests[0]), endpoint_of(case), others_of(case))
    return Worked(
        case=case, all_cloud=all_cloud, embedding=embedding, inference=inference,
        all_retrieval=embedding + case.vector_store + inference, routed=routed, saved_share=share(routed.total, all_cloud),
        scaled_cloud=case.api * case.scaled_volume, scaled=routed_month(case, case.scaled_volume), verdict=verdict,
    )  # fmt: skip


def routed_month(case: Case, volume: int) -> Routed:
    """What each road takes of a month with so many requests; the cloud has what the whole percentages leave over."""
    own, looked_up = (volume * percent // 100 for percent in case.shares[:2])
    rest = volume - own - looked_up
    endpoint = endpoint_of(case).fixed(own) if case.shares[0] else nothing(case.endpoint.currency)
    fixed = case.vector_store if case.shares[1] else nothing(case.endpoint.currency)
    return Routed((own, looked_up, rest), endpoint, fixed, case.routed_retrieval * looked_up, case.api * rest)


def endpoint_of(case: Case) -> Road:
    """The fine-tuned endpoint: requests cost nothing beyond it."""
    return road("endpoint", case.endpoint, nothing(case.endpoint.currency), case.training, case.months)


def others_of(case: Case) -> tuple[Road, Road]:
    """The cloud's API, and retrieval at its all-retrieval price."""
    none = nothing(case.endpoint.currency)
    return road("api", none, case.api), road("retrieval", case.vector_store, case.embedding + case.inference)
