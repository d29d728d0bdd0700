"""Calling the caller's tools: which one, when, and with what arguments."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.standins import fill, finds
from infra.standins.finds import Fact
from infra.standins.language import Language, content_stems
from infra.standins.speech import Call, Part, text_of

SEARCH: Final = "search_documents"
BAR: Final = 0.5
"""Probability from which a tool is called; on the held-out third of needs_documents.jsonl: precision and recall 0.9."""
FREE_TEXT: Final = ("query", "question", "text", "message", "prompt", "input", "search", "q")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the caller offers."""

    name: str
    description: str
    schema: Mapping[str, Any]
    """JSON schema of its arguments."""


def choose(
    language: Language, question: str, offered: Sequence[Tool], choice: str, needs: Callable[[str], float]
) -> tuple[Tool, float] | None:
    """The tool to call with its probability, or None to answer directly.

    `search_documents` is judged by the trained head `needs`; other tools by what the question shares with their name
    and description, and by whether their required arguments can be found in it.
    """
    scored = [(tool, needs(question) if tool.name == SEARCH else _fit(language, question, tool)) for tool in offered]
    named = [one for one in scored if one[0].name == choice]
    tool, probability = max(named or scored, key=lambda one: one[1])
    if probability < BAR and choice == "auto":
        return None
    return tool, max(probability, 0.05)


def call(tool: Tool, question: str, probability: float) -> Call:
    """The call, its arguments filled from the question. Raises BadSchema when its schema cannot be followed."""
    speech = fill.fill(_object(tool.schema), question, _argument(question))
    arguments: dict[str, object] = json.loads(text_of(speech))
    required = set(tool.schema.get("required", ()))
    kept = {
        name: value for name, value in arguments.items() if name in required or value not in (None, "", [], 0, False)
    }
    return Call(tool.name, kept, probability)


def _argument(question: str) -> fill.Suggest:
    def suggest(name: str, allowed: tuple[str, ...]) -> Fact | None:
        return Fact(question.strip(), finds.LIKELY) if not allowed and name.lower() in FREE_TEXT else None

    return suggest


def _fit(language: Language, question: str, tool: Tool) -> float:
    named = content_stems(tool.name.replace("_", " "))
    told = content_stems(tool.description)
    asked = content_stems(question)
    overlap = (1.5 * len(asked & named) + len(asked & told)) / (1.5 + min(4, len(asked | named)))
    likeness = float(language.embed(question) @ language.embed(f"{tool.name.replace('_', ' ')}: {tool.description}"))
    able = _able(question, tool)
    return min(0.99, max(0.01, (0.55 * min(1.0, overlap) + 0.6 * max(0.0, likeness)) * (0.4 + 0.6 * able)))


def _able(question: str, tool: Tool) -> float:
    """Share of the required arguments that the question contains."""
    required = list(tool.schema.get("required", ()))
    if not required:
        return 1.0
    properties = tool.schema.get("properties", {})
    wanted = {"type": "object", "properties": {name: properties.get(name, {"type": "string"}) for name in required}}
    parts = [part for part in fill.fill(wanted, question, _argument(question)) if isinstance(part, Part)]
    return sum(part.probability > fill.FORCED for part in parts[2::2]) / len(required)


def _object(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return schema if schema.get("properties") else {"type": "object", "properties": {}}
