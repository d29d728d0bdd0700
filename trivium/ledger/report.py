"""What the ledger's store answers: cost, tokens, requests, times and outcomes by whatever one asks.

Whole days without end users come from the sums (about a row for each day and kind of work); what is finer comes from the
facts themselves, and takes longer."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Engine, Select, case, cast, exists, func, literal, select
from sqlalchemy.types import BigInteger, Integer

from trivium.core.errors import TriviumError
from trivium.core.near import hint
from trivium.ledger.database import snapshot
from trivium.ledger.facts import DAY_MS
from trivium.ledger.histogram import Counts, added, percentile
from trivium.ledger.schema import (
    COSTS,
    EXECUTION_SUMS,
    REQUEST_SUMS,
    SUMS,
    TIMES,
    TOKENS,
    WORDS,
    executions,
    feedback,
    fixed,
    requests,
    series,
    strays,
    sums,
)

DAY: Final = "day"
OF_FACTS: Final = ("end_user", "paid", "model")
"""Dimensions that the sums do not have. `paid` is the target that was called: not `target`, where a generator writes for
another target; it and `model` are of attempts, so requests have none."""
DIMENSIONS: Final = (*WORDS, DAY, *OF_FACTS)
EPOCH: Final = date(1970, 1, 1)
_FOREVER: Final = 2**62


class BadQuestion(TriviumError):
    """The report that was asked for cannot be made; the message says what would be right. `field`: of the question."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Question:
    """What to report. Times are epoch ms; `to_ms` is not in it any more."""

    by: tuple[str, ...] = ("tier",)
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Dimension -> the values that count."""
    from_ms: int = 0
    to_ms: int = _FOREVER

    def checked(self) -> "Question":
        """Itself. Raises BadQuestion."""
        for where, names in (("by", self.by), ("filters", self.only)):
            for name in names:
                if name not in DIMENSIONS:
                    raise BadQuestion(f"{name!r} is none of {', '.join(DIMENSIONS)}; {hint(name, DIMENSIONS)}", where)
        if len(set(self.by)) != len(self.by):
            raise BadQuestion("the same dimension is named twice", "by")
        if not 0 <= self.from_ms < self.to_ms:
            raise BadQuestion("the span ends before it begins", "to_ms")
        return self

    @property
    def by_days(self) -> bool:
        """Whether the sums can answer it."""
        whole = all(at in (0, _FOREVER) or at % DAY_MS == 0 for at in (self.from_ms, self.to_ms))
        return whole and not set(OF_FACTS) & {*self.by, *self.only}


@dataclass(slots=True)
class Line:
    """One group of a report. Costs are micro-dollars."""

    group: tuple[str, ...]
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMS, 0))
    times: dict[str, Counts] = field(default_factory=lambda: {name: {} for name in TIMES})

    @property
    def cost_of_success(self) -> int | None:
        """What one resolved request cost, of those that feedback came for: all their attempts, and the human corrections.
        None without a resolved one."""
        spent = self.sums["judged_cost"] + self.sums["correction"]
        return (spent + self.sums["resolved"] // 2) // self.sums["resolved"] if self.sums["resolved"] else None

    def percentile(self, time: str, share: float) -> float | None:
        """Of `duration_ms`, `ttft_ms` or `tpot_us`, at most 1 % off."""
        return percentile(self.times[time], share)

    def add(self, other: "Line") -> None:
        """Both together."""
        for name, value in other.sums.items():
            self.sums[name] += value
        for name, counts in other.times.items():
            mine = self.times[name]
            for bucket, count in counts.items():
                mine[bucket] = mine.get(bucket, 0) + count


@dataclass(frozen=True, slots=True)
class Report:
    """The lines, dearest first, and what they come to."""

    lines: tuple[Line, ...]
    total: Line
    fixed: int
    """Fixed prices of these days, micro-dollars: beside the total, never in a request's cost. 0 where no tier is asked for
    that has any."""
    waiting: int
    """Feedback whose request has not appeared."""


def ask(engine: Engine, question: Question) -> Report:
    """Raises BadQuestion, and what the database raises."""
    question.checked()
    lines: dict[tuple[str, ...], Line] = {}
    with engine.connect() as connection:
        snapshot(connection)
        if question.by_days:
            _from_sums(connection, question, lines)
        else:
            _from_facts(connection, question, lines)
        paid, waiting = _fixed(connection, question), _waiting(connection, question)
    total = Line(())
    for line in lines.values():
        total.add(line)
    ordered = sorted(lines.values(), key=lambda line: (-line.sums["cost"], -line.sums["requests"], line.group))
    return Report(tuple(ordered), total, paid, waiting)


def _line(lines: dict[tuple[str, ...], Line], group: Iterable[Any], by: Sequence[str]) -> Line:
    key = tuple(_shown(name, value) for name, value in zip(by, group, strict=True))
    if key not in lines:
        lines[key] = Line(key)
    return lines[key]


def _shown(name: str, value: Any) -> str:
    return iso_day(value) if name == DAY else str(value)


def iso_day(day: int) -> str:
    """2026-11-21"""
    return (EPOCH + timedelta(days=day)).isoformat()


# --- from the sums -------------------------------------------------------------------------------------------------


def _from_sums(connection: Connection, question: Question, lines: dict[tuple[str, ...], Line]) -> None:
    by = [series.c[name] for name in question.by]
    where = _where(question, None)
    joined = sums.join(series, sums.c.series == series.c.id)
    numbers = [cast(func.sum(sums.c[name]), BigInteger).label(f"sum_{name}") for name in SUMS]
    grouped = select(*by, *numbers).select_from(joined).where(*where).group_by(*by)
    for row in connection.execute(grouped if by else grouped.having(func.count() > 0)):
        line = _line(lines, row[: len(by)], question.by)
        line.sums.update(zip(SUMS, row[len(by) :], strict=True))
    packs: dict[tuple[str, ...], list[tuple[bytes, ...]]] = defaultdict(list)
    times = [sums.c[name] for name in TIMES]
    for row in connection.execute(select(*by, *times).select_from(joined).where(sums.c.answered > 0, *where)):
        packs[tuple(_shown(n, v) for n, v in zip(question.by, row, strict=False))].append(tuple(row[len(by) :]))
    for group, found in packs.items():
        for at, name in enumerate(TIMES):
            lines[group].times[name] = added(pack[at] for pack in found)


def _where(question: Question, facts: Any) -> list[ColumnElement[bool]]:
    made: list[ColumnElement[bool]] = []
    for name, values in question.only.items():
        made.append(_column(name, facts).in_([_day_of(value) if name == DAY else value for value in sorted(values)]))
    if facts is None:
        if question.from_ms:
            made.append(series.c.day >= question.from_ms // DAY_MS)
        if question.to_ms != _FOREVER:
            made.append(series.c.day < question.to_ms // DAY_MS)
    else:
        made += [facts.c.at_ms >= question.from_ms, facts.c.at_ms < question.to_ms]
    return made


def _column(name: str, facts: Any) -> Any:
    if name in OF_FACTS:
        return facts.c[name] if name in facts.c else literal("")
    return series.c[name]


def _day_of(value: str) -> int:
    try:
        return (date.fromisoformat(value) - EPOCH).days
    except ValueError:
        raise BadQuestion(f"{value!r} is not a day like 2026-11-21", "filters") from None


# --- from the facts ------------------------------------------------------------------------------------------------


def _from_facts(connection: Connection, question: Question, lines: dict[tuple[str, ...], Line]) -> None:
    for table, numbers in ((executions, _execution_numbers()), (requests, _request_numbers()), (strays, _stray_numbers())):
        for row in connection.execute(_grouped(question, table, list(numbers.values()))):
            line = _line(lines, row[: len(question.by)], question.by)
            for name, value in zip(numbers, row[len(question.by) :], strict=True):
                line.sums[name] += int(value or 0)
    for name in TIMES:
        counted = [requests.c[name], func.count()]
        asked = _grouped(question, requests, counted, (requests.c[name],))
        answered = asked.where(requests.c.kind == "answered", requests.c[name].is_not(None))
        for row in connection.execute(answered):
            _line(lines, row[: len(question.by)], question.by).times[name][row[-2]] = row[-1]


def _grouped(question: Question, table: Any, numbers: list[Any], more: Sequence[Column[Any]] = ()) -> Select[Any]:
    by = [_column(name, table).label(f"by_{name}") for name in question.by]
    joined = table.join(series, table.c.series == series.c.id)
    asked = select(*by, *numbers).select_from(joined).where(*_where(question, table))
    return asked.group_by(*by, *more) if by or more else asked.having(func.count() > 0)


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
    }
    return {name: numbers[name] for name in REQUEST_SUMS}


def _stray_numbers() -> dict[str, Any]:
    return {"strays": func.count(), "stray_cost": _sum(strays.c.cost)}


# --- beside the sums -----------------------------------------------------------------------------------------------


def _fixed(connection: Connection, question: Question) -> int:
    """Nobody's in particular: only targets, tiers and days narrow it down."""
    where = [fixed.c.day >= question.from_ms // DAY_MS]
    if question.to_ms != _FOREVER:
        where.append(fixed.c.day < -(-question.to_ms // DAY_MS))
    for name in ("tier", "target"):
        if name in question.only:
            where.append(fixed.c[name].in_(sorted(question.only[name])))
    if DAY in question.only:
        where.append(fixed.c.day.in_([_day_of(value) for value in question.only[DAY]]))
    return int(connection.execute(select(func.coalesce(func.sum(fixed.c.cost), 0)).where(*where)).scalar_one())


def _waiting(connection: Connection, question: Question) -> int:
    """Identities that feedback came for and no request, of the tenants that are asked for."""
    unknown = ~exists().where(requests.c.identity == feedback.c.identity)
    where = [feedback.c.tenant.in_(sorted(question.only["tenant"]))] if "tenant" in question.only else []
    counted = select(func.count(func.distinct(feedback.c.identity))).where(unknown, *where)
    return int(connection.execute(counted).scalar_one())
