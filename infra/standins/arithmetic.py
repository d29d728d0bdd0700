"""Simple sums, really computed: expressions, percentages and a few worded operations. Nothing is evaluated as code."""

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Final

_OPERATORS: Final[dict[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_NUMBER: Final = r"\d+(?:,\d{3})*(?:\.\d+)?"
_PERCENT: Final = re.compile(rf"({_NUMBER})\s*(?:%|percent)\s+of\s+[$€£]?({_NUMBER})", re.IGNORECASE)
_ROOT: Final = re.compile(rf"square root of\s+({_NUMBER})", re.IGNORECASE)
_WORDS: Final = (
    (re.compile(r"\bmultiplied by\b|(?<=\d)\s*[x×]\s*(?=\d)|\btimes\b", re.IGNORECASE), "*"),
    (re.compile(r"\bdivided by\b|÷", re.IGNORECASE), "/"),
    (re.compile(r"\bplus\b", re.IGNORECASE), "+"),
    (re.compile(r"\bminus\b", re.IGNORECASE), "-"),
    (re.compile(r"\bto the power of\b|\^", re.IGNORECASE), "**"),
)
_EXPRESSION: Final = re.compile(r"[-(]*\d[\d\s.+\-*/%()]*[+\-*/%][\d\s.+\-*/%()]*\d\)*")
_CUE: Final = re.compile(
    r"\bwhat|\bhow (?:much|many)|calculat|comput|solve|evaluate|\bsum\b|\badd\b|=|^[\d\s.+\-*/%()]+\??$", re.IGNORECASE
)
_EACH: Final = re.compile(
    rf"\b({_NUMBER})\b[^.?!\d]{{0,60}}?[^.?!\d]\bat\b\s*[$€£]?({_NUMBER})[^.?!\d]{{0,20}}\beach\b", re.IGNORECASE
)


def solve(text: str) -> tuple[str, float] | None:
    """The first sum in a text, as (expression, value); None when there is none or it has no value."""
    for pattern, name in ((_PERCENT, "{0}% of {1}"), (_EACH, "{0} * {1}")):
        if found := pattern.search(text):
            first, second = (float(group.replace(",", "")) for group in found.groups())
            value = first * second / 100 if pattern is _PERCENT else first * second
            return name.format(*found.groups()), value
    if found := _ROOT.search(text):
        return f"sqrt({found.group(1)})", math.sqrt(float(found.group(1).replace(",", "")))
    return _expression(text)


def show(value: float) -> str:
    """A number as a person would write it."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"


def _expression(text: str) -> tuple[str, float] | None:
    for pattern, sign in _WORDS:
        text = pattern.sub(f" {sign} ", text)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    if not _CUE.search(text):
        return None
    for found in _EXPRESSION.finditer(text):
        written = " ".join(found.group(0).split())
        if re.fullmatch(r"[\d\-/ ]+", written) and re.search(r"\d{4}", written) and " " not in written:
            continue  # a date or a telephone number, not a subtraction
        try:
            value = _value(ast.parse(written, mode="eval").body)
        except (SyntaxError, ValueError, ZeroDivisionError, OverflowError):
            continue
        return written, value
    return None


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            first, second = _value(left), _value(right)
            if isinstance(op, ast.Pow) and (abs(second) > 64 or abs(first) > 1e6):
                raise ValueError("too large")
            result = _OPERATORS[type(op)](first, second)
            if not isinstance(result, float) or not math.isfinite(result):
                raise ValueError("no finite value")
            return result
        case _:
            raise ValueError("not arithmetic")
