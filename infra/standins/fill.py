"""Constrained output: a JSON value that is valid for a JSON schema, filled from a message; a string for a regex.

Understood of JSON Schema: type (also a list of types), enum, const, properties, required, items, minItems, maxItems,
minLength, maxLength, pattern, format, minimum, maximum, multipleOf (whole), anyOf, oneOf, allOf, $ref, $defs,
definitions, nullable.
Other keywords are refused by `check_schema`, as a grammar compiler would refuse them.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any, Final

from infra.standins import finds
from infra.standins.finds import Fact
from infra.standins.language import words
from infra.standins.speech import Part, Speech

Schema = Mapping[str, Any]
Suggest = Callable[[str, tuple[str, ...]], Fact | None]
"""(field name, allowed values or ()) -> what the stand-in's heads say about that field, or None."""

MISSING: Final = 0.9
"""Probability of a null or an empty list where nothing was found."""
FORCED: Final = 0.25
"""Probability of a value that the schema forced although nothing was found."""
DEEPEST: Final = 12
_KEYWORDS: Final = (
    "type enum const properties required items minItems maxItems minLength maxLength pattern format minimum maximum"
    " exclusiveMinimum exclusiveMaximum anyOf oneOf allOf $ref $defs definitions nullable title description default"
    " examples additionalProperties $schema $id uniqueItems strict multipleOf"
)
KNOWN: Final = frozenset(_KEYWORDS.split())


class BadSchema(ValueError):
    """The grammar cannot be followed; the message says why."""


@dataclass(frozen=True, slots=True)
class _Writer:
    root: Schema
    text: str
    suggest: Suggest

    def write(self, schema: Schema, name: str, depth: int = 0) -> tuple[str, float]:
        """(JSON text, probability)."""
        schema = self.resolve(schema, depth)
        if "const" in schema:
            return json.dumps(schema["const"], ensure_ascii=False), 0.99
        if "enum" in schema:
            return self.choose(schema["enum"], name)
        kinds = schema.get("type", "object" if "properties" in schema else "string")
        allowed = [kinds] if isinstance(kinds, str) else list(kinds)
        nullable = "null" in allowed or bool(schema.get("nullable"))
        kind = next((one for one in allowed if one != "null"), "null")
        match kind:
            case "object":
                parts = self.object(schema, name, depth)
                return "".join(part.text for part in parts), min((part.probability for part in parts), default=0.99)
            case "array":
                return self.array(schema, name, depth)
            case "null":
                return "null", 0.99
            case _:
                return self.scalar(schema, name, kind, nullable)

    def resolve(self, schema: Schema, depth: int) -> Schema:
        if depth > DEEPEST:
            raise BadSchema(f"the schema is nested deeper than {DEEPEST} levels")
        if "$ref" in schema:
            return self.resolve(_pointed(self.root, str(schema["$ref"])), depth + 1)
        for keyword in ("anyOf", "oneOf"):
            if options := [self.resolve(option, depth + 1) for option in schema.get(keyword, [])]:
                rest = [option for option in options if option.get("type") != "null"]
                return {**(rest or options)[0], "nullable": len(rest) < len(options)}
        merged = dict(schema)
        for part in schema.get("allOf", []):
            inner = self.resolve(part, depth + 1)
            merged = {**merged, **inner, "properties": {**merged.get("properties", {}), **inner.get("properties", {})}}
        return merged

    def object(self, schema: Schema, name: str, depth: int) -> list[Part]:
        parts = [Part("{", 0.999)]
        for at, (field, inner) in enumerate(schema.get("properties", {}).items()):
            value, probability = self.write(inner, field, depth + 1)
            parts.append(Part(("," if at else "") + json.dumps(field, ensure_ascii=False) + ":", 0.999))
            parts.append(Part(value, probability, joint="enum" in self.resolve(inner, depth)))
        return [*parts, Part("}", 0.999)]

    def array(self, schema: Schema, name: str, depth: int) -> tuple[str, float]:
        items = self.resolve(schema.get("items", {"type": "string"}), depth)
        least, most = int(schema.get("minItems", 0)), int(schema.get("maxItems", 50))
        find = finds.finder(name)
        found: dict[str, float] = {}
        for fact in find(self.text) if find and items.get("type") != "object" else []:
            if (value := _typed(fact.value, items)) is not None:
                found.setdefault(json.dumps(value, ensure_ascii=False), fact.probability)
        values = list(found.items())[:most]
        while len(values) < least:
            values.append(self.write(items, name, depth + 1))
        return "[" + ",".join(value for value, _ in values) + "]", min((p for _, p in values), default=MISSING)

    def choose(self, allowed: list[Any], name: str) -> tuple[str, float]:
        names = tuple(one for one in allowed if isinstance(one, str))
        fact = self.suggest(name, names) if names else None
        if fact is not None and fact.value in names:
            return json.dumps(fact.value, ensure_ascii=False), fact.probability
        said = set(words(self.text))
        here = [one for one in allowed if words(str(one)) and said.issuperset(words(str(one)))]
        if here:
            return json.dumps(here[0], ensure_ascii=False), finds.LIKELY / len(here)
        empty = next((one for one in allowed if one is None or str(one).lower() in ("other", "unknown", "none")), None)
        if None in allowed or empty is not None:
            return json.dumps(empty, ensure_ascii=False), finds.GUESS
        return json.dumps(allowed[0], ensure_ascii=False), 1.0 / max(1, len(allowed))

    def scalar(self, schema: Schema, name: str, kind: str, nullable: bool) -> tuple[str, float]:
        fact = self.fact(schema, name, kind)
        if fact is not None and (value := _typed(fact.value, schema)) is not None:
            return json.dumps(value, ensure_ascii=False), fact.probability
        if nullable:
            return "null", MISSING
        return json.dumps(_least(schema, kind), ensure_ascii=False), FORCED

    def fact(self, schema: Schema, name: str, kind: str) -> Fact | None:
        if kind == "boolean":
            return _mentioned(self.text, name)
        if "pattern" in schema and (found := re.search(_loose(str(schema["pattern"])), self.text)):
            return Fact(found.group(0), finds.SURE)
        find = finds.finder(name if kind != "string" else f"{name} {schema.get('format', '')}")
        if find is None and (suggested := self.suggest(name, ())) is not None:
            return suggested
        if find is None and kind in ("number", "integer"):
            find = finds.numbers
        return finds.first(find(self.text)) if find else None


def fill(schema: Schema, text: str, suggest: Suggest) -> Speech:
    """A JSON object for the schema with what the text says. Raises BadSchema."""
    check_schema(schema)
    writer = _Writer(schema, text, suggest)
    resolved = writer.resolve(schema, 0)
    if resolved.get("type", "object") == "object":
        return tuple(writer.object(resolved, "", 0))
    value, probability = writer.write(resolved, "")
    return (Part(value, probability),)


def check_schema(schema: object, where: str = "the schema") -> None:
    """Raises BadSchema, naming the place, when the schema cannot be followed."""
    if not isinstance(schema, Mapping):
        raise BadSchema(f"{where} must be an object, not {json.dumps(schema)[:60]}")
    if unknown := sorted(set(schema) - KNOWN):
        raise BadSchema(f"{where} has keywords that are not supported: {', '.join(unknown)}")
    for name, inner in {**schema.get("properties", {}), **schema.get("$defs", {})}.items():
        check_schema(inner, f"{where}.{name}")
    if "items" in schema:
        check_schema(schema["items"], f"{where}[]")


def match_regex(pattern: str, text: str) -> str:
    """A string that matches the whole pattern: the first place of the text that does, else the shortest one.

    Raises BadSchema when the pattern is no regular expression.
    """
    try:
        found = re.search(_loose(pattern), text)
        return found.group(0) if found and re.fullmatch(pattern, found.group(0)) else _shortest(_parser.parse(pattern))
    except re.error as error:
        raise BadSchema(f"not a regular expression: {error}") from error


def _pointed(root: Schema, pointer: str) -> Schema:
    at: Any = root
    for step in pointer.removeprefix("#/").split("/") if pointer != "#" else []:
        if not isinstance(at, Mapping) or step not in at:
            raise BadSchema(f"$ref {pointer} points nowhere")
        at = at[step]
    if not isinstance(at, Mapping):
        raise BadSchema(f"$ref {pointer} does not point to a schema")
    return at


def _typed(written: str, schema: Schema) -> object | None:
    """The value in the schema's type, or None when it does not fit."""
    kinds = schema.get("type", "string")
    kind = kinds if isinstance(kinds, str) else next((one for one in kinds if one != "null"), "string")
    try:
        match kind:
            case "integer":
                number: float = int(float(written))
            case "number":
                number = float(written)
            case "boolean":
                return written == "true"
            case _:
                return _fitting(written, schema)
    except ValueError:
        return None
    return number if _within(number, schema) else None


def _fitting(written: str, schema: Schema) -> str | None:
    if len(written) < int(schema.get("minLength", 0)):
        return None
    written = written[: int(schema.get("maxLength", len(written)))]
    if "pattern" in schema and not re.search(str(schema["pattern"]), written):
        return None
    if "date" in str(schema.get("format", "")) and not re.match(r"\d{4}-\d{2}-\d{2}", written):
        return None
    return written


def _within(number: float, schema: Schema) -> bool:
    inside = schema.get("minimum", number) <= number <= schema.get("maximum", number)
    above = number > schema["exclusiveMinimum"] if "exclusiveMinimum" in schema else True
    below = number < schema["exclusiveMaximum"] if "exclusiveMaximum" in schema else True
    return bool(inside and above and below and (number % schema["multipleOf"] == 0 if "multipleOf" in schema else True))


def _least(schema: Schema, kind: str) -> object:
    match kind:
        case "boolean":
            return False
        case "integer" | "number":
            step = schema.get("multipleOf", 1)
            least = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
            most = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else 0)
            number = least if least is not None else min(0, most)
            return int(-(-number // step) * step) if kind == "integer" else number
        case _ if "pattern" in schema:
            return match_regex(str(schema["pattern"]), "")
        case _:
            fixed = {"date": "1970-01-01", "date-time": "1970-01-01T00:00:00Z", "email": "unknown@example.invalid"}
            value = fixed.get(str(schema.get("format", "")), "")
            return value.ljust(int(schema.get("minLength", 0)), "-")


def _mentioned(text: str, name: str) -> Fact:
    """Whether the text speaks of what the field is named for ("refund_requested": refund)."""
    wanted = [
        word[:5] for word in words(name.replace("_", " ")) if word not in ("is", "has", "wants", "requested", "needs")
    ]
    said = words(text)
    hit = any(word.startswith(part) for word in said for part in wanted)
    denied = hit and bool({"not", "no", "never", "don't", "without"} & set(said))
    return Fact("true" if hit and not denied else "false", finds.GUESS if denied else finds.LIKELY)


def _loose(pattern: str) -> str:
    return pattern.removeprefix("^").removesuffix("$")


def _shortest(tree: Any) -> str:
    """The shortest string of a parsed regular expression, choosing first branches."""
    return "".join(_shortest_of(op, argument) for op, argument in tree)


def _shortest_of(op: Any, argument: Any) -> str:
    if op is _constants.LITERAL:
        return chr(argument)
    if op in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
        least, _, inner = argument
        return _shortest(inner) * int(least)
    if op is _constants.SUBPATTERN:
        return _shortest(argument[-1])
    if op is _constants.BRANCH:
        return _shortest(argument[1][0])
    if op is _constants.IN:
        return _member(argument)
    if op is _constants.ANY:
        return "-"
    if op is _constants.AT:
        return ""
    raise BadSchema(f"the regular expression uses {op}, which is not supported")


def _member(options: Any) -> str:
    op, argument = options[0]
    if op is _constants.NEGATE:
        tried = re.compile("[^" + "".join(re.escape(chr(a)) for o, a in options[1:] if o is _constants.LITERAL) + "]")
        return next(character for character in "-abc019 _" if tried.match(character))
    if op is _constants.RANGE:
        return chr(argument[0])
    if op is _constants.CATEGORY:
        return {"CATEGORY_DIGIT": "0", "CATEGORY_WORD": "a", "CATEGORY_SPACE": " "}.get(str(argument), "-")
    return chr(argument)
