"""Confidence from log probabilities."""

import json
import math

import pytest

from services.finetuned.backend import Token
from services.finetuned.confidence import confidence
from trivium.core.request import Output, OutputKind

TEXT = Output()


def tokens(*pairs: tuple[str, float]) -> list[Token]:
    return [Token(text, math.log(probability)) for text, probability in pairs]


def test_no_ground_without_probabilities() -> None:
    assert confidence([], TEXT) is None


def test_a_label_has_its_joint_probability() -> None:
    assert confidence(tokens(("billing", 0.5), ("_", 1.0), ("refund", 0.8)), TEXT) == pytest.approx(0.4)
    assert confidence(tokens(("Card", 0.5), (" arrival", 0.5)), TEXT) == pytest.approx(0.25)


def test_prose_has_the_geometric_mean_of_its_tokens() -> None:
    said = tokens(("Hello,", 0.5), (" your order is late.", 1.0), (" Sorry.", 1.0), (" Bye.", 1.0))
    assert confidence(said, TEXT) == pytest.approx(0.5**0.25)


def test_json_with_enums_has_the_least_of_their_probabilities() -> None:
    schema = {
        "type": "object",
        "properties": {"topic": {"enum": ["billing", "delivery"]}, "urgent": {"enum": [True, False]}},
    }
    output = Output(OutputKind.JSON, json.dumps(schema))
    said = tokens(('{"topic": ', 0.1), ('"bill', 0.6), ('ing"', 0.5), (', "urgent": ', 0.2), ("true", 0.9), ("}", 0.3))
    assert confidence(said, output) == pytest.approx(0.3)


def test_json_without_enums_has_the_mean() -> None:
    output = Output(OutputKind.JSON, '{"type": "object", "properties": {"a": {"type": "string"}}}')
    assert confidence(tokens(('{"a": ', 0.25), ('"x"}', 1.0)), output) == pytest.approx(0.5)
