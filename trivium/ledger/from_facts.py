"""End users, models and parts of a day: from every single record.

The dearest end users are found by an index that holds all it takes; only their own records are then read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Select, case, cast, func, literal, select, union_all
from sqlalchemy.types import BigInteger, Integer

from trivium.ledger.line import Group, Lines, line_in, shown
from trivium.ledger.question import DAY, END_USER, FOREVER, OF_FACTS, Question, day_of
from trivium.ledger.schema import (
    COSTS,
    EXECUTION_SUMS,
    REQUEST_SUMS,
    TIMES,
    TOKENS,
    executions,
    requests,
    series,
    strays,
)

MOST_NARROWED: Final = 1_000
"""Lines up to which it is quicker to find the dearest first."""


def from_facts(connection: Connection, question: Question, lines: Lines) -> None:
    """Adds to the lines what the records of the question come to."""
    from_executions(connection, question, lines)
    _add(connection, question, lines, requests, _request_numbers())
    _add(connection, question, lines, strays, _stray_numbers())
    for name in TIMES:
        counted = [requests.c[name], func.count()]
        asked = _grouped(question, requests, counted, (requests.c[name],))
        answered = asked.where(requests.c.kind == "answered", requests.c[name].is_not(None))
        for row in connection.execute(answered):
            line_in(lines, row[: len(question.by)], question.by).times[name][row[-2]] = row[-1]


def from_executions(connection: Connection, question: Question, lines: Lines) -> None:
    """What executions alone come to: no requests, no times."""
    _add(connection, question, lines, executions, _execution_numbers())


def _add(connection: Connection, question: Question, lines: Lines, table: Any, numbers: Mapping[str, Any]) -> None:
    for row in connection.execute(_grouped(question, table, list(numbers.values()))):
        line = line_in(lines, row[: len(question.by)], question.by)
        for name, value in zip(numbers, row[len(question.by) :], strict=True):
            line.sums[name] += int(value or 0)


def dearest(connection: Connection, question: Question, lines: Lines) -> None:
    """The same for a question by end users: only the lines that its limit lets through."""
    groups = _dearest(connection, question)
    at = question.by.index(END_USER)
    found: Lines = {}
    names = frozenset(group[at] for group in groups)
    from_facts(connection, replace(question, only={**question.only, END_USER: names}), found)
    # A name of theirs may have lines beside theirs, when it is not the only dimension.
    lines.update((group, found[group]) for group in groups if group in found)


def _dearest(connection: Connection, question: Question) -> list[Group]:
    by = [f"by_{name}" for name in question.by]
    zero = literal(0)
    parts = union_all(
        _grouped(question, executions, [_sum(executions.c.cost).label("cost"), zero.label("asked")]),
        _grouped(question, requests, [zero, func.count()]),
        _grouped(question, strays, [zero, zero]),
    ).subquery()
    columns = [parts.c[name] for name in by]
    dear = func.sum(parts.c.cost)
    chosen = select(*columns).group_by(*columns).order_by(dear.desc(), func.sum(parts.c.asked).desc(), *columns)
    return [shown(question.by, row) for row in connection.execute(chosen.limit(question.limit))]


def _grouped(question: Question, table: Any, numbers: list[Any], more: Sequence[Column[Any]] = ()) -> Select[Any]:
    by = [_column(name, table).label(f"by_{name}") for name in question.by]
    of_series = any(name not in OF_FACTS for name in (*question.by, *question.only))
    joined = table.join(series, table.c.series == series.c.id) if of_series else table
    asked = select(*by, *numbers).select_from(joined).where(*_where(question, table))
    return asked.group_by(*by, *more) if by or more else asked.having(func.count() > 0)


def _where(question: Question, table: Any) -> list[ColumnElement[bool]]:
    made: list[ColumnElement[bool]] = []
    for name, values in question.only.items():
        made.append(_column(name, table).in_([day_of(value) if name == DAY else value for value in sorted(values)]))
    # A bound that says nothing would send a database to the index of times.
    if question.from_ms:
        made.append(table.c.at_ms >= question.from_ms)
    if question.to_ms != FOREVER:
        made.append(table.c.at_ms < question.to_ms)
    return made


def _column(name: str, table: Any) -> Any:
    if name in OF_FACTS:
        return table.c[name] if name in table.c else literal("")
    return series.c[name]


def _count(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0))


def _sum(column: Any) -> Any:
    return cast(func.sum(column), BigInteger)


def _execution_numbers() -> dict[str, Any]:
    c = executions.c
    own = c.part.is_(False)
    used = (c.input_tokens > 0) | (c.output_tokens > 0)
    numbers = {
        "attempts": _count(own & c.settled.is_(True)),
        "open_attempts": _count(own & c.settled.is_(False)),
        "faults": _count(own & (c.fault != "")),
        "cost": _sum(c.cost),
        **{name: _sum(c[name]) for name in (*COSTS, *TOKENS)},
        "unpriced": _count(own & c.settled.is_(True) & (c.cost == 0) & used),
        "open_cost": _sum(case((c.settled.is_(False), c.reserved), else_=0)),
        "open_unbounded": _count(c.settled.is_(False) & (c.reserved == 0)),
        "batched": _count(own & c.settled.is_(True) & c.batch.is_(True)),
        "batch_saved": _sum(case((c.settled.is_(True), c.saved), else_=0)),
    }
    return {name: numbers[name] for name in EXECUTION_SUMS}


def _request_numbers() -> dict[str, Any]:
    c = requests.c
    numbers = {
        "requests": func.count(),
        "answered": _count(c.kind == "answered"),
        "cached": _count(c.cached.is_(True)),
        "told": _sum(c.told),
        "all_cloud": _sum(c.all_cloud),
        "judged": _count(c.judged.is_(True)),
        "resolved": _count(c.outcome == "resolved"),
        "unresolved": _count(c.outcome == "unresolved"),
        "scored": _count(c.score.is_not(None)),
        "score": _sum(cast(func.coalesce(c.score, 0), Integer)),
        "corrected": _count(c.corrected.is_(True)),
        "correction": _sum(c.correction),
        "judged_cost": _sum(case((c.judged.is_(True), c.told), else_=0)),
        "patient": _count(c.patient.is_(True)),
        "missed": _count(c.patient.is_(True) & (c.kind == "expired")),
    }
    return {name: numbers[name] for name in REQUEST_SUMS}


def _stray_numbers() -> dict[str, Any]:
    return {"strays": func.count(), "stray_cost": _sum(strays.c.cost)}
