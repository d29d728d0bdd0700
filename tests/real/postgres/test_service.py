"""The ledger's process over a PostgreSQL that is stopped and started again: it waits, says so, and loses nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from infra.background import end
from infra.broker import EmbeddedBroker
from infra.local import free_ports
from infra.postgres.server import start
from tests.contract.ledger_records import answered
from tests.integration.ledger_service import PARTITIONS, Log, ledger_service, moved, now_ms, write
from trivium.ledger.database import url_of
from trivium.ledger.facts import TOPICS


@pytest.fixture
def broker() -> Iterator[str]:
    with EmbeddedBroker(dict.fromkeys(TOPICS, PARTITIONS)) as embedded:
        yield embedded.bootstrap


async def test_a_server_that_goes_and_comes_back(broker: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, (port,), log, at = tmp_path / "own", free_ports(1), Log(), now_ms()
    database = (await asyncio.to_thread(start, port, print, folder)).addresses["TRIVIUM_LEDGER_DB"]
    try:
        async with ledger_service(tmp_path, broker, database) as ledger:
            await write(broker, answered(log, "a", 1, at_ms=at))
            assert (await ledger.total(lambda line: line.requests == line.attempts == 1)).cost == 1
            await asyncio.to_thread(end, folder)
            await write(broker, [*answered(log, "b", 20, at_ms=at), *moved(answered(log, "c", 300, at_ms=at), 1)])
            async with asyncio.timeout(120):
                await said(caplog, "the ledger's database is away")
            await asyncio.to_thread(start, port, print, folder)
            total = await ledger.total(lambda line: line.requests == line.attempts == 3)
        assert total.cost == 321
        assert "the ledger's database is back" in caplog.text
    finally:
        await asyncio.to_thread(end, folder)


async def test_a_connection_that_is_cut_in_the_middle_counts_once(broker: str, tmp_path: Path, ledger_database: str) -> None:
    log, at = Log(), now_ms()
    cutter = create_engine(url_of(ledger_database), isolation_level="AUTOCOMMIT")
    cut = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")

    def cut_all() -> None:
        with cutter.connect() as connection:
            connection.execute(cut)

    async with ledger_service(tmp_path, broker, ledger_database, TRIVIUM_LEDGER_BATCH="30") as ledger:
        for round_ in range(6):
            records = [record for n in range(20) for record in answered(log, f"r{round_}-{n}", 1, at_ms=at)]
            await asyncio.gather(write(broker, records), asyncio.to_thread(cut_all))
        ends = asyncio.get_running_loop().time() + 180
        counted = (0, 0, 0)
        while counted != (120, 120, 120) and asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(0.2)
            # The report's own connection may be one of those that were cut.
            total = await ledger.total(lambda _: True)
            counted = (total.requests, total.attempts, total.cost)
        assert (counted, ledger.metric("trivium_ledger_behind")) == ((120, 120, 120), 0)
    cutter.dispose()


async def test_two_processes_over_one_database_count_each_record_once(broker: str, tmp_path: Path, ledger_database: str) -> None:
    log, at = Log(), now_ms()
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with (
        ledger_service(tmp_path / "one", broker, ledger_database, TRIVIUM_LEDGER_BATCH="5") as one,
        ledger_service(tmp_path / "two", broker, ledger_database, TRIVIUM_LEDGER_BATCH="3") as two,
    ):
        await write(broker, [record for n in range(60) for record in answered(log, f"r{n}", 10, at_ms=at)])
        for ledger in (one, two):
            total = await ledger.total(lambda line: line.requests == line.attempts == 60)
            assert (total.requests, total.attempts, total.cost) == (60, 60, 600)


async def said(caplog: pytest.LogCaptureFixture, words: str) -> None:
    while True:
        if words in caplog.text:
            return
        await asyncio.sleep(0.05)
