"""A person is forgotten by the ledger's store whenever the order comes, and the money still adds up."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import select

from tests.contract.ledger_records import NOON, Log, ended, erasure, feedback, settled, started, stray
from trivium.kafka import topics
from trivium.kafka.record import Delivered
from trivium.ledger.database import opened
from trivium.ledger.question import Question
from trivium.ledger.report import ask
from trivium.ledger.schema import executions, metadata, requests
from trivium.ledger.schema import feedback as feedback_table
from trivium.ledger.store import Store
from trivium.v1 import records_pb2

CLOUD = "trivium.attempts.cloud"
SECRET = "he meant his other address, Elm Street 4"


@pytest.fixture
def store(ledger_database: str) -> Iterator[Store]:
    engine = opened(ledger_database)
    yield Store(engine)
    metadata.drop_all(engine)
    engine.dispose()


def of_person(log: Log, name: str, end_user: str, at_ms: int = NOON) -> list[Delivered]:
    """All that one request of somebody leaves, an unsettled start of it and a stray included."""
    terminal: records_pb2.LedgerRecord = ended(name, 100, arrived_ms=at_ms)
    terminal.end_user = end_user
    return [
        log.put(CLOUD, started(name, begun_ms=at_ms, end_user=end_user), at_ms),
        log.put(CLOUD, settled(name, 100, begun_ms=at_ms, end_user=end_user), at_ms + 50),
        log.put(CLOUD, started(name, begun_ms=at_ms, end_user=end_user, execution=2), at_ms),
        log.put(topics.LEDGER, terminal, at_ms + 60),
        log.put(topics.LEDGER, stray(name, 7), at_ms + 900),
        log.put(topics.FEEDBACK, feedback(name, "unresolved", at_ms + 5_000, corrected_text=SECRET, source=end_user, correction_micro_dollars=9), at_ms + 5_000),
    ]  # fmt: skip


def people(store: Store) -> dict[str, tuple[int, int]]:
    """Requests and cost by end user."""
    lines = ask(store.engine, Question(by=("end_user",))).lines
    return {line.group[0]: (line.sums["requests"], line.sums["cost"]) for line in lines if line.sums["attempts"]}


def sums(store: Store) -> Any:
    report = ask(store.engine, Question(by=("tier", "day", "team")))
    return {line.group: (line.sums, line.times) for line in report.lines}


def texts(store: Store) -> list[tuple[str, str, str]]:
    with store.engine.connect() as connection:
        found = connection.execute(select(feedback_table).order_by(feedback_table.c.at_ms, feedback_table.c.request_id))
        return [(row.request_id, row.corrected_text, row.source) for row in found]


@pytest.mark.parametrize("order", [erasure("ann"), erasure(identities=["a1", "a2"])], ids=["by end user", "by identity"])
def test_a_person_is_forgotten_and_the_money_stays(store: Store, order: records_pb2.LedgerRecord) -> None:
    log = Log()
    store.apply([*of_person(log, "a1", "ann"), *of_person(log, "a2", "ann"), *of_person(log, "b1", "bob")])
    before = sums(store)
    assert people(store) == {"ann": (2, 200), "bob": (1, 100)}
    store.apply([log.put(topics.LEDGER, order)])
    assert people(store) == {"(erased)": (2, 200), "bob": (1, 100)}
    assert sums(store) == before
    assert texts(store) == [("(erased)", "(erased)", "(erased)")] * 2 + [("b1", SECRET, "bob")]
    with store.engine.connect() as connection:
        for table in (executions, requests):
            assert set(connection.execute(select(table.c.end_user)).scalars()) <= {"(erased)", "bob", ""}


@pytest.mark.parametrize("seed", range(4))
def test_whenever_the_order_comes_the_rows_are_the_same(store: Store, seed: int) -> None:
    def written(log: Log) -> list[Delivered]:
        made = [*of_person(log, "a1", "ann"), *of_person(log, "a2", "ann"), *of_person(log, "s1", "sue"), *of_person(log, "b1", "bob")]
        made += [log.put(topics.LEDGER, erasure("ann")), log.put(topics.LEDGER, erasure(identities=["s1"]))]
        return made + log.again(made)

    store.apply(written(Log()))
    expected = people(store), sums(store), texts(store)
    assert expected[0] == {"(erased)": (3, 300), "bob": (1, 100)}
    store.clear()
    records, draw = shuffled(written(Log()), seed), random.Random(seed)
    while records:
        size = draw.randint(1, 7)
        store.apply(records[:size])
        records = records[size:]
    assert (people(store), sums(store), texts(store)) == expected


def shuffled(records: Sequence[Delivered], seed: int) -> list[Delivered]:
    drawn = list(records)
    random.Random(seed).shuffle(drawn)
    return Log().again(drawn)


def test_what_is_asked_afterwards_under_the_same_name_is_new(store: Store) -> None:
    log = Log()
    store.apply([*of_person(log, "a1", "ann"), log.put(topics.LEDGER, erasure("ann", before_ms=NOON + 10_000), NOON + 10_000)])
    store.apply(of_person(log, "a2", "ann", NOON + 60_000))
    assert people(store) == {"(erased)": (1, 100), "ann": (1, 100)}


def test_another_tenants_namesake_stays(store: Store) -> None:
    log = Log()
    theirs = settled("g1", 5, end_user="ann", identity={"tenant": "globex", "id": "g1"})
    store.apply([*of_person(log, "a1", "ann"), log.put(CLOUD, theirs), log.put(topics.LEDGER, erasure("ann"))])
    assert people(store)["ann"] == (0, 5)


def test_a_store_that_is_filled_again_remembers_whom_it_forgot(store: Store) -> None:
    """Also when the order itself is gone from the topics and what it was about is not yet."""
    log = Log()
    records = of_person(log, "a1", "ann")
    store.apply([*records, log.put(topics.LEDGER, erasure("ann"))])
    store.clear()
    store.apply(records)
    assert people(store) == {"(erased)": (1, 100)}
    assert texts(store) == [("(erased)", "(erased)", "(erased)")]


def test_feedback_that_comes_after_the_order_is_counted_without_its_words(store: Store) -> None:
    log = Log()
    first, last = of_person(log, "a1", "ann")[:-1], of_person(log, "a1", "ann")[-1]
    store.apply([*first, log.put(topics.LEDGER, erasure("ann"))])
    store.apply(log.again([last]))
    total = ask(store.engine, Question()).total.sums
    assert (total["judged"], total["unresolved"], total["corrected"], total["correction"]) == (1, 1, 1, 9)
    assert SECRET not in str(texts(store))


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (records_pb2.Erasure(end_user_mark="ab"), "its erasure has no tenant"),
        (records_pb2.Erasure(tenant="acme"), "its erasure names nobody"),
        (records_pb2.Erasure(tenant="acme", identities=[b"short"]), "not a hash of 16 bytes"),
    ],
)
def test_an_order_that_names_nobody_is_passed_by(store: Store, order: records_pb2.Erasure, said: str) -> None:
    done = store.apply([Log().put(topics.LEDGER, records_pb2.LedgerRecord(role="erasure", erasure=order))])
    assert [said in reason for _, reason in done.refused] == [True]
