"""What a prompt asks: the few conventions by which the stand-ins understand a request.

* The system prompt begins with a line `Task: <name>`. The name need not be exact: `classify_ticket`, `triage` and
  `classify` are one task (see `TASKS`). Without that line the adapter, passages or the question decide.
* `Labels: a, b, c` in the system prompt restricts the labels of a classifying task.
* Passages stand in the last user turn (or the system prompt), each begins on a line of its own with `[1] (document, section) text`, all of them between
  `<passages>` and `</passages>`. What is in there is data.
* The text to work on is the last user turn without its passages: what stands in `<input>...</input>` or
  `<message>...</message>` when there is such a pair, else what follows the last line `Question: `, else all of it.
  A short instruction in front of a colon ("Rate the urgency: ...") is not part of what is labelled or rewritten.
* On `/generate`, which takes one string, turns are marked `<|system|>`, `<|user|>`, `<|assistant|>`, `<|tool|>`
  (also `<|im_start|>system`), or by lines that begin with `System:`, `User:`, `Assistant:` when the text begins so.
  Unmarked, a first paragraph that begins with `Task:` is the system prompt and the rest is the user's turn.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Task = Literal[
    "classify", "sentiment", "language", "urgency", "extract", "summarize", "draft", "answer", "translate", "general"
]
Role = Literal["system", "user", "assistant", "tool"]

TASKS: Final[tuple[tuple[str, Task], ...]] = (
    ("sentiment", "sentiment"),
    ("mood", "sentiment"),
    ("translat", "translate"),
    ("language", "language"),
    ("urgen", "urgency"),
    ("priorit", "urgency"),
    ("extract", "extract"),
    ("fields", "extract"),
    ("summar", "summarize"),
    ("draft", "draft"),
    ("reply", "draft"),
    ("classif", "classify"),
    ("triage", "classify"),
    ("categor", "classify"),
    ("label", "classify"),
    ("tag", "classify"),
    ("answer", "answer"),
    ("ask", "answer"),
    ("question", "answer"),
    ("docs", "answer"),
    ("document", "answer"),
    ("lookup", "answer"),
)
"""Part of a task's name -> what the stand-in does; the first that fits."""

_LEAD_IN: Final = re.compile(
    r"^(?=[^:\n]*\b(?:language|sentiment|mood|feel\w*|positive|negative|urgen\w+|priority|rate|summar\w+|gist|draft|reply|write"
    r"|answer to|extract|pull|classify|categor\w+|label|tag|ticket|message|thread|translate)\b)(?:[^\s:]+ ?){1,12}:\s+",
    re.IGNORECASE,
)
_TASK: Final = re.compile(r"^[ \t]*Task:[ \t]*([^\n]+)", re.IGNORECASE | re.MULTILINE)
_LABELS: Final = re.compile(r"^[ \t]*Labels:[ \t]*([^\n]+)", re.IGNORECASE | re.MULTILINE)
_PASSAGES: Final = re.compile(r"<passages>(.*?)(?:</passages>|\Z)", re.IGNORECASE | re.DOTALL)
_PASSAGE: Final = re.compile(r"^[ \t]*\[(\d+)\][ \t]*(?:\(([^)\n]*)\))?[ \t]*", re.MULTILINE)
_TURN: Final = re.compile(r"<\|(?:im_start\|>)?(system|user|assistant|tool)(?:\|>)?[ \t]*\n?", re.IGNORECASE)
_SPOKEN: Final = re.compile(r"^(System|User|Assistant|Tool):[ \t]*", re.MULTILINE)
_END: Final = re.compile(r"<\|(?:im_end|end|eot_id)\|>|</s>")
_ENCLOSED: Final = re.compile(r"<(input|message|text|ticket)>(.*?)</\1>", re.IGNORECASE | re.DOTALL)
_QUESTION: Final = re.compile(r"^[ \t]*Question:[ \t]*", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """One numbered passage of a grounded prompt."""

    number: int
    source: str
    """What stood in parentheses: document, section."""
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request, understood."""

    task: Task | None
    """None when no `Task:` line says it."""
    labels: tuple[str, ...]
    passages: tuple[Passage, ...]
    has_passages: bool
    """Whether there was a `<passages>` block, even an empty one."""
    text: str
    """What to work on: the last user turn without its passages."""
    turns: tuple[Turn, ...]


def read_prompt(turns: Sequence[Turn]) -> Prompt:
    """Understands a conversation."""
    system = "\n".join(turn.text for turn in turns if turn.role == "system")
    last = next((turn.text for turn in reversed(turns) if turn.role == "user"), "")
    blocks = _PASSAGES.findall(last) or _PASSAGES.findall(system)
    told = _PASSAGES.sub("", system)
    task = _TASK.search(told)
    labels = _LABELS.search(told)
    return Prompt(
        task=name_task(task.group(1)) if task else None,
        labels=tuple(part.strip() for part in labels.group(1).rstrip(".").split(",") if part.strip()) if labels else (),
        passages=tuple(passage for block in blocks for passage in read_passages(block)),
        has_passages=bool(blocks),
        text=_text_of(_PASSAGES.sub("\n", last)),
        turns=tuple(turns),
    )


def read_flat(inputs: str) -> Prompt:
    """Understands the one string that `/generate` takes."""
    return read_prompt(split_turns(inputs))


def split_turns(inputs: str) -> list[Turn]:
    """The turns of a flat prompt."""
    if _TURN.match(inputs.lstrip()):
        return _cut(inputs, _TURN)
    if _SPOKEN.match(inputs):
        return _cut(inputs, _SPOKEN)
    if _TASK.match(inputs):
        head, _, rest = inputs.partition("\n\n")
        if not rest:
            head, _, rest = inputs.partition("\n")
        return [Turn("system", head), Turn("user", rest)]
    return [Turn("user", inputs)]


def read_passages(block: str) -> list[Passage]:
    """The numbered passages of a block, in order."""
    marks = list(_PASSAGE.finditer(block))
    ends = [mark.start() for mark in marks[1:]] + [len(block)][: len(marks)]
    return [
        Passage(int(mark.group(1)), mark.group(2) or "", block[mark.end() : end].strip())
        for mark, end in zip(marks, ends, strict=True)
    ]


def name_task(name: str) -> Task:
    """The task that a name means; a name that says nothing is `general`."""
    lowered = name.strip().lower()
    return next((task for part, task in TASKS if part in lowered), "general")


def without_lead_in(text: str) -> str:
    """The text that an instruction in front of a colon is about: "Rate the urgency: my shop is down"."""
    rest = _LEAD_IN.sub("", text, count=1).strip()
    return rest or text


def _cut(inputs: str, mark: re.Pattern[str]) -> list[Turn]:
    marks = list(mark.finditer(inputs))
    ends = [found.start() for found in marks[1:]] + [len(inputs)]
    roles: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
    turns = [
        Turn(roles[found.group(1).lower()], _END.sub("", inputs[found.end() : end]).strip())
        for found, end in zip(marks, ends, strict=True)
    ]
    return [turn for turn in turns if turn.text]


def _text_of(turn: str) -> str:
    enclosed = _ENCLOSED.findall(turn)
    if enclosed:
        return str(enclosed[-1][1]).strip()
    asked = list(_QUESTION.finditer(turn))
    return turn[asked[-1].end() :].strip() if asked else turn.strip()
