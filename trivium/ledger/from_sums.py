"""Whole days without end users: from the sums, about a row for each day and kind of work."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, cast, func, select
from sqlalchemy.types import BigInteger

from trivium.ledger.facts import DAY_MS
from trivium.ledger.histogram import added
from trivium.ledger.line import Group, Lines, line_in, shown
from trivium.ledger.question import DAY, FOREVER, Question, day_of
from trivium.ledger.schema import SUMS, TIMES, series, sums


def from_sums(connection: Connection, question: Question, lines: Lines, names: Sequence[str] = SUMS) -> None:
    """Adds to the lines what the days of the question come to."""
    by = [series.c[name] for name in question.by]
    where = _where(question)
    joined = sums.join(series, sums.c.series == series.c.id)
    numbers = [cast(func.sum(sums.c[name]), BigInteger).label(f"sum_{name}") for name in names]
    grouped = select(*by, *numbers).select_from(joined).where(*where).group_by(*by)
    for row in connection.execute(grouped if by else grouped.having(func.count() > 0)):
        line = line_in(lines, row[: len(by)], question.by)
        line.sums.update(zip(names, row[len(by) :], strict=True))
    packs: dict[Group, list[tuple[bytes, ...]]] = defaultdict(list)
    times = [sums.c[name] for name in TIMES]
    for row in connection.execute(select(*by, *times).select_from(joined).where(sums.c.answered > 0, *where)):
        packs[shown(question.by, row)].append(tuple(row[len(by) :]))
    for group, found in packs.items():
        for at, name in enumerate(TIMES):
            lines[group].times[name] = added(pack[at] for pack in found)


def _where(question: Question) -> list[ColumnElement[bool]]:
    made: list[ColumnElement[bool]] = [
        series.c[name].in_([day_of(value) if name == DAY else value for value in sorted(values)])
        for name, values in question.only.items()
    ]
    if question.from_ms:
        made.append(series.c.day >= question.from_ms // DAY_MS)
    if question.to_ms != FOREVER:
        made.append(series.c.day < question.to_ms // DAY_MS)
    return made
