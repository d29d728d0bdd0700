"""The ledger's process: topics in, reports out, and nothing counted twice or lost when something goes away."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from sqlalchemy.exc import OperationalError

from infra.broker import EmbeddedBroker
from services.ledger.__main__ import main
from services.ledger.fixed import shares
from tests.contract.ledger_records import answered, feedback, settled, started
from tests.integration.ledger_service import PARTITIONS, Log, a_process, ledger_service, moved, now_ms, write
from trivium.cli.report import report
from trivium.kafka import topics
from trivium.keys.key import digest_of, new_key
from trivium.ledger.facts import TOPICS
from trivium.ledger.question import EPOCH
from trivium.ledger.store import Store
from trivium.policy import load

CLOUD = "trivium.attempts.cloud"


@pytest.fixture
def broker() -> Iterator[str]:
    with EmbeddedBroker(dict.fromkeys(TOPICS, PARTITIONS)) as embedded:
        yield embedded.bootstrap


async def test_what_the_topics_say_is_reported_and_goes_on_after_a_restart(broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database, log, at = str(tmp_path / "ledger.db"), Log(), now_ms()
    await write(broker, [*answered(log, "a", 100, at_ms=at), *moved(answered(log, "b", 20, at_ms=at), 1)])
    async with ledger_service(tmp_path, broker, database) as ledger:
        total = await ledger.total(lambda line: line.requests == line.attempts == 2)
        assert (total.cost, total.attempts, total.told) == (120, 2, 120)
        assert ledger.metric("trivium_ledger_database_up") == 1
    await write(broker, [*answered(log, "c", 3, at_ms=at), log.put(topics.FEEDBACK, feedback("c", at_ms=at))])
    applied = list[int]()
    count = Store.apply
    monkeypatch.setattr(Store, "apply", lambda store, records, since: applied.append(len(records)) or count(store, records, since))
    async with ledger_service(tmp_path, broker, database) as ledger:
        total = await ledger.total(lambda line: line.resolved == 1 and line.attempts == 3)
        lines = await ledger.report(by=["tier", "day"], tenant="acme")
        assert (total.cost, total.requests, total.cost_of_success) == (123, 3, 3)
        assert [line.group[0] for line in lines[:-1]] == ["cloud"]
        assert lines[-1].fixed > 0
        assert sum(applied) == 4
        # Somebody empties and fills the store while this one runs.
        await main(a_process(tmp_path, broker, database), rebuild=True)
        await write(broker, answered(log, "d", 1, at_ms=at))
        total = await ledger.total(lambda line: line.requests == line.attempts == 4 and line.resolved == 1)
        assert (total.cost, total.requests, total.resolved) == (124, 4, 1)
    await rebuilt(tmp_path, broker, database)


async def rebuilt(folder: Path, broker: str, database: str) -> None:
    """Emptied and filled again it says the same; another database says it too."""
    for chosen in (database, str(folder / "other.db")):
        await main(a_process(folder, broker, chosen), rebuild=True)
        async with ledger_service(folder, broker, chosen) as ledger:
            total = (await ledger.report())[-1]
        assert (total.cost, total.requests, total.resolved) == (124, 4, 1)


async def test_topics_that_were_made_anew_are_read_from_their_beginning(tmp_path: Path) -> None:
    database, at = str(tmp_path / "ledger.db"), now_ms()
    for names in (("a", "b", "c"), ("d", "e", "f", "g")):
        with EmbeddedBroker(dict.fromkeys(TOPICS, PARTITIONS)) as embedded:
            log = Log()
            await write(embedded.bootstrap, [record for name in names for record in answered(log, name, at_ms=at)])
            async with ledger_service(tmp_path, embedded.bootstrap, database) as ledger:
                total = await ledger.total(lambda line, known=len(names): line.requests == line.attempts == (3 if known == 3 else 7))
    assert (total.requests, total.cost) == (7, 700)


async def test_a_database_that_goes_away_is_waited_for(broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    away, count = [1], Store.apply

    def apply(store: Store, *records: Any) -> Any:
        if away[0]:
            away[0] -= 1
            raise OperationalError("INSERT", {}, Exception("disk I/O error"))
        return count(store, *records)

    monkeypatch.setattr(Store, "apply", apply)
    await write(broker, answered(Log(), "a", at_ms=now_ms()))
    async with ledger_service(tmp_path, broker, str(tmp_path / "l.db")) as ledger:
        total = await ledger.total(lambda line: line.requests == line.attempts == 1)
    assert (total.requests, total.cost) == (1, 100)
    assert "the ledger's database is away (disk I/O error); waiting for it" in caplog.text
    assert "the ledger's database is back" in caplog.text


@pytest.mark.parametrize("ending", ["", "*"], ids=["the file alone", "what lies beside it too"])
async def test_a_file_that_is_removed_is_made_anew_and_filled_from_the_topics(broker: str, tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture) -> None:
    log, at = Log(), now_ms()
    await write(broker, [*answered(log, "a", 100, at_ms=at), log.put(topics.FEEDBACK, feedback("a", at_ms=at))])
    async with ledger_service(tmp_path, broker, str(tmp_path / "ledger.db")) as ledger:
        await ledger.total(lambda line: line.requests == line.attempts == line.resolved == 1)
        remove(tmp_path, f"ledger.db{ending}")
        # Nothing new is needed for it, and what comes is counted too.
        total = await ledger.total(lambda line: line.requests == line.attempts == line.resolved == 1, by=["team"])
        assert (total.cost, total.resolved) == (100, 1)
        await write(broker, answered(log, "b", 20, at_ms=at))
        total = await ledger.total(lambda line: line.requests == line.attempts == 2, by=["team"])
        assert (total.cost, total.requests, (tmp_path / "ledger.db").exists()) == (120, 2, True)
    assert "the ledger's database came back empty" in caplog.text


def remove(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.unlink()


async def test_a_record_that_is_not_counted_is_said_and_counted_as_that(broker: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log, at = Log(), now_ms()
    await write(broker, [log.put(CLOUD, b"\xff\xff"), log.put(CLOUD, started("a", begun_ms=at)), log.put(CLOUD, settled("a", begun_ms=at))])
    async with ledger_service(tmp_path, broker, str(tmp_path / "l.db")) as ledger:
        await ledger.total(lambda line: line.attempts == 1)
    text = ledger.process.metrics.render().decode()
    assert f'trivium_ledger_records_total{{result="refused",topic="{CLOUD}"}} 1.0' in text
    assert f'trivium_ledger_records_total{{result="counted",topic="{CLOUD}"}} 2.0' in text
    assert f"{CLOUD}/0@0 is not counted: its 2 bytes are not a trivium.v1.AttemptRecord" in caplog.text


async def test_a_key_sees_its_own_tenant_alone(broker: str, tmp_path: Path) -> None:
    own, all_of_them, other = new_key(), new_key(), new_key()
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"""
keys:
  - {{name: own, sha256: "{digest_of(own).hex()}", tenant: acme, doors: [ledger]}}
  - {{name: all, sha256: "{digest_of(all_of_them).hex()}", tenant: "*", doors: [ledger]}}
  - {{name: other, sha256: "{digest_of(other).hex()}", tenant: acme}}
""")
    log, at = Log(), now_ms()
    other_tenant = [log.put(CLOUD, settled("z", 9, begun_ms=at, identity={"tenant": "globex", "id": "z"}))]
    await write(broker, [*answered(log, "a", at_ms=at), *other_tenant])
    async with ledger_service(tmp_path, broker, str(tmp_path / "l.db"), TRIVIUM_KEYS=str(keys)) as ledger:
        assert (await ledger.total(lambda line: line.cost == 109 and line.requests == 1, key=all_of_them)).cost == 109
        assert (await ledger.report(own))[-1].cost == 100
        assert (await ledger.report(own, filters=[{"dimension": "tenant", "values": ["globex"]}]))[-1].cost == 0
        for key, asked, status in (
            (own, {"tenant": "globex"}, grpc.StatusCode.PERMISSION_DENIED),
            (other, {}, grpc.StatusCode.PERMISSION_DENIED),
            ("", {}, grpc.StatusCode.UNAUTHENTICATED),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ledger.report(key, **asked)
            assert refused.value.code() is status


async def test_a_wrong_question_is_refused_in_a_sentence(broker: str, tmp_path: Path) -> None:
    async with ledger_service(tmp_path, broker, str(tmp_path / "l.db")) as ledger:
        for asked, said in (
            ({"by": ["colour"]}, "'colour' is none of tenant"),
            ({"filters": [{"dimension": "tier"}]}, "names no values"),
            ({"from_ms": 5, "to_ms": 4}, "ends before it begins"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ledger.report(**asked)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert said in (refused.value.details() or "")


def test_the_days_of_a_month_sum_up_to_its_fixed_price(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY_OF_A_MONTH)
    targets = load(tmp_path / "policy.yaml").targets.values()
    first = (date(2026, 2, 1) - EPOCH).days
    assert sum(row["cost"] for day in range(first, first + 28) for row in shares(targets, day)) == 350_000_001


POLICY_OF_A_MONTH = """
revision: 1
tenants: {acme: {reply_topics: [trivium.responses], corpora: []}}
targets: {cloud/small: {tier: cloud, model: m, prices: {per_month: 350.000001}}}
tasks: {draft: {route: [cloud/small], system: s}}
endpoints: {/draft: draft}
novel: {route: [cloud/small], system: s}
default: {route: [cloud/small]}
"""


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    for arguments, said in (
        (["--by", "colour"], "'colour' is none of"),
        (["--only", "tier"], "must be NAME=VALUE"),
        (["--since", "soon"], "not a span like"),
        (["--from", "yesterday"], "is not a day like"),
        (["--from", "2026-02-02", "--to", "2026-01-01"], "is before"),
        (["--since", "2d", "--to", "2026-01-01"], "give one of them"),
        (["--map", "day=d"], "there is none"),
    ):
        done = CliRunner().invoke(report, arguments)
        assert done.exit_code == 2
        assert said in done.output
