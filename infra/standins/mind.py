"""What answers behind the wires: trained heads, an extractive reader, and rules for the tasks of a support desk.

Everything is computed from the prompt. The conventions of prompts are in `prompts.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, assert_never

import numpy as np

from infra.standins import arithmetic, composing, fill, lexicon
from infra.standins.composing import Snippet
from infra.standins.finds import Fact
from infra.standins.heads import Head, read_rows, train_from_rows
from infra.standins.language import Language, load_language, sentences
from infra.standins.prompts import Passage, Prompt, Task, read_passages, without_lead_in
from infra.standins.reader import NOT_FOUND, read
from infra.standins.speech import Call, Choice, Part, Speech, best, say, text_of
from infra.standins.tools import Tool, call, choose

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples" / "support"
UNTRANSLATED: Final = "(This stand-in cannot translate; the text was:)"
NOT_TOLD: Final = "The message does not tell."
DONT_KNOW: Final = "I do not know enough to answer that."
TALKATIVE: Final = 0.85
"""A canned reply must be this probable to be given to a question without a task."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """What the output must look like: exactly one of the two is set."""

    schema: Mapping[str, Any] | None = None
    regex: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller asks beyond the prompt."""

    adapter: str | None = None
    grammar: Grammar | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    """auto, none, required, or the name of a tool."""


class Mind:
    """Heads, snippets and the reader. `answer` is deterministic and takes well under a millisecond for short texts."""

    def __init__(
        self, language: Language, adapters: Mapping[str, Head], snippets: Sequence[Snippet], needs: Head
    ) -> None:
        self.language = language
        self.adapters = dict(adapters)
        """Classifier adapters by name; `support` is the adapter of everything else and needs no head."""
        self._snippets = tuple(snippets)
        self._needs = needs

    @classmethod
    def train(cls, files: Mapping[str, Path] | None = None) -> "Mind":
        """Trains the heads, about 0.5 s. files: classifier adapter -> JSONL of {"text", "label"}; default: `tickets`."""
        language = load_language()
        sources = files or {"tickets": EXAMPLES / "tickets.jsonl"}
        adapters = {name: train_from_rows(language, read_rows(path)) for name, path in sources.items()}
        needing = [row for row in read_rows(EXAMPLES / "needs_documents.jsonl") if not row["held_out"]]
        snippets = composing.snippets_of(read_rows(EXAMPLES / "replies.jsonl"))
        return cls(language, adapters, snippets, train_from_rows(language, needing, "needs"))

    def knows(self, adapter: str | None) -> bool:
        """Whether an adapter of this name is loaded."""
        return not adapter or adapter == "support" or adapter in self.adapters

    def needs_documents(self, question: str) -> float:
        """Probability that a question is about the product's documentation."""
        return self._needs.probabilities(self.language.embed(question))["True"]

    def answer(self, prompt: Prompt, wanted: Wanted) -> Speech | Call:
        """Answers or calls a tool. Raises BadSchema when the grammar cannot be followed."""
        if call := self._call(prompt, wanted):
            return call
        result = _tool_passages(prompt)
        if result is not None:
            prompt = replace(prompt, passages=result, has_passages=True, task=prompt.task or "answer")
        if wanted.grammar is not None:
            return self._constrained(prompt, wanted.grammar, wanted.adapter)
        return self.speak(prompt, self.task_of(prompt, wanted.adapter), wanted.adapter)

    def task_of(self, prompt: Prompt, adapter: str | None) -> Task:
        """What to do: a classifier adapter only classifies; else what the prompt says; else what it contains."""
        if adapter in self.adapters:
            return "classify"
        if prompt.has_passages and prompt.task in (None, "general"):
            return "answer"
        return prompt.task or "general"

    def speak(self, prompt: Prompt, task: Task, adapter: str | None) -> Speech:
        """The answer to a task in free text."""
        text = prompt.text if task in ("answer", "general") else without_lead_in(prompt.text)
        match task:
            case "translate":
                return say(f"{UNTRANSLATED} {text}", 0.1)
            case "classify" | "sentiment" | "urgency" | "language":
                shares = self.shares(task, text, prompt.labels, adapter)
                return (Choice(best(shares), shares),)
            case "extract":
                return fill.fill(DEFAULT_FIELDS, text, partial(self._field, prompt, adapter))
            case "summarize":
                return composing.summarize(self.language, text)
            case "draft":
                found = read(self.language, text, prompt.passages) if prompt.passages else ()
                grounded = () if text_of(found) == NOT_FOUND else found
                return composing.draft(self.language, text, self._snippets, self.topics(text), grounded)
            case "answer":
                return self._read(prompt)
            case "general":
                return self._chat(text)
            case _:
                assert_never(task)

    def topics(self, text: str) -> dict[str, float]:
        """Probabilities of the labels of the first classifier adapter."""
        head = next(iter(self.adapters.values()))
        return head.probabilities(self.language.embed(text))

    def shares(self, task: Task, text: str, labels: tuple[str, ...], adapter: str | None) -> dict[str, float]:
        """Probabilities of the labels of a classifying task, of the given ones when there are any."""
        match task:
            case "sentiment":
                known = lexicon.sentiment(text)
            case "urgency":
                known = _renamed(lexicon.urgency(text), labels)
            case "language":
                known = lexicon.language(text)
            case _:
                head = self.adapters.get(adapter or "") or next(iter(self.adapters.values()))
                known = head.probabilities(self.language.embed(text))
        return self._among(known, labels, text) if labels else known

    def _constrained(self, prompt: Prompt, grammar: Grammar, adapter: str | None) -> Speech:
        if grammar.regex is not None:
            said = text_of(self.speak(prompt, self.task_of(prompt, adapter), adapter))
            return say(fill.match_regex(grammar.regex, f"{said}\n{prompt.text}"), 0.8)
        suggest = partial(self._field, prompt, adapter)
        return fill.fill(grammar.schema or {}, without_lead_in(prompt.text), suggest)

    def _field(self, prompt: Prompt, adapter: str | None, name: str, allowed: tuple[str, ...]) -> Fact | None:
        lowered = name.lower()
        for part, task in FIELD_TASKS:
            if part in lowered:
                return self._fact(prompt, task, adapter, allowed)
        if not allowed:
            return None
        task = self.task_of(prompt, adapter)
        return self._fact(
            prompt, task if task in ("sentiment", "urgency", "language") else "classify", adapter, allowed
        )

    def _fact(self, prompt: Prompt, task: Task, adapter: str | None, allowed: tuple[str, ...]) -> Fact | None:
        if task in ("classify", "sentiment", "urgency", "language"):
            shares = self.shares(task, prompt.text, allowed, adapter)
            return Fact(best(shares), shares[best(shares)])
        speech = self.speak(prompt, task, adapter)
        surest = [part.probability for part in speech if isinstance(part, Part)]
        return Fact(text_of(speech), min(surest, default=0.5))

    def _among(self, known: dict[str, float], labels: tuple[str, ...], text: str) -> dict[str, float]:
        """The head's probabilities within the labels when it knows two of them; else likeness to their names."""
        folded = {name.lower().replace(" ", "_"): share for name, share in known.items()}
        kept = {label: folded.get(label.lower().replace(" ", "_"), 0.0) for label in labels}
        if sum(label.lower().replace(" ", "_") in folded for label in labels) >= 2 and sum(kept.values()) > 0.0:
            total = sum(kept.values())
            return {label: share / total for label, share in kept.items()}
        names = self.language.embed_many([label.replace("_", " ") for label in labels])
        raised = np.exp(10.0 * (names @ self.language.embed(text)))
        return dict(zip(labels, (float(one) for one in raised / raised.sum()), strict=True))

    def _read(self, prompt: Prompt) -> Speech:
        if not prompt.has_passages:
            return self._from_message(prompt.text)
        return read(self.language, prompt.text, prompt.passages)

    def _from_message(self, text: str) -> Speech:
        """Answers from what the message itself says before or after its question; else says that it does not tell."""
        told = sentences(text)
        asked = next((one for one in reversed(told) if one.endswith("?")), told[-1] if told else text)
        given = " ".join(one for one in told if one != asked)
        found = read(self.language, asked, [Passage(1, "", given)]) if given else ()
        if not found or text_of(found) == NOT_FOUND:
            return say(NOT_TOLD, 0.4)
        return tuple(
            replace(part, text=part.text.removesuffix(" [1]")) if isinstance(part, Part) else part for part in found
        )

    def _chat(self, text: str) -> Speech:
        if sum_ := arithmetic.solve(text):
            return say(f"{sum_[0]} = {arithmetic.show(sum_[1])}", 0.97)
        chosen, probability = composing.pick(self.language, text, self._snippets, self.topics(text))
        return say(chosen.text, probability) if probability >= TALKATIVE else say(DONT_KNOW, 0.2)

    def _call(self, prompt: Prompt, wanted: Wanted) -> Call | None:
        if not wanted.tools or wanted.tool_choice == "none" or _has_result(prompt):
            return None
        chosen = choose(self.language, prompt.text, wanted.tools, wanted.tool_choice, self.needs_documents)
        if chosen is None:
            return None
        return call(chosen[0], prompt.text, chosen[1])


FIELD_TASKS: Final[tuple[tuple[str, Task], ...]] = (
    ("sentiment", "sentiment"),
    ("mood", "sentiment"),
    ("urgen", "urgency"),
    ("priority", "urgency"),
    ("language", "language"),
    ("label", "classify"),
    ("category", "classify"),
    ("topic", "classify"),
    ("intent", "classify"),
    ("summary", "summarize"),
    ("answer", "answer"),
    ("reply", "draft"),
)
"""Part of a field's name -> the task that fills it."""

URGENCIES: Final[Mapping[str, tuple[str, ...]]] = {
    "low": ("minor", "none"),
    "medium": ("normal", "moderate"),
    "high": ("urgent", "critical"),
}
"""Level -> other names for it."""

DEFAULT_FIELDS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        name: {"type": ["string", "null"]} for name in ("order_id", "email", "amount", "currency", "date", "product")
    },
}
"""What `Task: extract` gives without a grammar."""


def _renamed(shares: dict[str, float], labels: tuple[str, ...]) -> dict[str, float]:
    """Urgency under the names that the caller gives its three levels."""
    names = {
        level: next((label for label in labels if label.lower() in (level, *others)), level)
        for level, others in URGENCIES.items()
    }
    return {names[level]: share for level, share in shares.items()}


def _has_result(prompt: Prompt) -> bool:
    """Whether a tool has answered since the user last spoke."""
    roles = [turn.role for turn in prompt.turns if turn.role in ("user", "tool")]
    return bool(roles) and roles[-1] == "tool"


def _tool_passages(prompt: Prompt) -> tuple[Passage, ...] | None:
    """The passages in the tools' results: numbered ones as they are, other text as one passage a result."""
    if not _has_result(prompt):
        return None
    last = max(at for at, turn in enumerate(prompt.turns) if turn.role == "user")
    found: list[Passage] = []
    for turn in prompt.turns[last + 1 :]:
        if turn.role == "tool":
            numbered = read_passages(turn.text)
            found.extend(numbered or [Passage(len(found) + 1, "", turn.text)])
    return tuple(found)
