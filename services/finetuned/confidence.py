"""How sure the model was, from the log probabilities of the tokens that it chose.

* A label (a JSON field whose schema has an enum, or an answer that is one short phrase): its joint probability,
  exp(sum of logprobs of its tokens). With several enum fields: the least of them.
* Anything else: the geometric mean of the token probabilities, exp(mean logprob).

Without log probabilities there is no ground, and the confidence is None."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Final

from services.finetuned.backend import Token
from trivium.core.request import Output, OutputKind
from trivium.tier.form import parse_schema

_LABEL: Final = re.compile(r"[^\n.?!;,]{1,48}[.]?")
_MOST_WORDS: Final = 4


def confidence(tokens: Sequence[Token], output: Output) -> float | None:
    """0..1, or None."""
    if not tokens:
        return None
    text = "".join(token.text for token in tokens)
    if output.kind is OutputKind.JSON:
        spans = _enum_spans(text, output)
        if spans:
            return min(_joint(tokens, span) for span in spans)
    elif _LABEL.fullmatch(text.strip()) and len(text.split()) <= _MOST_WORDS:
        return _joint(tokens, (0, len(text)))
    return math.exp(sum(token.logprob for token in tokens) / len(tokens))


def _joint(tokens: Sequence[Token], span: tuple[int, int]) -> float:
    """Probability of all tokens that touch the characters of `span`."""
    total, at = 0.0, 0
    for token in tokens:
        if at < span[1] and at + len(token.text) > span[0]:
            total += token.logprob
        at += len(token.text)
    return math.exp(min(0.0, total))


def _enum_spans(text: str, output: Output) -> list[tuple[int, int]]:
    """Where in the JSON text the values of enum fields stand."""
    properties: Any = parse_schema(output.schema_json).get("properties")
    if not isinstance(properties, dict):
        return []
    spans: list[tuple[int, int]] = []
    for name, schema in properties.items():
        if isinstance(schema, dict) and "enum" in schema:
            values = "|".join(re.escape(json.dumps(value, ensure_ascii=False)) for value in schema["enum"])
            found = re.search(rf"{re.escape(json.dumps(name, ensure_ascii=False))}\s*:\s*({values})", text)
            if found:
                spans.append(found.span(1))
    return spans
