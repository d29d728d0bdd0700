"""Money is exact."""

from dataclasses import astuple, replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.journeys import DOCS, FRONTIER, OWN, SMALL, a_policy
from trivium.core.outcome import Usage
from trivium.core.policy import Prices, TaskSpec
from trivium.core.price import CostSplit, all_cloud, cost, reference, split, worst_case

prices = st.builds(Prices, *[st.integers(0, 10**9)] * 6)
tokens = st.integers(0, 10**6)


@settings(deadline=None, database=None)
@given(prices, tokens, tokens, tokens, tokens, tokens)
def test_one_rounding_half_up(p: Prices, plain: int, out: int, read: int, written: int, embedded: int) -> None:
    usage = Usage(
        plain + read + written, out, cache_read_tokens=read, cache_write_tokens=written, embedding_tokens=embedded
    )
    exact = Fraction(
        plain * p.input_per_million
        + out * p.output_per_million
        + read * p.cache_read_per_million
        + written * p.cache_write_per_million
        + embedded * p.embedding_per_million,
        1_000_000,
    )
    assert cost(p, usage) - p.per_request == (exact + Fraction(1, 2)).__floor__()


def test_half_a_micro_dollar_is_one() -> None:
    assert cost(Prices(input_per_million=500_000), Usage(1)) == 1
    assert cost(Prices(input_per_million=499_999), Usage(1)) == 0
    assert cost(Prices(per_request=7), Usage()) == 7


def test_a_frontier_answer_costs_what_the_vendor_says() -> None:
    # 1,000 tokens at $5 and 200 at $25 for a million: half a cent each.
    assert cost(Prices(5_000_000, 25_000_000), Usage(1000, 200)) == 5_000 + 5_000


def test_the_worst_case_has_context_and_generator_in_it() -> None:
    spec = TaskSpec("ask", max_output_tokens=100, context_budget_tokens=600)
    assert worst_case(SMALL, spec, 1000) == 1000 + 500
    assert worst_case(DOCS, spec, 1000) == worst_case(OWN, TaskSpec("x", max_output_tokens=100), 1600)
    searching = TaskSpec("ask", max_output_tokens=100, search_documents=True)
    assert worst_case(OWN, searching, 1000) > worst_case(OWN, spec, 1000)


@settings(deadline=None, database=None)
@given(tokens, st.integers(0, 1024))
def test_no_call_costs_more_than_the_worst_case(sent: int, out: int) -> None:
    spec = TaskSpec("ask", max_output_tokens=1024)
    for target in (OWN, SMALL, FRONTIER):
        assert cost(target.prices, Usage(sent, out)) <= worst_case(target, spec, sent)


def test_all_cloud_counts_what_the_caller_sent_at_the_reference() -> None:
    policy = a_policy()
    assert reference(policy) == FRONTIER
    assert reference(a_policy(reference_target="cloud/small")) == SMALL
    usage = Usage(1000, 100, context_tokens=700, tool_tokens=100)
    assert all_cloud(policy, usage) == 200 * 5 + 100 * 25
    assert all_cloud(a_policy(targets={OWN.name: OWN}), usage) == 0


@settings(deadline=None, database=None)
@given(prices, tokens, tokens, tokens, tokens)
def test_the_parts_of_a_cost_sum_up_to_it(p: Prices, sent: int, out: int, context: int, embedded: int) -> None:
    usage = Usage(sent, out, context_tokens=min(context, sent), embedding_tokens=embedded)
    spent = cost(p, usage)
    parts = split(replace(SMALL, prices=p), usage, spent)
    assert sum(astuple(parts)) == spent
    assert parts.vector_store == parts.parts == 0


def test_a_retrieval_target_pays_for_its_search_and_names_what_its_generator_has_written_down() -> None:
    paying = replace(OWN, prices=Prices(100_000, 200_000))
    target = replace(DOCS, prices=Prices(embedding_per_million=1_000_000, per_request=20), generator=paying)
    usage = Usage(1_000, 100, context_tokens=750, embedding_tokens=10)
    own, written = cost(target.prices, Usage(embedding_tokens=10)), cost(paying.prices, Usage(1_000, 100))
    parts = split(target, usage, own + written)
    assert parts == CostSplit(-75, 75, embedding=10, vector_store=20, parts=120)
    assert sum(astuple(parts)) == own + written


def test_a_call_that_was_never_made_has_no_parts() -> None:
    assert split(FRONTIER, Usage(), 0) == CostSplit()
