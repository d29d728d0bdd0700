"""Whether an answer has the JSON form that was asked for."""

import json

import pytest

from trivium.core.request import Output, OutputKind
from trivium.tier.form import unfenced, wrong_form

SCHEMA = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "minLength": 1},
        "urgency": {"enum": ["low", "high"]},
        "amount": {"type": ["number", "null"], "minimum": 0},
        "lines": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
    },
    "required": ["order"],
    "additionalProperties": False,
}
OUTPUT = Output(OutputKind.JSON, json.dumps(SCHEMA))


@pytest.mark.parametrize(
    "value",
    [{"order": "7"}, {"order": "7", "urgency": "low", "amount": None, "lines": [1, 2]}, {"order": "7", "amount": 2.5}],
)
def test_what_fits(value: object) -> None:
    assert wrong_form(json.dumps(value), OUTPUT) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json", "not JSON"),
        ("[]", "not of type object"),
        ("{}", "lacks 'order'"),
        ('{"order": 7}', "$.order is 7, not of type string"),
        ('{"order": true}', "$.order is true"),
        ('{"order": ""}', "$.order has 0 characters"),
        ('{"order": "7", "urgency": "soon"}', "not one of"),
        ('{"order": "7", "amount": -1}', "out of its bounds"),
        ('{"order": "7", "lines": [1, "b"]}', "$.lines[1]"),
        ('{"order": "7", "lines": [1, 2, 3]}', "has 3 items"),
        ('{"order": "7", "more": 1}', "does not allow"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(text: str, said: str) -> None:
    assert said in (wrong_form(text, OUTPUT) or "")


def test_text_has_no_form_and_json_without_a_schema_any() -> None:
    assert wrong_form("anything", Output()) is None
    assert wrong_form("[1]", Output(OutputKind.JSON)) is None
    assert wrong_form("nothing", Output(OutputKind.JSON)) is not None


def test_a_code_fence_is_taken_off() -> None:
    assert unfenced('```json\n{"a": 1}\n```') == '{"a": 1}'
    assert unfenced(' {"a": 1} ') == '{"a": 1}'
