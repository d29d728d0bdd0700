"""What can be taken out of a task type's prompt, as changes of its TaskSpec, the mildest first."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from trivium.core.policy import Target, TaskSpec, Tier
from trivium.core.prompt import byte_length
from trivium.core.request import Output, OutputKind
from trivium.economy.questions import Question

CUTS: Final = (0.30, 0.35, 0.40, 0.45, 0.50, 0.60)
SENTENCE_CUTS: Final = (0.2, 0.35, 0.5, 0.65, 0.8)
PARTS: Final = ((3, 4), (1, 2), (1, 3), (1, 4))
LEAST_BUDGET: Final = 32
SHOWN: Final = 48

_SENTENCE: Final = re.compile(r"(?<=[.!?])[ \t]+")


@dataclass(frozen=True, slots=True)
class Edit:
    """One change, in words and as a function. It may find nothing to do: then the spec stays equal."""

    name: str
    apply: Callable[[TaskSpec], TaskSpec]


@dataclass(frozen=True, slots=True)
class Ladder:
    """Rungs from mild to strong: climbed until one fails. When not even the first holds, the finer ladders are tried."""

    rungs: tuple[Edit, ...]
    finer: tuple["Ladder", ...] = ()


def ladders(spec: TaskSpec, target: Target, keep: Sequence[str], structured: Output | None) -> list[Ladder]:
    """What to try for a task type, in the order in which it is tested: examples and instructions, which seldom change an
    answer, then retrieved context, then the output's form.

    `keep`: an instruction with one of these texts in it stays. `structured`: a form to try, None when it may not change."""
    found: list[Ladder] = []
    if spec.examples:
        found.append(_together("all examples", [_example(spec, i) for i in _longest(spec)], _without_examples))
    if droppable := [unit for unit in units(spec.system) if not _stays(unit, keep)]:
        found.append(_together("all other instructions", [_instruction(unit) for unit in droppable], _without(droppable)))
    if target.tier is Tier.RETRIEVAL:
        found.append(Ladder(tuple(Edit(f"sentence_cut {cut:g}", _sentences_at(cut)) for cut in SENTENCE_CUTS if cut > spec.sentence_cut)))
    if searches(spec, target):
        found.extend(_context(spec))
    if structured is not None and structured != spec.output:
        found.append(Ladder((Edit("structured output", lambda s: replace(s, output=structured)),)))
    return found


def searches(spec: TaskSpec, target: Target) -> bool:
    """Whether this target adds retrieved context to the prompt."""
    return target.tier is Tier.RETRIEVAL or (target.tier is Tier.FINETUNED and spec.search_documents)


def structured_form(questions: Sequence[Question]) -> Output | None:
    """The JSON Schema that expected labels or fields fit; None when the questions expect neither."""
    if questions and all(question.label for question in questions):
        labels = sorted({question.label for question in questions})
        return _form({"label": {"enum": labels}})
    if questions and all(question.fields for question in questions):
        names = dict.fromkeys(name for question in questions for name, _ in question.fields)
        return _form({name: {"type": ["string", "null"]} for name in names})
    return None


def units(system: str) -> list[str]:
    """The instructions of a system prompt, sentence by sentence; its first line, which names the task, is none."""
    _, lines = _lines(system)
    return list(dict.fromkeys(unit for line in lines for unit in _SENTENCE.split(line) if unit))


def without_units(system: str, gone: Sequence[str]) -> str:
    """The system prompt without these instructions; lines that become empty go too."""
    head, lines = _lines(system)
    kept = [" ".join(unit for unit in _SENTENCE.split(line) if unit and unit not in gone) for line in lines]
    return "\n".join([*head, *(line for line in kept if line)])


def _lines(system: str) -> tuple[list[str], list[str]]:
    """The line that names the task, and the others; a sentence that was broken over two lines stands in one."""
    lines = [line.strip() for line in system.splitlines()]
    head = 1 if lines and lines[0].startswith("Task:") else 0
    joined: list[str] = []
    for line in lines[head:]:
        if joined and joined[-1] and joined[-1][-1] not in ".!?:" and line[:1].islower():
            joined[-1] = f"{joined[-1]} {line}"
        else:
            joined.append(line)
    return lines[:head], joined


def changed(before: TaskSpec, after: TaskSpec) -> dict[str, object]:
    """The policy's keys whose values differ, as they are written there."""
    found: dict[str, object] = {}
    for key in ("system", "passages", "context_budget_tokens", "relevance_cut", "sentence_cut"):
        if getattr(before, key) != getattr(after, key):
            found[key] = getattr(after, key)
    if before.examples != after.examples:
        found["examples"] = [{"input": one.input, "output": one.output} for one in after.examples]
    if before.output != after.output:
        schema = json.loads(after.output.schema_json) if after.output.schema_json else None
        found["output"] = {"kind": after.output.kind.value, **({"schema": schema} if schema else {})}
    return found


def _context(spec: TaskSpec) -> list[Ladder]:
    cuts = [cut for cut in CUTS if cut > spec.relevance_cut]
    budgets = [max(LEAST_BUDGET, spec.context_budget_tokens * up // down) for up, down in PARTS]
    counts = range(spec.passages - 1, 0, -1)
    return [
        Ladder(tuple(Edit(f"relevance_cut {cut:g}", _cut_at(cut)) for cut in cuts)),
        Ladder(tuple(Edit(f"passages {n}", _most_passages(n)) for n in counts)),
        Ladder(tuple(Edit(f"context_budget_tokens {n}", _within(n)) for n in dict.fromkeys(budgets))),
    ]


def _cut_at(cut: float) -> Callable[[TaskSpec], TaskSpec]:
    return lambda spec: replace(spec, relevance_cut=cut)


def _sentences_at(cut: float) -> Callable[[TaskSpec], TaskSpec]:
    return lambda spec: replace(spec, sentence_cut=cut)


def _most_passages(count: int) -> Callable[[TaskSpec], TaskSpec]:
    return lambda spec: replace(spec, passages=count)


def _within(budget: int) -> Callable[[TaskSpec], TaskSpec]:
    return lambda spec: replace(spec, context_budget_tokens=budget)


def _together(name: str, each: list[Edit], everything: Callable[[TaskSpec], TaskSpec]) -> Ladder:
    """All at once; one by one when that is too much."""
    if len(each) == 1:
        return Ladder((each[0],))
    return Ladder((Edit(name, everything),), tuple(Ladder((edit,)) for edit in each))


def _without_examples(spec: TaskSpec) -> TaskSpec:
    return replace(spec, examples=())


def _longest(spec: TaskSpec) -> list[int]:
    sizes = [byte_length(one.input) + byte_length(one.output) for one in spec.examples]
    return sorted(range(len(sizes)), key=lambda i: -sizes[i])


def _example(spec: TaskSpec, at: int) -> Edit:
    shown = spec.examples[at]
    return Edit(f"example {_shown(shown.input)}", lambda s: replace(s, examples=tuple(one for one in s.examples if one != shown)))


def _instruction(unit: str) -> Edit:
    return Edit(f"instruction {_shown(unit)}", _without([unit]))


def _without(gone: Sequence[str]) -> Callable[[TaskSpec], TaskSpec]:
    return lambda spec: replace(spec, system=without_units(spec.system, gone))


def _stays(unit: str, keep: Sequence[str]) -> bool:
    return any(word.casefold() in unit.casefold() for word in keep)


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")


def _form(properties: dict[str, object]) -> Output:
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return Output(OutputKind.JSON, json.dumps(schema, separators=(",", ":"), ensure_ascii=False))
