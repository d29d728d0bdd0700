"""The floors of the cache on 400 rewordings and 400 adversarial questions, asked by the whole decision path."""

import asyncio

import pytest

from benchmarks.pairs import HALVES, POLICY, Asked, figures_of, read_triples, run
from trivium.policy.load import load


@pytest.fixture(scope="module")
def asked() -> dict[str, list[Asked]]:
    policy = load(POLICY)
    return {half: asyncio.run(run(read_triples(half), policy)) for half in HALVES}


def test_the_set_has_four_hundred_of_each_and_no_question_twice() -> None:
    triples = [triple for half in HALVES for triple in read_triples(half)]
    assert len(triples) == len({triple.base for triple in triples}) == 400
    assert {triple.kind for triple in triples} == {
        "negation", "opposite", "number", "name", "direction", "tenant", "subject"
    }  # fmt: skip


@pytest.mark.parametrize("half", HALVES)
def test_most_rewordings_hit_and_hardly_an_adversarial_question_does(asked: dict[str, list[Asked]], half: str) -> None:
    figures = figures_of(asked[half])
    assert figures["hit_rate"] >= 0.6
    assert figures["wrong_rate"] <= 0.01


def test_nothing_crosses_tenants_or_subjects(asked: dict[str, list[Asked]]) -> None:
    figures = figures_of([one for half in HALVES for one in asked[half]])
    assert figures["across_tenants"] == 0
    assert figures["across_subjects"] == 0


def test_a_rewording_seldom_gets_the_answer_of_another_question(asked: dict[str, list[Asked]]) -> None:
    figures = figures_of([one for half in HALVES for one in asked[half]])
    assert figures["mistaken_rewordings"] <= 0.01 * figures["rewordings"]
