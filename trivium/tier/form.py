"""Whether an answer has the JSON form that was asked for.

A small part of JSON Schema, the part that a caller relies on: type, enum, const, required, properties,
additionalProperties: false, items, minimum, maximum, minLength, maxLength, minItems, maxItems."""

import json
from collections.abc import Mapping
from typing import Any

from trivium.core.request import Output, OutputKind

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "integer": (int,),
    "number": (int, float),
}
_DEEPEST = 32


def unfenced(text: str) -> str:
    """JSON as models wrap it, without the code fence around it."""
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```") and len(bare) >= 6:
        _, _, inner = bare[3:-3].partition("\n")
        return inner.strip()
    return bare


def wrong_form(text: str, output: Output) -> str | None:
    """None when `text` has the form of `output`; else one sentence that says what is wrong and where."""
    if output.kind is not OutputKind.JSON:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"the answer is not JSON: {error}"
    schema = parse_schema(output.schema_json)
    return _wrong(value, schema, "$", 0) if schema else None


def parse_schema(schema_json: str) -> dict[str, Any]:
    """The schema as a dict; empty when there is none or it is not an object (the doors refuse such ones)."""
    try:
        schema = json.loads(schema_json) if schema_json else {}
    except ValueError:
        return {}
    return schema if isinstance(schema, dict) else {}


def _wrong(value: Any, schema: Mapping[str, Any], where: str, depth: int) -> str | None:
    if depth > _DEEPEST:
        return f"{where} is nested deeper than {_DEEPEST} levels"
    if (found := _wrong_type(value, schema.get("type"), where)) is not None:
        return found
    if "enum" in schema and value not in schema["enum"]:
        return f"{where} is {_short(value)}, not one of {_short(schema['enum'])}"
    if "const" in schema and value != schema["const"]:
        return f"{where} is {_short(value)}, not {_short(schema['const'])}"
    if isinstance(value, dict):
        return _wrong_object(value, schema, where, depth)
    if isinstance(value, list):
        return _wrong_list(value, schema, where, depth)
    return _wrong_size(value, schema, where)


def _wrong_type(value: Any, wanted: Any, where: str) -> str | None:
    if not wanted:
        return None
    names = wanted if isinstance(wanted, list) else [wanted]
    if any(_is(value, str(name)) for name in names):
        return None
    return f"{where} is {_short(value)}, not of type {' or '.join(map(str, names))}"


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(name, (object,)))


def _wrong_object(value: dict[str, Any], schema: Mapping[str, Any], where: str, depth: int) -> str | None:
    for name in schema.get("required", ()):
        if name not in value:
            return f"{where} lacks {name!r}"
    properties = schema.get("properties", {})
    for name, item in value.items():
        if name in properties:
            found = _wrong(item, properties[name], f"{where}.{name}", depth + 1)
        elif schema.get("additionalProperties") is False:
            found = f"{where} has {name!r}, which the schema does not allow"
        else:
            found = None
        if found:
            return found
    return None


def _wrong_list(value: list[Any], schema: Mapping[str, Any], where: str, depth: int) -> str | None:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return f"{where} has {len(value)} items"
    items = schema.get("items")
    if isinstance(items, dict):
        for index, item in enumerate(value):
            if found := _wrong(item, items, f"{where}[{index}]", depth + 1):
                return found
    return None


def _wrong_size(value: Any, schema: Mapping[str, Any], where: str) -> str | None:
    if isinstance(value, str) and not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return f"{where} has {len(value)} characters"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return f"{where} is {value}, out of its bounds"
    return None


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
