"""Facts into SQL: rows, sums of series and offsets in one transaction, so that a record counts once whatever dies.

    store = Store(opened("sqlite:///ledger.db"))
    store.apply(records)          # as they come, again, or out of order: the sums are the same

Every batch takes a lock of the database first: a second process that reads the same topics waits, finds its records
counted, and drops them. Not thread-safe; calls block.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, delete, select

from trivium.core.errors import TriviumError
from trivium.kafka.record import Delivered
from trivium.ledger.database import locked, prepare, put, rows_of
from trivium.ledger.erasing import Forgetting
from trivium.ledger.facts import Asked, Erasure, Execution, Fact, Feedback, Series, Stray, Unusable, fact_of
from trivium.ledger.histogram import changed
from trivium.ledger.rows import (
    Row,
    execution_row,
    execution_sums,
    feedback_row,
    judged,
    merged,
    request_row,
    request_sums,
    stray_row,
    stray_sums,
    times,
)
from trivium.ledger.schema import (
    EXECUTION_SUMS,
    REQUEST_SUMS,
    SUMS,
    TIMES,
    WORDS,
    erased,
    erasures,
    executions,
    feedback,
    fixed,
    meta,
    metadata,
    offsets,
    refused,
    requests,
    series,
    strays,
    sums,
)

_KEPT: Final = (meta.name, fixed.name, erasures.name, erased.name)
Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True, slots=True)
class Read:
    """How far a partition was read: the next offset, and the broker's time of the record before it."""

    next_offset: int
    last_ms: int


@dataclass(slots=True)
class Applied:
    """What became of a batch."""

    taken: int = 0
    """Records that were counted, or said again what was counted."""
    skipped: int = 0
    """Records below the offset that the database has."""
    refused: list[tuple[Delivered, str]] = field(default_factory=list)


class OutOfStep(TriviumError):
    """Records would be counted that come after some which are not: the store was emptied meanwhile. Read on from
    `read_so_far`."""


@dataclass(slots=True)
class _Changes:
    """What a batch adds to the sums of each series; taken away is negative."""

    numbers: dict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * len(SUMS)))
    buckets: dict[int, dict[tuple[str, int], int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))

    def add(self, row: Row, values: Sequence[int], start: int, sign: int) -> None:
        numbers = self.numbers[row["series"]]
        for at, value in enumerate(values, start):
            numbers[at] += sign * value

    def execution(self, row: Row, sign: int) -> None:
        self.add(row, execution_sums(row), 0, sign)

    def request(self, row: Row, sign: int) -> None:
        self.add(row, request_sums(row), len(EXECUTION_SUMS), sign)
        for time in times(row):
            self.buckets[row["series"]][time] += sign

    def stray(self, row: Row, sign: int) -> None:
        self.add(row, stray_sums(row), len(EXECUTION_SUMS) + len(REQUEST_SUMS), sign)


_Add = Callable[[_Changes, Row, int], None]


class Store:
    """The tables of one database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._known: set[int] = set()

    def prepare(self) -> bool:
        """Sees to the tables when the database was away. True when they had to be made: it is empty."""
        anew = prepare(self.engine)
        if anew:
            self._known.clear()
        return anew

    def look(self) -> None:
        """Raises what the database raises when its tables are gone."""
        with self.engine.connect() as connection:
            connection.execute(select(meta.c.value)).first()

    def read_so_far(self) -> dict[Place, Read]:
        """Where reading goes on."""
        with self.engine.connect() as connection:
            found = connection.execute(select(offsets))
            return {(row.topic, row.partition): Read(row.next_offset, row.last_ms) for row in found}

    def apply(self, records: Sequence[Delivered], since: Mapping[Place, int] | None = None) -> Applied:
        """Count records, those of a partition in order. `since`: where the reader of each partition stood before them. Raises
        OutOfStep, and what the database raises; then nothing was counted."""
        done = Applied()
        with self.engine.begin() as connection:
            locked(connection)
            fresh = self._fresh(connection, records, since or {}, done)
            known = self._facts(connection, fresh, done)
            _reach(connection, fresh)
        self._known |= known
        return done

    def pass_over(self, places: Mapping[Place, int]) -> None:
        """There is nothing to read below these offsets (any more)."""
        with self.engine.begin() as connection:
            locked(connection)
            reached = _reached(connection)
            put(connection, offsets, [
                {"topic": topic, "partition": partition, "next_offset": offset, "last_ms": 0}
                for (topic, partition), offset in places.items()
                if offset > reached.get((topic, partition), 0)
            ])  # fmt: skip

    def reset(self, places: Iterable[Place]) -> None:
        """Read these partitions from their beginning again: their topics were made anew."""
        with self.engine.begin() as connection:
            locked(connection)
            for topic, partition in places:
                connection.execute(delete(offsets).where(offsets.c.topic == topic, offsets.c.partition == partition))

    def clear(self) -> None:
        """Forget everything that the topics can tell again; what the policy's fixed prices came to stays, and so does who was
        erased."""
        with self.engine.begin() as connection:
            locked(connection)
            for table in metadata.sorted_tables:
                if table.name not in _KEPT:
                    connection.execute(delete(table))
        self._known.clear()

    def _fresh(
        self, connection: Connection, records: Sequence[Delivered], since: Mapping[Place, int], done: Applied
    ) -> list[Delivered]:
        reached = _reached(connection)
        for place, stood in since.items():
            if stood > reached.get(place, 0):
                raise OutOfStep(f"{place[0]}/{place[1]} is counted up to {reached.get(place, 0)}, and was read from {stood} on")
        fresh = [record for record in records if record.offset >= reached.get((record.topic, record.partition), 0)]
        done.skipped = len(records) - len(fresh)
        return fresh

    def _facts(self, connection: Connection, records: Sequence[Delivered], done: Applied) -> set[int]:
        found: dict[type, list[Any]] = {kind: [] for kind in (Execution, Asked, Stray, Feedback, Erasure)}
        for record in records:
            try:
                fact: Fact = fact_of(record)
            except Unusable as error:
                done.refused.append((record, str(error)))
            else:
                found[type(fact)].append(fact)
                done.taken += 1
        self._count(connection, found)
        put(connection, refused, [_refused_row(*one) for one in done.refused])
        return self._name(connection, (fact.series for kind in (Execution, Asked, Stray) for fact in found[kind]))

    def _count(self, connection: Connection, found: dict[type, list[Any]]) -> None:
        told = {fact.identity for kind in (Execution, Asked, Feedback) for fact in found[kind]}
        forgetting = Forgetting.read(connection, told, found[Erasure])
        for kind in (Execution, Asked, Feedback):
            found[kind] = list(forgetting.blanked(found[kind]))
        changes = _Changes()
        _merge(connection, executions, map(execution_row, found[Execution]), changes, _Changes.execution)
        _merge(connection, strays, map(stray_row, found[Stray]), changes, _Changes.stray)
        _merge(connection, requests, map(request_row, found[Asked]), changes, _Changes.request)
        put(connection, feedback, _earliest(connection, map(feedback_row, found[Feedback])))
        _judge(connection, {fact.identity for kind in (Asked, Feedback) for fact in found[kind]}, changes)
        _sum_up(connection, changes)
        forgetting.carry_out(connection)

    def _name(self, connection: Connection, every: Iterable[Series]) -> set[int]:
        new = {one.id: one for one in set(every)}
        wanted = new.keys() - self._known
        rows = [{"id": i, "day": new[i].day, **dict(zip(WORDS, new[i].words, strict=True))} for i in sorted(wanted)]
        put(connection, series, rows, keep=True)
        return wanted


def _merge(connection: Connection, table: Table, rows: Iterable[Row], changes: _Changes, add: _Add) -> None:
    """Put rows into a table of facts; each changes the sums by what it adds beyond what its key had added before."""
    new: dict[bytes, Row] = {}
    for row in rows:
        known = new.get(row["key"])
        new[row["key"]] = row if known is None else merged(known, row)
    old = rows_of(connection, table, table.c.key, list(new))
    written = []
    for before in old:
        key = before["key"]
        after = merged(before, new[key])
        if after is before:
            del new[key]
            continue
        add(changes, before, -1)
        if table is requests:
            after = {**after, **{name: before[name] for name in ("judged", "outcome", "score", "corrected", "correction")}}
        new[key] = after
    for row in new.values():
        add(changes, row, 1)
        written.append(row)
    put(connection, table, written)


def _earliest(connection: Connection, rows: Iterable[Row]) -> list[Row]:
    """Feedback that comes twice has the earlier of the broker's times."""
    new: dict[bytes, Row] = {}
    for row in rows:
        known = new.get(row["key"])
        if known is None or row["at_ms"] < known["at_ms"]:
            new[row["key"]] = row
    for before in rows_of(connection, feedback, feedback.c.key, list(new)):
        if before["at_ms"] <= new[before["key"]]["at_ms"]:
            del new[before["key"]]
    return list(new.values())


def _judge(connection: Connection, identities: set[bytes], changes: _Changes) -> None:
    """Feedback counts for the newest request of its identity; of several the last one counts."""
    latest: dict[bytes, Row] = {}
    for row in rows_of(connection, feedback, feedback.c.identity, list(identities)):
        known = latest.get(row["identity"])
        if known is None or (row["at_ms"], row["key"]) > (known["at_ms"], known["key"]):
            latest[row["identity"]] = row
    asked: dict[bytes, list[Row]] = defaultdict(list)
    for row in rows_of(connection, requests, requests.c.identity, list(latest)):
        asked[row["identity"]].append(row)
    written = []
    for identity, rows in asked.items():
        newest = max(rows, key=lambda row: (row["arrived_ms"], row["key"]))
        for before in rows:
            after = judged(before, latest[identity] if before is newest else None)
            if after != before:
                changes.request(before, -1)
                changes.request(after, 1)
                written.append(after)
    put(connection, requests, written)


def _sum_up(connection: Connection, changes: _Changes) -> None:
    """Add the changes to the sums; a series without any is not touched."""
    touched = [one for one, numbers in changes.numbers.items() if any(numbers) or any(changes.buckets[one].values())]
    before = {row["series"]: row for row in rows_of(connection, sums, sums.c.series, touched)}
    written = []
    for one in touched:
        row: Mapping[str, Any] = before.get(one) or {"series": one, **dict.fromkeys(SUMS, 0), **dict.fromkeys(TIMES, b"")}
        after = {"series": one} | {name: row[name] + more for name, more in zip(SUMS, changes.numbers[one], strict=True)}
        for name in TIMES:
            more = {bucket: count for (kind, bucket), count in changes.buckets[one].items() if kind == name and count}
            after[name] = changed(row[name], more) if more else row[name]
        written.append(after)
    put(connection, sums, written)


def _reached(connection: Connection) -> dict[Place, int]:
    return {(row.topic, row.partition): row.next_offset for row in connection.execute(select(offsets))}


def _reach(connection: Connection, records: Iterable[Delivered]) -> None:
    last = {(record.topic, record.partition): record for record in records}
    put(connection, offsets, [
        {"topic": topic, "partition": partition, "next_offset": record.offset + 1, "last_ms": record.timestamp_ms}
        for (topic, partition), record in last.items()
    ])  # fmt: skip


def _refused_row(record: Delivered, reason: str) -> Row:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset, "reason": reason}


