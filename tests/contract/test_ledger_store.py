"""What the ledger's store must do on every database: count each record once, whatever comes twice, late or broken."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from tests.contract.ledger_records import (
    DAY_MS,
    NOON,
    Log,
    answered,
    ended,
    erasure,
    feedback,
    grounded,
    settled,
    started,
    stray,
)
from trivium.kafka import topics
from trivium.kafka.record import Delivered
from trivium.ledger import store as store_module
from trivium.ledger.database import opened, put
from trivium.ledger.line import Line, Report
from trivium.ledger.question import BadQuestion, Question
from trivium.ledger.report import ask
from trivium.ledger.schema import COSTS, SUMS, TIMES, fixed, metadata, refused
from trivium.ledger.store import OutOfStep, Store

CLOUD = "trivium.attempts.cloud"


@pytest.fixture
def store(ledger_database: str) -> Iterator[Store]:
    engine = opened(ledger_database)
    yield Store(engine)
    metadata.drop_all(engine)
    engine.dispose()


def figures(store: Store, *by: str, **more: Any) -> dict[tuple[str, ...], Line]:
    return {line.group: line for line in ask(store.engine, Question(by=by, **more)).lines}


def total(store: Store, **more: Any) -> dict[str, int]:
    return ask(store.engine, Question(**more)).total.sums


def whole(report: Report) -> Any:
    return {line.group: (line.sums, line.times) for line in report.lines}, report.waiting


def test_a_request_is_counted_with_its_attempt(store: Store) -> None:
    store.apply(answered(Log(), "r1", 250))
    line = figures(store, "tenant", "team", "task_type", "tier", "target", "day")["acme", "care", "draft", "cloud", "cloud/small", "2024-10-04"]
    said = {name: value for name, value in line.sums.items() if value}
    assert said == {
        "attempts": 1, "cost": 250, "cost_input": 200, "cost_output": 50, "input_tokens": 80, "output_tokens": 4,
        "requests": 1, "answered": 1, "told": 250, "all_cloud": 1250,
    }  # fmt: skip
    assert line.percentile("duration_ms", 0.5) == pytest.approx(60, rel=0.01)
    assert line.percentile("ttft_ms", 0.95) == pytest.approx(30, rel=0.01)
    assert line.percentile("tpot_us", 0.5) == pytest.approx(900, rel=0.01)


def test_a_generator_is_paid_once_and_on_the_bill_of_the_attempt_that_it_wrote_for(store: Store) -> None:
    store.apply(grounded(Log(), "r1"))
    (line,) = figures(store, "target").values()
    assert line.group == ("retrieval/docs",)
    assert line.sums["cost"] == line.sums["told"] == 150
    assert [line.sums[name] for name in COSTS] == [25, 75, 20, 10, 20, 0, 0]
    assert (line.sums["attempts"], line.sums["input_tokens"], line.sums["context_tokens"]) == (1, 1_000, 750)
    paid = figures(store, "paid", only={"model": frozenset({"m-1"})})
    assert {group[0]: one.sums["cost"] for group, one in paid.items()} == {"retrieval/docs": 30, "finetuned/support": 120}


def everything(log: Log) -> list[Delivered]:
    records = [*answered(log, "a", 100), *answered(log, "b", 7, "finetuned/own", NOON + DAY_MS), *grounded(log, "c")]
    records += [log.put(topics.LEDGER, stray("a")), log.put(CLOUD, started("d"), partition=3)]
    # The same identity is asked again a day later, and its attempt began on two clocks.
    records += answered(log, "a", 300, at_ms=NOON + DAY_MS)
    records += [
        log.put(topics.FEEDBACK, feedback("a", "unresolved", NOON + 10)),
        log.put(topics.FEEDBACK, feedback("a", "resolved", NOON + 20, score=0.75, correction_micro_dollars=40), NOON + 30),
        log.put(topics.FEEDBACK, feedback("nobody"), NOON + 30),
        log.put(topics.FEEDBACK, feedback("c", "", corrected_text="so", at_ms=NOON + 25), NOON + 30),
    ]
    records += [log.put(topics.LEDGER, erasure(identities=["c"])), log.put(topics.LEDGER, erasure("u2"))]
    return records + log.again(records)


def shuffled(records: Sequence[Delivered], seed: int) -> list[Delivered]:
    """Any order of the writers: the offsets follow the new order."""
    drawn = list(records)
    random.Random(seed).shuffle(drawn)
    log = Log()
    return log.again(drawn)


@pytest.mark.parametrize("seed", range(6))
def test_order_repetition_and_batches_change_nothing(store: Store, seed: int) -> None:
    by = Question(by=("day", "tier", "target", "team"))
    store.apply(everything(Log()))
    expected = whole(ask(store.engine, by))
    store.clear()
    assert not ask(store.engine, by).lines
    records, draw = shuffled(everything(Log()), seed), random.Random(seed)
    while records:
        size = draw.randint(1, 9)
        store.apply(records[:size])
        if draw.random() < 0.5:
            # The commit was not heard of: the same batch comes again.
            assert store.apply(records[:size]).taken == 0
        records = records[size:]
    assert whole(ask(store.engine, by)) == expected


def test_the_sums_are_what_the_facts_add_up_to(store: Store) -> None:
    store.apply(shuffled(everything(Log()), 3))
    of_sums = ask(store.engine, Question(by=("day", "tier", "target", "tenant")))
    of_facts = ask(store.engine, Question(by=("day", "tier", "target", "tenant"), to_ms=NOON + 400 * DAY_MS + 1))
    assert whole(of_sums) == whole(of_facts)
    by_person = ask(store.engine, Question(by=("end_user",)))
    assert by_person.total.sums == of_sums.total.sums
    assert by_person.total.times == of_sums.total.times


def test_nothing_of_a_transaction_that_fails_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    records = everything(Log())

    def dies(*_: object) -> None:
        raise OperationalError("COMMIT", {}, Exception("the database went away"))

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "_reach", dies)
        with pytest.raises(OperationalError):
            store.apply(records)
    assert not any(total(store).values())
    assert store.read_so_far() == {}
    store.apply(records)
    other = total(store)
    store.clear()
    store.apply(records)
    assert total(store) == other


def test_records_are_not_counted_past_a_gap(store: Store) -> None:
    records = answered(Log(), "a") + answered(log := Log({(CLOUD, 0): 7, (topics.LEDGER, 0): 4}), "b")
    store.apply(records[:3], {(CLOUD, 0): 0})
    with pytest.raises(OutOfStep, match="trivium.attempts.cloud/0 is counted up to 2, and was read from 7 on"):
        store.apply(records[3:], {(CLOUD, 0): 7})
    assert total(store)["requests"] == 1
    store.pass_over({(CLOUD, 0): 7, (topics.LEDGER, 0): 0})
    store.apply(records[3:], {(CLOUD, 0): 7})
    assert total(store)["requests"] == 2
    assert store.read_so_far()[CLOUD, 0].next_offset == log.next[CLOUD, 0]


def test_filled_again_it_says_the_same_and_keeps_fixed_prices(store: Store) -> None:
    records = everything(Log())
    store.apply(records)
    with store.engine.begin() as connection:
        put(connection, fixed, [{"day": NOON // DAY_MS, "target": "finetuned/own", "tier": "finetuned", "cost": 11}])
    before = ask(store.engine, Question(by=("target",)))
    store.clear()
    store.apply(records)
    after = ask(store.engine, Question(by=("target",)))
    assert whole(after) == whole(before)
    assert after.fixed == before.fixed == 11
    assert ask(store.engine, Question(only={"tier": frozenset({"cloud"})})).fixed == 0


@pytest.mark.parametrize(
    ("topic", "message", "schema", "said"),
    [
        (CLOUD, b"\xff\xff\xff", "", "its 3 bytes are not a trivium.v1.AttemptRecord"),
        (CLOUD, settled("x"), "trivium.v2.Other", "its header schema says 'trivium.v2.Other'"),
        (CLOUD, settled("x", -5), "", "its cost_micro_dollars is -5"),
        (CLOUD, settled("x", state="thought"), "", "its state is 'thought'"),
        (CLOUD, settled(""), "", "its identity has no id"),
        (topics.LEDGER, ended("x", all_cloud_micro_dollars=-1), "", "its all_cloud_micro_dollars is -1"),
        (topics.LEDGER, b"", "", "its role is ''"),
        (topics.FEEDBACK, feedback("x", "great"), "", "its outcome is 'great'; it must be resolved, unresolved"),
        (topics.FEEDBACK, feedback("x", score=1.5), "", "its score is 1.5; it must be from 0 to 1"),
        (topics.FEEDBACK, feedback("x", correction_micro_dollars=-1), "", "its correction_micro_dollars is -1"),
        (topics.FEEDBACK, feedback("x", ""), "", "it says nothing"),
    ],
)
def test_a_record_that_says_nothing_usable_is_named_and_passed(store: Store, topic: str, message: Any, schema: str, said: str) -> None:
    log = Log()
    bad = log.put(topic, message, schema=schema)
    good = log.again(answered(Log(), "good"))
    done = store.apply([bad, *good])
    assert [record for record, _ in done.refused] == [bad]
    assert said in done.refused[0][1]
    assert total(store)["requests"] == 1
    assert store.read_so_far()[topic, 0].next_offset >= 1
    with store.engine.connect() as connection:
        (row,) = connection.execute(select(refused)).mappings()
    assert (row["topic"], row["partition"], row["offset"]) == (topic, 0, 0)


def test_a_clock_that_jumps_costs_neither_a_day_nor_a_negative_time(store: Store) -> None:
    log = Log()
    for name, wrong in (("past", 5), ("future", NOON + 900 * DAY_MS)):
        store.apply([
            log.put(CLOUD, started(name, begun_ms=wrong), NOON),
            log.put(CLOUD, settled(name, 10, begun_ms=wrong), NOON + 9),
            log.put(topics.LEDGER, ended(name, 10, arrived_ms=wrong, took_ms=-70), NOON + 9),
        ])  # fmt: skip
    (line,) = figures(store, "day").values()
    assert (line.group, line.sums["cost"], line.sums["requests"]) == (("2024-10-04",), 20, 2)
    assert line.percentile("duration_ms", 0.95) == 0


def test_an_attempt_that_never_settled_is_told_until_it_has(store: Store) -> None:
    log = Log()
    store.apply([log.put(CLOUD, started("r"))])
    assert (total(store)["open_attempts"], total(store)["attempts"], total(store)["cost"]) == (1, 0, 0)
    store.apply([log.put(CLOUD, settled("r"))])
    assert (total(store)["open_attempts"], total(store)["attempts"], total(store)["cost"]) == (0, 1, 100)


def test_what_never_settled_is_told_in_dollars_where_a_budget_reserved_it(store: Store) -> None:
    log = Log()
    part = {"part_of": "retrieval/docs", "door": "grpc"}
    store.apply([
        log.put(CLOUD, started("a", reserved_micro_dollars=700)),
        log.put(CLOUD, started("b")),
        log.put(CLOUD, started("c", reserved_micro_dollars=40, **part)),
        log.put(CLOUD, started("d", reserved_micro_dollars=9)),
        log.put(CLOUD, settled("d", 5, reserved_micro_dollars=9)),
    ])  # fmt: skip
    for question in (Question(by=("target",)), Question(by=("target", "end_user"))):
        of = {line.group[0]: line.sums for line in ask(store.engine, question).lines}
        assert (of["cloud/small"]["open_attempts"], of["cloud/small"]["open_cost"], of["cloud/small"]["open_unbounded"]) == (2, 700, 1)
        assert (of["retrieval/docs"]["open_attempts"], of["retrieval/docs"]["open_cost"]) == (0, 40)


def test_what_patience_saved_and_missed_is_told(store: Store) -> None:
    log, batch = Log(), [{"number": 1, "target": "cloud/small", "batch": True}]
    store.apply([
        log.put(CLOUD, settled("a", 50, batch=True, saved_micro_dollars=50)),
        log.put(topics.LEDGER, ended("a", 50, attempts=batch)),
        log.put(CLOUD, settled("b", 100)),
        log.put(topics.LEDGER, ended("b", 100)),
        log.put(topics.LEDGER, ended("c", 0, kind="expired", attempts=batch)),
    ])  # fmt: skip
    for question in (Question(), Question(to_ms=NOON + 400 * DAY_MS + 1)):
        said = ask(store.engine, question).total.sums
        assert [said[name] for name in ("batched", "batch_saved", "patient", "missed", "cost")] == [1, 50, 2, 1, 150]


@pytest.mark.parametrize("by", [("end_user",), ("end_user", "tier"), ("day", "end_user", "team")])
def test_the_dearest_end_users_are_found_without_reading_everybodys_records(store: Store, by: tuple[str, ...]) -> None:
    log, records = Log(), list[Delivered]()
    for n in range(30):
        records += [
            log.put(CLOUD, settled(f"r{n}", 10 + n % 7, end_user=f"u{n % 5}")),
            log.put("trivium.attempts.finetuned", settled(f"s{n}", n, "finetuned/own", NOON + n % 3 * DAY_MS, end_user=f"u{n % 4}")),
            log.put(topics.LEDGER, ended(f"r{n}", 10 + n % 7)),
        ]
    store.apply([*records, log.put(topics.LEDGER, stray("x", 3))])
    for only in ({}, {"tier": frozenset({"cloud"})}, {"end_user": frozenset({"u1", "u3"})}):
        whole_report = ask(store.engine, Question(by, only))
        for limit in (1, 2, 5, 100):
            few = ask(store.engine, Question(by, only, limit=limit))
            assert [(line.group, line.sums, line.times) for line in few.lines] == [
                (line.group, line.sums, line.times) for line in whole_report.lines[:limit]
            ]
            assert (few.total.sums, few.total.times) == (whole_report.total.sums, whole_report.total.times)


@pytest.mark.parametrize("by", [("paid",), ("day", "model", "paid"), ("model", "tier")])
def test_whole_days_by_what_was_called_say_the_same_as_every_record(store: Store, by: tuple[str, ...]) -> None:
    store.apply(everything(Log()))
    only: dict[str, frozenset[str]]
    for only in ({}, {"tier": frozenset({"retrieval", "finetuned"})}, {"paid": frozenset({"cloud/small", ""})}, {"paid": frozenset({"cloud/small"})}):
        of_days, of_records = (ask(store.engine, Question(by, only, to_ms=at)) for at in (NOON - NOON % DAY_MS + 9 * DAY_MS, NOON + 9 * DAY_MS))
        assert whole(of_days) == whole(of_records)
        assert of_days.total.sums == of_records.total.sums


def test_what_was_started_again_is_paid_again(store: Store) -> None:
    log = Log()
    again = {"execution": 2, "instance": "two"}
    store.apply([log.put(CLOUD, m) for m in (started("r"), started("r", begun_ms=NOON + 9, **again), settled("r", 30, begun_ms=NOON + 9, **again))])
    assert (total(store)["open_attempts"], total(store)["attempts"], total(store)["cost"]) == (1, 1, 30)


def test_tokens_without_a_price_are_told(store: Store) -> None:
    log = Log()
    store.apply([log.put(CLOUD, settled("r", 0)), log.put(CLOUD, settled("old", 9, costs=None))])
    assert total(store)["unpriced"] == 1
    # A writer from before the costs were split: what it does not say stands apart, and nothing is lost.
    assert total(store)["cost_unsplit"] == 9


def test_a_stray_is_counted_and_its_cost_stands_in_its_attempt(store: Store) -> None:
    log = Log()
    late = settled("r", 70, begun_ms=NOON + 800)
    store.apply([*answered(log, "r"), log.put(CLOUD, late), log.put(topics.LEDGER, stray("r", 70))])
    said = total(store)
    assert (said["cost"], said["told"], said["strays"], said["stray_cost"]) == (170, 100, 1, 70)


def test_the_last_feedback_counts_and_its_correction_is_paid(store: Store) -> None:
    log = Log()
    store.apply([*answered(log, "a", 100), *answered(log, "b", 300)])
    store.apply([log.put(topics.FEEDBACK, feedback("a", "resolved", NOON + 900, score=1.0), NOON + DAY_MS)])
    # Said before, heard after: the later one stays.
    store.apply([log.put(topics.FEEDBACK, feedback("a", "unresolved", NOON + 100), NOON + DAY_MS)])
    store.apply([log.put(topics.FEEDBACK, feedback("b", "unresolved", corrected_text="no", correction_micro_dollars=5_000), NOON + DAY_MS)])
    line = ask(store.engine, Question()).total
    assert [line.sums[name] for name in ("judged", "resolved", "unresolved", "corrected", "correction")] == [2, 1, 1, 1, 5_000]
    assert (line.sums["scored"], line.sums["score"]) == (1, 1_000)
    assert line.cost_of_success == 100 + 300 + 5_000


def test_feedback_waits_for_its_request(store: Store) -> None:
    log = Log()
    store.apply([log.put(topics.FEEDBACK, feedback("late", at_ms=NOON + 5), NOON + 5)])
    report = ask(store.engine, Question())
    assert (report.waiting, report.total.sums["judged"], report.total.cost_of_success) == (1, 0, None)
    store.apply(answered(log, "late", 42))
    report = ask(store.engine, Question())
    assert (report.waiting, report.total.sums["resolved"], report.total.cost_of_success) == (0, 1, 42)


def test_feedback_from_a_clock_that_is_ahead_does_not_win_for_ever(store: Store) -> None:
    log = Log()
    store.apply(answered(log, "a"))
    store.apply([log.put(topics.FEEDBACK, feedback("a", "unresolved", NOON + 900 * DAY_MS), NOON + 10_000)])
    store.apply([log.put(topics.FEEDBACK, feedback("a", "resolved", NOON + 20_000), NOON + 20_000)])
    assert (total(store)["resolved"], total(store)["unresolved"]) == (1, 0)


def test_a_cache_hit_costs_nothing_and_saves_what_the_cloud_takes(store: Store) -> None:
    hit = ended("r", 0, "", tier="cache", all_cloud_micro_dollars=900)
    hit.terminal.cache.kind = "exact"
    store.apply([Log().put(topics.LEDGER, hit)])
    line = figures(store, "tier")["cache",]
    assert (line.sums["cached"], line.sums["cost"], line.sums["all_cloud"]) == (1, 0, 900)


def test_a_report_is_narrowed_by_days_and_values(store: Store) -> None:
    log = Log()
    store.apply([*answered(log, "a", 1), *answered(log, "b", 20, at_ms=NOON + DAY_MS), *answered(log, "c", 300, "finetuned/own")])
    midnight = NOON - NOON % DAY_MS
    assert total(store, from_ms=midnight + DAY_MS)["cost"] == 20
    assert total(store, to_ms=midnight + DAY_MS)["cost"] == 301
    assert total(store, only={"tier": frozenset({"cloud"})})["cost"] == 21
    assert total(store, only={"day": frozenset({"2024-10-05"})})["cost"] == 20
    assert total(store, from_ms=NOON + 1, to_ms=NOON + DAY_MS + 1)["cost"] == 20
    assert figures(store, "end_user", only={"end_user": frozenset({"u1"})})["u1",].sums["requests"] == 3


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question(by=("colour",)), "'colour' is none of tenant"),
        (Question(by=("day", "day")), "named twice"),
        (Question(from_ms=9, to_ms=3), "ends before it begins"),
        (Question(only={"day": frozenset({"today"})}), "'today' is not a day"),
    ],
)
def test_a_wrong_question_is_told(store: Store, question: Question, said: str) -> None:
    with pytest.raises(BadQuestion, match=said):
        ask(store.engine, question)


def test_every_sum_and_time_is_kept(store: Store) -> None:
    line = ask(store.engine, Question()).total
    assert set(line.sums) == set(SUMS)
    assert set(line.times) == set(TIMES)
