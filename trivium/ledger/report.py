"""What the ledger's store answers: cost, tokens, requests, times and outcomes by whatever one asks."""

from dataclasses import replace

from sqlalchemy import Connection, Engine, exists, func, select

from trivium.ledger.database import snapshot
from trivium.ledger.facts import DAY_MS
from trivium.ledger.from_facts import MOST_NARROWED, dearest, from_facts
from trivium.ledger.from_sums import from_sums
from trivium.ledger.line import Line, Lines, Report
from trivium.ledger.question import DAY, END_USER, FOREVER, Question, day_of
from trivium.ledger.schema import feedback, fixed, requests


def ask(engine: Engine, question: Question) -> Report:
    """Raises BadQuestion, and what the database raises."""
    question.checked()
    lines: Lines = {}
    with engine.connect() as connection:
        snapshot(connection)
        total = _answer(connection, question, lines)
        paid, waiting = _fixed(connection, question), _waiting(connection, question)
    ordered = sorted(lines.values(), key=lambda line: (-line.sums["cost"], -line.sums["requests"], line.group))
    return Report(tuple(ordered[: question.limit or None]), total, paid, waiting)


def _answer(connection: Connection, question: Question, lines: Lines) -> Line:
    """Fills the lines, and returns what all of them come to."""
    total = Line(())
    if END_USER in question.by and 0 < question.limit <= MOST_NARROWED:
        dearest(connection, question, lines)
        _answer(connection, replace(question, by=(), limit=0), everything := Lines())
        total = everything.get((), total)
        return total
    (from_sums if question.by_days else from_facts)(connection, question, lines)
    for line in lines.values():
        total.add(line)
    return total


def _fixed(connection: Connection, question: Question) -> int:
    """Nobody's in particular: only targets, tiers and days narrow it down."""
    where = [fixed.c.day >= question.from_ms // DAY_MS]
    if question.to_ms != FOREVER:
        where.append(fixed.c.day < -(-question.to_ms // DAY_MS))
    for name in ("tier", "target"):
        if name in question.only:
            where.append(fixed.c[name].in_(sorted(question.only[name])))
    if DAY in question.only:
        where.append(fixed.c.day.in_([day_of(value) for value in question.only[DAY]]))
    return int(connection.execute(select(func.coalesce(func.sum(fixed.c.cost), 0)).where(*where)).scalar_one())


def _waiting(connection: Connection, question: Question) -> int:
    """Identities that feedback came for and no request, of the tenants that are asked for."""
    unknown = ~exists().where(requests.c.identity == feedback.c.identity)
    where = [feedback.c.tenant.in_(sorted(question.only["tenant"]))] if "tenant" in question.only else []
    counted = select(func.count(func.distinct(feedback.c.identity))).where(unknown, *where)
    return int(connection.execute(counted).scalar_one())
