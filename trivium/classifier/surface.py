"""What can be counted in a text without a model: length and the marks of reasoning, for the complexity head."""

import math
import re
from typing import Final

_MARKS: Final = re.compile(
    r"\b(why|prove|derive|calculate|how many|how much|explain|compare|step|therefore|if|then|which of the following|not|"
    r"except|equation|probability|total|each|percent|if and only if)\b",
    re.IGNORECASE,
)
_FORMULA: Final = re.compile(r"\$|\\|=|\^")
_SENTENCE: Final = re.compile(r"[.?!\n]")

SURFACE: Final = (
    "characters", "words", "digit share", "digits", "marks", "log marks", "lines", "questions", "foreign characters",
    "word length", "distinct words", "clauses", "formula", "longest sentence",
)  # fmt: skip
"""Names of the counts, in the order of `surface`."""

READ_CHARS: Final = 8_000


def surface(text: str) -> tuple[float, ...]:
    """The counts, each about 0..3, of the text's first READ_CHARS characters."""
    text = text[:READ_CHARS]
    words = text.split()
    count, size = max(len(words), 1), max(len(text), 1)
    digits = sum(map(str.isdigit, text))
    marks = len(_MARKS.findall(text))
    return (
        math.log1p(len(text)) / 5,
        math.log1p(len(words)) / 4,
        digits / size * 5,
        math.log1p(digits) / 3,
        min(marks, 20) / 5,
        math.log1p(marks),
        min(text.count("\n"), 20) / 5,
        float(min(text.count("?"), 5)),
        0.0 if text.isascii() else min(sum(not char.isascii() for char in text), 50) / 10,
        sum(map(len, words)) / count / 5,
        len({word.lower() for word in words}) / count,
        math.log1p(text.count(",") + text.count(".")) / 2,
        float(_FORMULA.search(text) is not None),
        min(max(map(len, _SENTENCE.split(text))), 1_000) / 200,
    )


def plain_complexity(text: str) -> float:
    """0..1 by length and marks of reasoning alone, for a head that learned no better: 150 words or four marks give 0.6."""
    text = text[:READ_CHARS]
    load = len(text.split()) / 160 + len(_MARKS.findall(text)) / 4.5 + (0.3 if _FORMULA.search(text) else 0.0)
    return 1.0 - math.exp(-load)
