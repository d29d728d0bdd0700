"""Personal data in undeclared requests: found as well as the figures say, and restricted through every stage."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.detector import read, scored
from tests.unit.journeys import NOW, a_policy, a_request, called
from trivium.core.detect import examined, wanted
from trivium.core.errors import BadPolicy
from trivium.core.journey import begin
from trivium.core.policy import Kind, Tenant, Tier
from trivium.core.request import Identity, Message, Role, Sensitivity, ToolCall
from trivium.core.slip import Arrival, Facts
from trivium.detect.detector import Detector
from trivium.policy.load import parse

FLOORS = {Kind.CARD: (0.95, 0.97), Kind.EMAIL: (0.95, 0.97), Kind.PHONE: (0.85, 0.85), Kind.NATIONAL: (0.93, 0.97)}
"""Recall and precision on tests/data/detector.jsonl."""


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.value)
def test_it_finds_what_the_figures_say(kind: Kind) -> None:
    sentences, detector = read(), Detector()
    assert len(sentences) >= 300
    score = scored(sentences, kind, detector)
    assert (score.recall, score.precision) >= FLOORS[kind]
    assert score.precision >= FLOORS[kind][1]


def test_only_what_is_asked_for_is_looked_for() -> None:
    text = "4111 1111 1111 1111, jo@example.com"
    assert Detector()(text, frozenset({Kind.EMAIL, Kind.PHONE})) == {Kind.EMAIL}
    assert Detector()(text, frozenset()) == frozenset()


def test_hostile_texts_take_no_time_out_of_proportion() -> None:
    for text in ("1 " * 20_000, "a" * 40_000 + "@", "+" * 20_000 + "1", "a@" * 15_000, "1-" * 20_000, "GB82 " * 8_000):
        assert Detector()(text, frozenset(Kind)) is not None


DETECTING = a_policy(
    detects=True,
    tenants={
        "acme": Tenant("acme", ("trivium.responses",), frozenset({"docs"}), detect=frozenset({Kind.CARD})),
        "globex": Tenant("globex", ("trivium.replies.globex",)),
    },
    tasks={**a_policy().tasks, "reason": replace(a_policy().tasks["reason"], detect=frozenset({Kind.EMAIL}))},
)
MINE = "Charge 4111 1111 1111 1111, jo@example.com"


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({}, {Kind.CARD}),
        ({"task_type": "reason"}, {Kind.CARD, Kind.EMAIL}),
        ({"task_type": "", "endpoint": "/auto"}, {Kind.CARD, Kind.EMAIL}),
        ({"task_type": "auto", "endpoint": ""}, {Kind.CARD, Kind.EMAIL}),
        ({"task_type": "", "endpoint": "/frontier"}, {Kind.CARD, Kind.EMAIL}),
        ({"identity": Identity("globex", "1")}, set()),
        ({"identity": Identity("nobody", "1"), "task_type": "nothing"}, set()),
        ({"sensitivity": Sensitivity.RESTRICTED}, set()),
    ],
)
def test_tenant_and_task_type_say_what_is_looked_for(fields: dict[str, Any], kinds: set[Kind]) -> None:
    assert wanted(a_request(**fields), DETECTING) == kinds


def test_what_is_found_restricts_and_is_named_but_not_shown() -> None:
    request, found = examined(a_request(MINE), DETECTING, Detector())
    assert (request.restricted, found) == (True, ("card",))
    step = begin(request, DETECTING, Facts(NOW), Arrival(detected=found))
    call = called(step)
    assert [leg.target.tier for leg in call.journey.route] == [Tier.FINETUNED]
    assert [line.text for line in call.journey.decision.lines if line.stage == "detect"] == ["card: restricted"]
    assert "4111" not in repr(call.journey.decision)
    assert examined(a_request("Where is order 1234567890123456?"), DETECTING, Detector()) == (
        a_request("Where is order 1234567890123456?"), ()
    )  # fmt: skip


def test_every_turn_is_looked_at() -> None:
    turns = (Message(Role.USER, "hello"), Message(Role.ASSISTANT, "", (ToolCall("1", "pay", '{"card": "4111111111111111"}'),)))
    assert examined(a_request(messages=(*turns, Message(Role.USER, "so?"))), DETECTING, Detector())[1] == ("card",)


def test_a_policy_that_asks_for_nothing_looks_at_nothing() -> None:
    def never(_text: str, _kinds: frozenset[Kind]) -> frozenset[Kind]:
        raise AssertionError("looked")

    assert examined(a_request(MINE), a_policy(), never)[1] == ()


def test_the_policy_file_says_what_is_looked_for() -> None:
    text = (Path(__file__).parents[2] / "examples/support/policy.yaml").read_text()
    assert not parse(text.encode(), Path("policy.yaml")).detects
    good = re.sub(r"^  acme: *\n", "  acme:\n    detect: [card, national]\n", text, count=1, flags=re.MULTILINE)
    policy = parse(good.encode(), Path("policy.yaml"))
    assert policy.detects
    assert policy.tenants["acme"].detect == {Kind.CARD, Kind.NATIONAL}
    with pytest.raises(BadPolicy, match=r"policy.yaml:\d+: tenants.acme.detect\[1\]: 'iban' is not one of the words"):
        parse(good.replace("[card, national]", "[card, iban]").encode(), Path("policy.yaml"))
