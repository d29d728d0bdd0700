"""What the stand-in for Claude says: computed from the prompt, and saying that it is a stand-in.

Labels, JSON and calls of tools are bare, so that they can be read by machines; every other text ends with a notice.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from infra.standins import arithmetic, finds
from infra.standins.claude_wire import Asked, Content, StopReason
from infra.standins.language import sentences
from infra.standins.mind import DONT_KNOW, NOT_TOLD, Grammar, Mind, Wanted
from infra.standins.prompts import Prompt, read_prompt
from infra.standins.speech import Call, Choice, Speech, text_of

SIGNED: Final = "\n\n(Computed by a stand-in for Claude, not by a language model.)"
TERSE: Final = "haiku"
"""A model with this in its name shows no steps."""


def compose(mind: Mind, asked: Asked) -> Content:
    """The answer to a request. Raises BadSchema."""
    prompt = read_prompt(asked.turns)
    grammar = Grammar(schema=asked.schema) if asked.schema is not None else None
    if grammar is None and not asked.tools and _is_open(prompt):
        return _cut(mind, asked, _reason(mind, asked.model, prompt))
    said = mind.answer(prompt, Wanted(grammar=grammar, tools=asked.tools, tool_choice=asked.tool_choice))
    if isinstance(said, Call):
        return _calling(mind, said.name, said.arguments)
    if _is_bare(grammar, said):
        return _cut(mind, asked, text_of(said))
    if _is_open(prompt) and not _answers_tools(prompt):
        return _cut(mind, asked, _reason(mind, asked.model, prompt))
    return _cut(mind, asked, text_of(said) + SIGNED)


def refusal() -> Content:
    """A refusal: nothing said, one token billed."""
    return Content((), (), "refusal", None, 1)


def _is_open(prompt: Prompt) -> bool:
    return prompt.task in (None, "general", "answer") and not prompt.has_passages


def _answers_tools(prompt: Prompt) -> bool:
    return prompt.turns[-1].role == "tool"


def _is_bare(grammar: Grammar | None, said: Speech) -> bool:
    return grammar is not None or any(isinstance(part, Choice) for part in said) or text_of(said).startswith("{")


def _reason(mind: Mind, model: str, prompt: Prompt) -> str:
    """A trace over the question: what is asked, what is given, what can be computed, and where that leads."""
    conclusion = _conclude(mind, prompt)
    if TERSE in model:
        return conclusion + SIGNED
    told = sentences(prompt.text)
    asked = next((one for one in reversed(told) if one.endswith("?")), told[-1] if told else prompt.text)
    given = [one for one in told if one != asked][:4]
    steps = [f"The question is: {asked[:300]}", *(f"Given: {one[:200]}" for one in given)]
    if numbers := [fact.value for fact in finds.numbers(prompt.text)][:8]:
        steps.append(f"Figures: {', '.join(numbers)}")
    listed = "\n".join(f"{at}. {step}" for at, step in enumerate(steps, start=1))
    return f"{listed}\n\n{conclusion}{SIGNED}"


def _conclude(mind: Mind, prompt: Prompt) -> str:
    if solved := arithmetic.solve(prompt.text):
        return f"{solved[0]} = {arithmetic.show(solved[1])}"
    task = prompt.task or "general"
    said = text_of(mind.speak(prompt, task, None))
    if said not in (DONT_KNOW, NOT_TOLD):
        return said
    told = sentences(prompt.text)
    if len(told) < 2:
        return "What was asked cannot be computed from the question alone."
    return "What matters most here: " + text_of(mind.speak(prompt, "summarize", None))


def _calling(mind: Mind, name: str, arguments: Mapping[str, object]) -> Content:
    announced = tuple(piece.text for piece in mind.language.pieces(f"I will use {name}."))
    tokens = len(announced) + mind.language.count(json.dumps(arguments)) + 8
    return Content(announced, ((name, arguments),), "tool_use", None, tokens)


def _cut(mind: Mind, asked: Asked, text: str) -> Content:
    """Ends the text before the first stop sequence, or at the most tokens."""
    stopped: str | None = None
    reason: StopReason = "end_turn"
    places: list[tuple[int, str]] = sorted((text.index(one), one) for one in asked.stop if one and one in text)
    if places:
        text, stopped, reason = text[: places[0][0]], places[0][1], "stop_sequence"
    pieces = [piece.text for piece in mind.language.pieces(text)]
    if len(pieces) > asked.max_tokens:
        pieces, stopped, reason = pieces[: asked.max_tokens], None, "max_tokens"
    return Content(tuple(pieces), (), reason, stopped, max(1, len(pieces)))


def raw_prompt(body: Mapping[str, Any]) -> str:
    """The prompt of a body that may be invalid, for the call log."""
    return json.dumps([body.get("system"), body.get("messages")], ensure_ascii=False, default=str)
