"""Pairs made by rule from tables of verbs, things, kinds of question, narrowing phrases and actors.

They teach the verifier that one exchanged thing, verb, kind of question, scope or actor makes another question, however
alike the two sound, and that a synonym in another frame does not. Each table row becomes a group of its own.
"""

import hashlib
from typing import Final, TypeVar

Row = TypeVar("Row")
Pair = tuple[str, str, bool, str, str]
"""(first, second, same, kind, group)."""

VERBS: Final = (
    ("delete", "remove", "get rid of"), ("edit", "change", "modify"), ("share",), ("print",), ("download",),
    ("duplicate", "copy", "make a copy of"), ("rename", "change the name of"), ("restore", "recover", "bring back"),
    ("find", "locate"), ("create", "set up"), ("move",), ("archive",), ("schedule",), ("publish",), ("sort",),
    ("translate",), ("preview",), ("approve",), ("lock",), ("export",), ("upload",), ("report",), ("cancel", "call off"),
    ("pay for",), ("install",), ("order", "buy", "purchase"), ("return", "send back"), ("clean",), ("repair", "fix"),
    ("replace", "exchange", "swap"), ("track",), ("rate", "review"), ("activate", "turn on", "enable"), ("charge",), ("assemble",),
)  # fmt: skip
THINGS: Final = (
    ("a folder",), ("a file", "a document"), ("my calendar",), ("a report",), ("a dashboard",), ("a template",),
    ("a comment",), ("a page",), ("an attachment",), ("my signature",), ("a form",), ("a survey",), ("a chart",),
    ("the spreadsheet",), ("a task",), ("a channel",), ("my playlist",), ("a meeting",), ("my wishlist",), ("the headset",),
    ("the charger",), ("the coffee machine",), ("my backpack",), ("the sofa",), ("a ticket", "a support request"), ("my domain",),
    ("a widget",), ("the camera",), ("a coupon", "a promo code"), ("my invoice", "my bill"), ("the bicycle",), ("the blender",),
    ("a password", "a passcode"), ("the router",), ("my webcam",),
)  # fmt: skip
SAME_FRAMES: Final = ("How do I {}?", "How can I {}?", "What's the way to {}?", "I want to {}", "Can you tell me how to {}?",
                      "I need to {}, how does it work?", "What do I have to do to {}?", "Is it possible to {}?")  # fmt: skip
OTHER_QUESTIONS: Final = (
    "Why can't I {}?", "When can I {}?", "Who is allowed to {}?", "How often can I {}?", "How much does it cost to {}?",
    "What happens when I {}?", "How long does it take to {}?", "Why should I {}?", "Did you {}?", "Why did you {}?",
    "Do I have to {}?", "How many times may I {}?", "Is it safe to {}?", "What's the deadline to {}?", "Who asked me to {}?",
    "Until when can I {}?", "What do I need before I {}?", "Is there a fee to {}?",
)  # fmt: skip
SCOPES: Final = (
    "for all users", "without a password", "again", "on my phone", "automatically", "for another person", "at the weekend",
    "from abroad", "as a guest", "and get a discount", "with a gift card", "in another language", "offline", "for free",
    "on a shared device", "after it was rejected", "in a different format", "without an account", "for a whole team",
    "on the old version", "by phone", "before it is due", "that belongs to a friend", "from last year", "in bulk",
)  # fmt: skip
ACTORS: Final = ("my colleague", "a customer", "my accountant", "the admin", "a guest", "my child", "another company",
                 "a visitor", "the courier", "a new employee")  # fmt: skip


def grid_pairs() -> list[Pair]:
    """Every pair of the grids, about a thousand."""
    return [*_same(), *_other_thing(), *_other_verb(), *_other_question(), *_scope(), *_actor()]


def _same() -> list[Pair]:
    pairs: list[Pair] = []
    for verbs, things, act in _acts():
        first = _pick(SAME_FRAMES, act, "one").format(f"{verbs[0]} {things[0]}")
        frame = _pick(tuple(f for f in SAME_FRAMES), act, "two")
        second = frame.format(f"{_pick(verbs, act, 'verb')} {_pick(things, act, 'thing')}")
        if first != second:
            pairs.append((first, second, True, "reworded act", f"act:{verbs[0]}"))
    return pairs


def _other_thing() -> list[Pair]:
    pairs: list[Pair] = []
    for verbs, things, act in _acts():
        other = _pick(tuple(row for row in THINGS if row is not things), act, "other thing")
        frame = _pick(SAME_FRAMES, act, "thing frame")
        second = frame if _draw(act) % 2 else _pick(SAME_FRAMES, act, "second frame")
        pairs.append((frame.format(f"{verbs[0]} {things[0]}"), second.format(f"{_pick(verbs, act, 'v')} {other[0]}"), False,
                      "other thing", f"act:{verbs[0]}"))  # fmt: skip
    return pairs


def _other_verb() -> list[Pair]:
    pairs: list[Pair] = []
    for verbs, things, act in _acts():
        other = _pick(tuple(row for row in VERBS if row is not verbs), act, "other verb")
        frame = _pick(SAME_FRAMES, act, "verb frame")
        second = frame if _draw(act) % 2 else _pick(SAME_FRAMES, act, "second frame")
        pairs.append((frame.format(f"{verbs[0]} {things[0]}"), second.format(f"{other[0]} {_pick(things, act, 't')}"), False,
                      "other verb", f"act:{verbs[0]}"))  # fmt: skip
    return pairs


def _other_question() -> list[Pair]:
    pairs: list[Pair] = []
    for verbs, things, act in _acts():
        phrase = f"{verbs[0]} {things[0]}"
        first = _pick(SAME_FRAMES[:4] + OTHER_QUESTIONS, act, "question")
        second = _pick(tuple(frame for frame in OTHER_QUESTIONS if frame != first), act, "other question")
        pairs.append((first.format(phrase), second.format(phrase), False, "other question", f"act:{verbs[0]}"))
    return pairs


def _scope() -> list[Pair]:
    pairs: list[Pair] = []
    for verbs, things, act in _acts():
        frame = _pick(SAME_FRAMES[:4], act, "scope frame")
        phrase, scope = f"{verbs[0]} {things[0]}", _pick(SCOPES, act, "scope")
        pairs.append((frame.format(phrase), frame.format(f"{phrase} {scope}"), False, "narrowed", f"act:{verbs[0]}"))
        again = _pick(SAME_FRAMES[:4], act, "again").format(f"{_pick(verbs, act, 'v2')} {_pick(things, act, 't2')} {scope}")
        if again != frame.format(f"{phrase} {scope}"):
            pairs.append((frame.format(f"{phrase} {scope}"), again, True, "narrowed alike", f"act:{verbs[0]}"))
    return pairs


def _actor() -> list[Pair]:
    pairs: list[Pair] = []
    for verbs, things, act in _acts()[::2]:
        phrase, actor = f"{verbs[0]} {things[0]}", _pick(ACTORS, act, "actor")
        question = _pick(("How can {} {}?", "Can {} {}?", "When can {} {}?"), act, "actor frame")
        pairs.append((question.format("I", phrase), question.format(actor, phrase), False, "other actor", f"act:{verbs[0]}"))
    return pairs


def _acts() -> list[tuple[tuple[str, ...], tuple[str, ...], str]]:
    """(verb row, thing row, key) of about a sixth of all combinations."""
    crossed = [(verbs, things, f"{verbs[0]} {things[0]}") for verbs in VERBS for things in THINGS]
    return [row for row in crossed if _draw(row[2], "kept") % 7 == 0]


def _pick(rows: "tuple[Row, ...]", *key: str) -> "Row":
    return rows[_draw(*key) % len(rows)]


def _draw(*key: str) -> int:
    return int(hashlib.sha256("\n".join(key).encode()).hexdigest()[:12], 16)
