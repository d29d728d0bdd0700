"""What the ledger's store answers: cost, tokens, requests, times and outcomes by whatever one asks."""

from dataclasses import replace

from sqlalchemy import Connection, Engine, exists, func, select

from trivium.ledger.database import snapshot
from trivium.ledger.facts import DAY_MS
from trivium.ledger.from_facts import MOST_NARROWED, dearest, from_executions, from_facts
from trivium.ledger.from_sums import from_sums
from trivium.ledger.line import Line, Lines, Report
from trivium.ledger.question import DAY, END_USER, FOREVER, OF_CALLS, Question, day_of
from trivium.ledger.schema import REQUEST_SUMS, STRAY_SUMS, feedback, fixed, requests


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
    if question.by_days:
        from_sums(connection, question, lines)
    elif question.whole_days and END_USER not in question.names:
        _of_calls(connection, question, lines)
    else:
        from_facts(connection, question, lines)
    for line in lines.values():
        total.add(line)
    return total


def _of_calls(connection: Connection, question: Question, lines: Lines) -> None:
    """By `paid` or `model`, which executions alone have: the sums say what requests come to, under an empty name."""
    from_executions(connection, question, lines)
    if any("" not in values for name, values in question.only.items() if name in OF_CALLS):
        return
    by = tuple(name for name in question.by if name not in OF_CALLS)
    only = {name: values for name, values in question.only.items() if name not in OF_CALLS}
    of_requests: Lines = {}
    from_sums(connection, replace(question, by=by, only=only), of_requests, (*REQUEST_SUMS, *STRAY_SUMS))
    for line in of_requests.values():
        if any(line.sums.values()):
            values = dict(zip(by, line.group, strict=True))
            group = tuple(values.get(name, "") for name in question.by)
            lines.setdefault(group, Line(group)).add(line)


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
