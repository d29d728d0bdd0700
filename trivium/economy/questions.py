"""Held-out questions: what was asked, and what a right answer is.

One JSON object a line: `{"text": ...}` with one of

    "label": "billing"                  the answer is this word (or a JSON object whose one value or `label` it is)
    "fields": {"order_id": "4411"}      the answer is JSON with these values
    "contains": ["half", "15 minutes"]  the answer has all of these in it
    "cites": ["docs/cache.md"]          the answer cites one of these documents
    "not_found": true                   the documents do not say

and nothing: the answer must stay the one that the prompt of today gives."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trivium.core.near import hint, quoted
from trivium.core.outcome import Answer
from trivium.economy.money import BadFigure

KINDS: Final = ("label", "fields", "contains", "cites", "not_found")
MOST: Final = 100_000


class BadQuestions(BadFigure):
    """A file of questions that nothing can be measured on; one sentence a problem, with its line."""


@dataclass(frozen=True, slots=True)
class Question:
    """One held-out question; nothing expected: the answer of today is the right one."""

    text: str
    label: str = ""
    fields: tuple[tuple[str, str | None], ...] = ()
    contains: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()
    not_found: bool = False

    @property
    def judged_by_itself(self) -> bool:
        """Whether it says what is right."""
        return bool(self.label or self.fields or self.contains or self.cites or self.not_found)


def read_questions(path: Path) -> list[Question]:
    """Raises BadQuestions with every wrong line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadQuestions(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    found: list[Question] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_question(line))
            except ValueError as error:
                problems.append(f"{path.name}:{number}: {error}")
    if len({one.text for one in found}) < len(found):
        problems.append(f"{path.name}: the same text stands in it more than once; one half of them is calibrated on and one tested on")
    if len(found) > MOST:
        problems.append(f"{path.name}: has {len(found)} questions, at most {MOST} are read")
    if problems:
        raise BadQuestions("\n".join(problems))
    if not found:
        raise BadQuestions(f'{path}: has no question; one JSON object a line, like {{"text": "Charged twice", "label": "billing"}}')
    return found


def halves(questions: Sequence[Question], seed: int) -> tuple[list[Question], list[Question]]:
    """A half to search on and a half to test what was found; the same seed, the same halves."""
    shuffled = list(questions)
    random.Random(seed).shuffle(shuffled)
    return shuffled[: len(shuffled) // 2], shuffled[len(shuffled) // 2 :]


def is_right(question: Question, answer: Answer | None, today: Answer | None) -> bool:
    """Whether an answer is right; none is wrong. `today`: what the prompt of today gives."""
    if answer is None:
        return False
    if question.label:
        return plain(question.label) in _words(answer.text)
    if question.fields:
        return _has_fields(question.fields, answer.text)
    if question.contains:
        said = plain(answer.text)
        return all(plain(part) in said for part in question.contains)
    if question.cites:
        return any(citation.document in question.cites for citation in answer.citations)
    if question.not_found:
        return answer.not_found
    return today is not None and plain(answer.text) == plain(today.text)


def plain(text: str) -> str:
    """Without case, outer punctuation and the kinds of white space."""
    return " ".join(text.casefold().split()).strip(" .!?\"'`")


def _words(text: str) -> set[str]:
    """What an answer can be read as: itself, the label in its object, or the only value of it."""
    value = _json(text)
    if not isinstance(value, Mapping):
        return {plain(text)}
    values = [value["label"]] if "label" in value else list(value.values()) if len(value) == 1 else []
    return {plain(str(one)) for one in values}


def _has_fields(fields: tuple[tuple[str, str | None], ...], text: str) -> bool:
    value = _json(text)
    if not isinstance(value, Mapping):
        return False
    return all(_same(value.get(name), wanted) for name, wanted in fields)


def _same(value: Any, wanted: str | None) -> bool:
    return value is None if wanted is None else value is not None and plain(str(value)) == plain(wanted)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _question(line: str) -> Question:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not row["text"].strip():
        raise ValueError('must be an object with a "text"')
    if unknown := [name for name in row if name not in ("text", *KINDS)]:
        raise ValueError(f"{quoted(unknown[0])} is not a key here; {hint(unknown[0], ['text', *KINDS])}")
    if len(given := [name for name in KINDS if name in row]) > 1:
        raise ValueError(f"says twice what is right, by {given[0]} and by {given[1]}")
    return Question(
        text=row["text"], label=_text(row, "label"), fields=_fields(row), contains=_texts(row, "contains"),
        cites=_texts(row, "cites"), not_found=_flag(row),
    )  # fmt: skip


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, str) or (key in row and not value.strip()):
        raise ValueError(f"{key} must be a text")
    return value


def _texts(row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = row.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value) or (key in row and not value):
        raise ValueError(f"{key} must be a list of texts")
    return tuple(value)


def _fields(row: Mapping[str, Any]) -> tuple[tuple[str, str | None], ...]:
    value = row.get("fields", {})
    if not isinstance(value, dict) or ("fields" in row and not value):
        raise ValueError("fields must be an object of names and values")
    return tuple((name, None if one is None else str(one)) for name, one in value.items())


def _flag(row: Mapping[str, Any]) -> bool:
    if row.get("not_found", True) is not True:
        raise ValueError("not_found can only be true")
    return "not_found" in row
