"""`trivium erase`: one person's data is found in every topic by identity, and what can be removed is."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator

import pytest
from google.protobuf.message import DecodeError

from infra.broker import EmbeddedBroker
from trivium.cache.lookup import shipped_verifier
from trivium.cache.view import CacheOptions, CacheView
from trivium.cli.app import main
from trivium.cli.log import everything, ledger_records
from trivium.codec.budgets import account_to
from trivium.core.budget import AccountRecord
from trivium.core.policy import Tier
from trivium.core.subject import mark
from trivium.embed.static import StaticEmbedder
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.kafka.topics import (
    ALERTS,
    BUDGET,
    CACHE,
    DAY_MS,
    DEADLETTER,
    DOCUMENTS,
    FEEDBACK,
    LEDGER,
    OUTCOMES,
    REQUESTS,
    RESPONSES,
    Lane,
    all_topics,
    attempts,
    work,
)
from trivium.ledger.facts import identity_hash
from trivium.settings import KafkaSettings
from trivium.v1 import journey_pb2, outcome_pb2, records_pb2, request_pb2

REPLIES = ["trivium.replies.globex", "trivium.replies.globex-batch"]
PERSON, OTHER = "customer-4711", "customer-0815"
WORK = work(Tier.FINETUNED, Lane.RESTRICTED)


def request(number: str, subject: str = PERSON, **more: str) -> request_pb2.Request:
    return request_pb2.Request(tenant="acme", id=number, endpoint="/account", prompt="where is it?", subject=subject, **more)


def journey(number: str, subject: str) -> list[Record]:
    """What one request leaves behind. Only requests, work and outcomes say whose it was."""
    key, asked = f"acme/{number}".encode(), request(number, subject, end_user=f"user-of-{subject}")
    identity = request_pb2.Identity(tenant="acme", id=number)
    terminal = outcome_pb2.Terminal(identity=identity, kind="answered")
    entry = records_pb2.CacheEntry(id=number, scope="s", tenant="acme", question=f"question of {number}", made_for=identity,
                                   subject_mark=mark("acme", subject), expires_ms=int(time.time() * 1000) + DAY_MS,
                                   made_ms=int(time.time() * 1000) - 5_000, answer=outcome_pb2.Answer(text="x"))  # fmt: skip
    return [
        Record(REQUESTS, key, asked.SerializeToString()),
        Record(WORK, key, journey_pb2.Work(request=asked).SerializeToString()),
        Record(attempts(Tier.FINETUNED), key, records_pb2.AttemptRecord(identity=identity).SerializeToString()),
        Record(OUTCOMES, key, journey_pb2.OutcomeRecord(request=asked).SerializeToString()),
        Record(LEDGER, b"acme", records_pb2.LedgerRecord(role="terminal", terminal=terminal).SerializeToString()),
        Record(CACHE, f"s/{number}".encode(), entry.SerializeToString()),
        Record(RESPONSES, key, terminal.SerializeToString()),
    ]


def extras() -> list[Record]:
    """Beside the journeys: JSON, a dead letter, a gateway's bill, a document."""
    as_json = json.dumps({"tenant": "acme", "id": "json-1", "subject": PERSON, "prompt": "hello"}).encode()
    letter = records_pb2.DeadLetter(topic=REQUESTS, value=request("bad-1").SerializeToString())
    bill = records_pb2.LedgerRecord(role="terminal", end_user=f"user-of-{PERSON}", terminal=outcome_pb2.Terminal(
        identity=request_pb2.Identity(tenant="acme", id="grpc-1"), kind="answered"))  # fmt: skip
    document = records_pb2.DocumentRecord(tenant="acme", corpus="docs", document=f"customers/{PERSON}/file.md", state="present")
    namesake = request("9", PERSON)
    namesake.tenant = "globex"
    return [
        Record(REQUESTS, b"acme/json-1", as_json),
        Record(REQUESTS, b"globex/9", namesake.SerializeToString()),
        *(Record(topic, b"nonsense", b"\xff\xfe") for topic in (REQUESTS, WORK, OUTCOMES, LEDGER, CACHE, DOCUMENTS, DEADLETTER, RESPONSES)),
        Record(REQUESTS, b"nonsense", f'{{"tenant": 7, "subject": "{PERSON}"}}'.encode()),
        Record(REQUESTS, b"event-1", json.dumps({"specversion": "1.0", "id": "event-1", "source": "shop", "type": "trivium.request.v1",
               "data": {"tenant": "acme", "subject": PERSON, "prompt": "hello"}}).encode(),
               (("content-type", b"application/cloudevents+json"),)),
        Record(DEADLETTER, b"x", letter.SerializeToString()),
        Record(LEDGER, b"acme", bill.SerializeToString()),
        # What was said of an answer, by whoever said it; and a budget for each end user.
        Record(FEEDBACK, b"acme/1", records_pb2.FeedbackRecord(identity=request_pb2.Identity(tenant="acme", id="1"), corrected_text="so").SerializeToString()),
        Record(FEEDBACK, b"acme/77", records_pb2.FeedbackRecord(identity=request_pb2.Identity(tenant="acme", id="77"), outcome="resolved",
               source=f"user-of-{PERSON}").SerializeToString()),
        Record(BUDGET, b"h|each/user|2026-11", account_to(AccountRecord("h", f"each/user-of-{PERSON}", "2026-11", 1, 1, 0, 1)).SerializeToString(), (), 0),
        Record(ALERTS, b"each/user|2026-11", records_pb2.BudgetAlert(budget=f"each/user-of-{PERSON}", period="2026-11").SerializeToString()),
        Record(DOCUMENTS, f"acme/docs/customers/{PERSON}/file.md".encode(), document.SerializeToString()),
    ]


@pytest.fixture
def kafka() -> Iterator[str]:
    with EmbeddedBroker({topic.name: topic.partitions for topic in all_topics(REPLIES)}) as broker:
        asyncio.run(published(broker.bootstrap, [*journey("1", PERSON), *journey("2", PERSON), *journey("3", OTHER), *extras()]))
        yield broker.bootstrap


async def published(bootstrap: str, records: list[Record]) -> None:
    async with Producer(bootstrap) as producer:
        for record in records:
            await producer.publish(record, 5_000)


def erased(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, object]]:
    """The command's rows by topic."""
    with pytest.raises(SystemExit) as left:
        main(["erase", "--tenant", "acme", "--json", *arguments])
    assert left.value.code == 0
    said = json.loads(capsys.readouterr().out)
    return {row["topic"]: row for row in said["topics"]} | {"": said}


def days_left(row: dict[str, object]) -> int:
    return round((int(str(row["gone_by_ms"])) - time.time() * 1000) / DAY_MS)


def counts(rows: dict[str, dict[str, object]]) -> dict[str, object]:
    return {topic: row["records"] for topic, row in rows.items() if topic}


def test_one_persons_data_is_found_wherever_it_is(kafka: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = erased(capsys, "--kafka", kafka, "--subject", PERSON, "--end-user", f"user-of-{PERSON}", "--documents", f"docs/customers/{PERSON}/")
    assert counts(rows) == {REQUESTS: 5, WORK: 2, attempts(Tier.FINETUNED): 2, OUTCOMES: 2, LEDGER: 3, CACHE: 2,
                            RESPONSES: 2, DEADLETTER: 1, DOCUMENTS: 1, FEEDBACK: 2, BUDGET: 1, ALERTS: 1}  # fmt: skip
    assert rows[""]["requests"] == 5, "1, 2, json-1, event-1, and the one that is only in the dead letter"
    assert rows[""]["applied"] is False
    assert days_left(rows[REQUESTS]) == 8, "seven, and the segment that it is in"
    assert (days_left(rows[FEEDBACK]), days_left(rows[BUDGET])) == (31, 34)
    assert (rows[CACHE]["gone_by_ms"], rows[DOCUMENTS]["gone_by_ms"]) == (0, 0), "nothing was removed"


def test_what_can_be_removed_is_and_other_peoples_stays(kafka: str, capsys: pytest.CaptureFixture[str]) -> None:
    under_way = journey("4", PERSON)[5]
    assert counts(erased(capsys, "--kafka", kafka, "--subject", PERSON))[CACHE] == 2
    rows = erased(capsys, "--kafka", kafka, "--subject", PERSON, "--apply")
    assert (rows[CACHE]["records"], days_left(rows[CACHE])) == (2, 2)
    assert counts(erased(capsys, "--kafka", kafka, "--subject", PERSON))[CACHE] == 0
    assert counts(erased(capsys, "--kafka", kafka, "--subject", OTHER))[CACHE] == 1
    asyncio.run(published(kafka, [under_way]))
    assert asyncio.run(held(kafka)) == 1, "an answer that was under way when the order was written is not served either"


async def held(bootstrap: str) -> int:
    """Entries that a router holds which starts now."""
    async with CacheView(CacheOptions(bootstrap), StaticEmbedder.load(), shipped_verifier()) as view:
        assert await view.wait_caught_up(10_000)
        return view.entries


def test_the_ledgers_store_is_told_to_forget(kafka: str, capsys: pytest.CaptureFixture[str]) -> None:
    who = ("--kafka", kafka, "--subject", PERSON, "--end-user", f"user-of-{PERSON}")
    assert erased(capsys, *who)[""]["ledger_store"] == {"identities": 5, "ordered": False}
    assert asyncio.run(orders(kafka)) == []
    assert erased(capsys, *who, "--apply")[""]["ledger_store"] == {"identities": 5, "ordered": True}
    (order,) = asyncio.run(orders(kafka))
    assert (order.tenant, order.end_user_mark) == ("acme", mark("acme", f"user-of-{PERSON}"))
    assert identity_hash(request_pb2.Identity(tenant="acme", id="1")) in order.identities
    assert identity_hash(request_pb2.Identity(tenant="acme", id="3")) not in order.identities
    assert PERSON.encode() not in order.SerializeToString(), "the order itself names nobody"
    # It is no request: who sums up the topic passes it by.
    assert "erasure" not in {record.role for record in asyncio.run(ledger_of(kafka))}


async def orders(bootstrap: str) -> list[records_pb2.Erasure]:
    entries = [records_pb2.LedgerRecord.FromString(r.value or b"") async for r in everything(KafkaSettings(bootstrap=bootstrap), LEDGER) if r.key == b"acme"]
    return [entry.erasure for entry in entries if entry.role == "erasure"]


async def ledger_of(bootstrap: str) -> list[records_pb2.LedgerRecord]:
    entries = []
    with contextlib.suppress(DecodeError):
        async for entry in ledger_records(KafkaSettings(bootstrap=bootstrap)):
            entries.append(entry)
    return entries


def test_a_whole_corpus_is_not_one_persons(capsys: pytest.CaptureFixture[str]) -> None:
    for documents in ("docs", "docs/"):
        with pytest.raises(SystemExit) as left:
            main(["erase", "--subject", PERSON, "--documents", documents])
        assert left.value.code == 2
        assert "names a whole corpus" in capsys.readouterr().err


def test_the_mark_tells_no_name_and_no_two_tenants_alike() -> None:
    assert mark("acme", "") == ""
    assert PERSON not in mark("acme", PERSON)
    assert mark("acme", PERSON) != mark("globex", PERSON)
