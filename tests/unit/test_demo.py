"""The demo's file, and how its run is counted."""

from collections import Counter

import pytest

from infra.demo import requests
from infra.demo.tally import Tally, percentile
from trivium.codec import decode_request
from trivium.core.errors import BadRequest, Undecodable
from trivium.core.outcome import Answer, Attempt, Terminal, TerminalKind, Verdict
from trivium.core.request import Identity
from trivium.v1.records_pb2 import DeadLetter


def answered(name: str, tier: str = "finetuned", cost: int = 5) -> Terminal:
    attempts = (Attempt(1, "a", 0, 1, Verdict.FELL_BACK), Attempt(2, "b", 0, 1, Verdict.ACCEPTED))
    return Terminal(Identity("acme", name), TerminalKind.ANSWERED, Answer("yes"), tier=tier, attempts=attempts,
                    cost_micro_dollars=cost, all_cloud_micro_dollars=100, arrived_ms=1_000)  # fmt: skip


def test_the_file_holds_what_the_demo_promises() -> None:
    asked = requests.load()
    kinds = Counter(one.kind for one in asked)
    assert len(asked) >= 300
    assert {"repeat", "paraphrase", "near-miss", "restricted", "documents", "own data", "reasoning", "novel", "malformed"} <= set(kinds)
    readable = [one for one in asked if one.identity]
    without = [one for one in readable if b"/auto" in one.value]
    assert 0.45 <= len(without) / len(readable) <= 0.55
    assert len({str(one.identity) for one in readable}) == len(readable)


def test_what_has_an_identity_can_be_answered_and_the_rest_cannot_or_may_not() -> None:
    for one in requests.load():
        if one.identity is not None and one.kind != "malformed":
            assert decode_request(one.value, one.content_type).identity == one.identity
        elif one.identity is None and one.kind == "malformed":
            with pytest.raises((Undecodable, BadRequest)):
                decode_request(one.value, one.content_type)


def test_a_run_is_whole_only_when_everybody_has_exactly_one_terminal() -> None:
    tally = Tally(asked=3, expected={Identity("acme", "1"), Identity("acme", "2")}, unreadable={"trivium.requests-0-7"})
    assert tally.terminal(answered("1"), 1_040)
    assert tally.missing == ["acme/2", "trivium.requests-0-7"]
    assert tally.terminal(answered("2", "cache", 0), 1_010)
    tally.letters["trivium.requests-0-7"] = DeadLetter(id="trivium.requests-0-7")
    assert tally.whole
    assert not tally.terminal(answered("1"), 1_050)
    assert (tally.duplicates, tally.whole) == (1, False)


def test_the_figures_add_up() -> None:
    tally = Tally(asked=4)
    for number, tier in enumerate(("finetuned", "finetuned", "cloud", "cache")):
        tally.terminal(answered(str(number), tier), 1_000 + 10 * (number + 1))
    figures = tally.figures()
    assert figures["share"] == {"finetuned": 0.6667, "retrieval": 0.0, "cloud": 0.3333}
    assert (figures["requests"], figures["terminals"], figures["cache_hits"]) == (4, 4, 1)
    assert (figures["cost"], figures["all_cloud_cost"]) == (20, 400)
    assert (figures["p50_ms"], figures["p95_ms"]) == (30, 40)
    assert tally.verdicts()[Verdict.FELL_BACK] == 4


def test_percentiles_of_nothing_are_zero() -> None:
    assert percentile([], 0.5) == 0
