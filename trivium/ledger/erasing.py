"""Forgetting a person: names, texts and request ids are blanked, in what is there and in what comes later; sums stay.

An order says a person's identities, and the mark of the name under which they ask. It is a fact like any other: it may come
before or after what it is about, twice, or again when the store is filled anew, and the rows are the same in the end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, select, true, update

from trivium.core.subject import mark
from trivium.ledger.database import put, rows_of
from trivium.ledger.facts import Asked, Erasure, Execution, Feedback
from trivium.ledger.schema import erased, erasures, executions, feedback, requests, series

ERASED: Final = "(erased)"
"""Stands where a name or a text was."""
_AT_ONCE: Final = 1_000
F = TypeVar("F", Execution, Asked, Feedback)


@dataclass(slots=True)
class Forgetting:
    """What one batch has to know of erasures. Without any in the database it costs two empty look-ups."""

    marks: dict[tuple[str, str], int]
    """(tenant, mark) -> before which time."""
    identities: set[bytes]
    """Erased ones, of those that this batch is about."""
    new: set[bytes] = field(default_factory=set)
    """Identities that became erased in this batch."""
    ordered: list[Erasure] = field(default_factory=list)

    @classmethod
    def read(cls, connection: Connection, about: Iterable[bytes], ordered: Sequence[Erasure]) -> "Forgetting":
        """`about`: the identities of the batch's facts."""
        marks = {(row.tenant, row.mark): row.before_ms for row in connection.execute(select(erasures))}
        known = set[bytes]()
        if connection.execute(select(erased.c.identity).limit(1)).first() is not None:
            known = {bytes(row["identity"]) for row in rows_of(connection, erased, erased.c.identity, list(set(about)))}
        made = cls(marks, known, ordered=list(ordered))
        for one in ordered:
            if one.mark:
                key = one.tenant, one.mark
                marks[key] = max(one.before_ms, marks.get(key, 0))
            made.new.update(one.identities)
        return made

    def blanked(self, facts: Sequence[F]) -> Sequence[F]:
        """The facts without what must be forgotten. Requests and executions first: they tell further identities."""
        if not (self.marks or self.identities or self.new):
            return facts
        return [self._blanked(fact) for fact in facts]

    def _blanked(self, fact: F) -> F:
        known = fact.identity in self.identities or fact.identity in self.new
        if isinstance(fact, Feedback):
            if known:
                text = ERASED if fact.corrected_text else ""
                return replace(fact, request_id=ERASED, corrected_text=text, source=ERASED if fact.source else "")
            return replace(fact, source=ERASED) if self._named(fact.tenant, fact.source, fact.at_ms) else fact
        asked_ms = fact.arrived_ms if isinstance(fact, Asked) else fact.at_ms
        if known or self._named(fact.series.tenant, fact.end_user, asked_ms):
            self.new.add(fact.identity)
            return replace(fact, end_user=ERASED)
        return fact

    def _named(self, tenant: str, name: str, at_ms: int) -> bool:
        return bool(name and self.marks) and at_ms <= self.marks.get((tenant, mark(tenant, name)), -1)

    def carry_out(self, connection: Connection) -> None:
        """Blank what is in the database already, and remember whom."""
        for one in self.ordered:
            if one.mark:
                self.new |= _identities_of(connection, one, self.marks[one.tenant, one.mark])
        if not (self.new or self.ordered):
            return
        put(connection, erasures, [
            {"tenant": one.tenant, "mark": one.mark, "before_ms": self.marks[one.tenant, one.mark]} for one in self.ordered if one.mark
        ])  # fmt: skip
        put(connection, erased, [{"identity": one} for one in sorted(self.new - self.identities)], keep=True)
        _blank(connection, sorted(self.new - self.identities))


def _identities_of(connection: Connection, order: Erasure, before_ms: int) -> set[bytes]:
    """Of everything that was asked under the name before, which is blanked by the name where it is nobody else's."""
    found = set[bytes]()
    for table, at_ms in ((requests, requests.c.arrived_ms), (executions, executions.c.at_ms)):
        of_tenant = table.c.series.in_(select(series.c.id).where(series.c.tenant == order.tenant))
        for name in _names(connection, table.c.end_user, of_tenant, order):
            asked = select(table.c.identity).where(table.c.end_user == name, at_ms <= before_ms, of_tenant)
            found.update(bytes(row.identity) for row in connection.execute(asked))
    own = feedback.c.tenant == order.tenant
    for name in _names(connection, feedback.c.source, own, order):
        connection.execute(update(feedback).where(own, feedback.c.source == name, feedback.c.at_ms <= before_ms).values(source=ERASED))
    return found


def _names(connection: Connection, column: Any, of_tenant: ColumnElement[bool], order: Erasure) -> list[str]:
    """The names of a column that have the order's mark."""
    every = connection.execute(select(column).where(of_tenant).distinct()).scalars()
    return [name for name in every if mark(order.tenant, name) == order.mark]


def _blank(connection: Connection, identities: Sequence[bytes]) -> None:
    for start in range(0, len(identities), _AT_ONCE):
        chosen = identities[start : start + _AT_ONCE]
        for table in (executions, requests):
            connection.execute(update(table).where(table.c.identity.in_(chosen)).values(end_user=ERASED))
        theirs = feedback.c.identity.in_(chosen)
        for column, there in ((feedback.c.request_id, true()), (feedback.c.corrected_text, feedback.c.corrected_text != ""), (feedback.c.source, feedback.c.source != "")):
            connection.execute(update(feedback).where(and_(theirs, there)).values({column: ERASED}))
