"""The ledger's store: records a second into SQL, and how long a report over a million of them takes.

    python -m benchmarks.ledger --json
    python -m benchmarks.ledger --database postgresql://postgres@127.0.0.1:5432/postgres
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from trivium.core.policy import Tier
from trivium.kafka import topics
from trivium.kafka.record import Delivered
from trivium.ledger.database import opened, shown
from trivium.ledger.question import Question
from trivium.ledger.report import ask
from trivium.ledger.schema import metadata
from trivium.ledger.store import Store
from trivium.v1 import outcome_pb2, records_pb2, request_pb2

DAY_MS: Final = 86_400_000
_TARGETS: Final = ("finetuned/tickets", "finetuned/support", "retrieval/docs", "cloud/small", "cloud/frontier")
_TASKS: Final = ("classify_ticket", "draft_reply", "ask_docs", "summarise", "extract", "translate")
_TEAMS: Final = ("care", "growth", "logistics", "billing-desk")
_PARTITIONS: Final = 12
_LINES: Final = 40
"""As `trivium report` asks for."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one database did."""

    database: str
    records: int
    seconds: float
    cpu_seconds: float
    """Of this process; a PostgreSQL server's own come on top (about a quarter as much)."""
    reports_ms: dict[str, float]
    reports_cpu_ms: dict[str, float]
    """Processor time of this process: all of it for SQLite, the smaller part for a server."""

    @property
    def per_second(self) -> int:
        return round(self.records / self.seconds)

    @property
    def per_cpu_second(self) -> int:
        return round(self.records / self.cpu_seconds)


def records(requests: int, start_ms: int, span_ms: int) -> Iterator[Delivered]:
    """Three records for each request: begun, settled, ended."""
    reached: dict[tuple[str, int], int] = {}

    def placed(topic: str, partition: int, at_ms: int, value: bytes) -> Delivered:
        offset = reached.get((topic, partition), 0)
        reached[topic, partition] = offset + 1
        return Delivered(topic, partition, offset, at_ms, b"", value)

    for n in range(requests):
        at_ms = start_ms + n * span_ms // requests
        begun, settled, ended = _one(n, at_ms)
        topic, partition = topics.attempts(Tier(begun.target.partition("/")[0])), n % _PARTITIONS
        yield placed(topic, partition, at_ms, begun.SerializeToString())
        yield placed(topic, partition, settled.at_ms, settled.SerializeToString())
        yield placed(topics.LEDGER, partition, ended.at_ms, ended.SerializeToString())


def _one(n: int, at_ms: int) -> tuple[records_pb2.AttemptRecord, records_pb2.AttemptRecord, records_pb2.LedgerRecord]:
    identity = request_pb2.Identity(tenant=("acme", "globex")[n % 7 == 0], id=f"r{n}")
    target, took_ms = _TARGETS[n * 7 % 11 % 5], 20 + n * 37 % 1_980
    who: dict[str, Any] = {"team": _TEAMS[n % 4], "application": f"app-{n % 3}", "use_case": "", "end_user": f"u{n % 50_000}", "user_tier": "pro"}
    begun = records_pb2.AttemptRecord(
        state="started", identity=identity, attempt=1, execution=1, target=target, instance="one", at_ms=at_ms,
        begun_ms=at_ms, task_type=_TASKS[n % 6], door="kafka", model="m", **who,
    )  # fmt: skip
    usage = outcome_pb2.Usage(input_tokens=300 + n % 700, output_tokens=40 + n % 200)
    paid = usage.input_tokens + 5 * usage.output_tokens
    settled = records_pb2.AttemptRecord()
    settled.CopyFrom(begun)
    settled.MergeFrom(
        records_pb2.AttemptRecord(
            state="settled", at_ms=at_ms + took_ms, usage=usage, cost_micro_dollars=paid,
            costs=records_pb2.CostSplit(input=usage.input_tokens, output=5 * usage.output_tokens),
        )
    )  # fmt: skip
    ended = records_pb2.LedgerRecord(role="terminal", door="kafka", at_ms=at_ms + took_ms, **who)
    ended.terminal.CopyFrom(
        outcome_pb2.Terminal(
            identity=identity, kind="answered", tier=target.partition("/")[0], target=target, task_type=_TASKS[n % 6],
            usage=usage, cost_micro_dollars=paid, all_cloud_micro_dollars=5 * paid, ttft_ms=took_ms // 3, tpot_us=9_000 + n % 999,
            arrived_ms=at_ms, ended_ms=at_ms + took_ms,
            attempts=[outcome_pb2.Attempt(number=1, target=target, verdict="accepted", cost_micro_dollars=paid)],
        )
    )  # fmt: skip
    return begun, settled, ended


def measure(database: str, requests: int, batch: int) -> Figures:
    """Fill an empty store and ask it. Tables of an earlier run are dropped."""
    engine = opened(database)
    metadata.drop_all(engine)
    engine.dispose()
    engine = opened(database)
    try:
        spent, used, count, stream = 0.0, 0.0, 0, records(requests, 1_760_000_000_000, 30 * DAY_MS)
        store = Store(engine)
        while chunk := list(islice(stream, batch)):
            began, began_cpu = time.perf_counter(), time.process_time()
            store.apply(chunk)
            spent, used = spent + time.perf_counter() - began, used + time.process_time() - began_cpu
            count += len(chunk)
        asked = list(_asked(engine))
        return Figures(shown(database), count, spent, used, {by: ms for by, ms, _ in asked}, {by: cpu_ms for by, _, cpu_ms in asked})
    finally:
        engine.dispose()


def _asked(engine: object) -> Iterator[tuple[str, float, float]]:
    for by in (("tier",), ("team", "target"), ("day",), ("tenant", "team", "application", "task_type", "tier", "target"), ("end_user",), ("end_user", "team"), ("paid", "model")):
        began, began_cpu = time.perf_counter(), time.process_time()
        ask(engine, Question(by=by, limit=_LINES))  # type: ignore[arg-type]
        yield ",".join(by), round((time.perf_counter() - began) * 1000, 1), round((time.process_time() - began_cpu) * 1000, 1)


def main() -> None:
    """Prints a table, or one line of JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ledger", description=__doc__, epilog="example: python -m benchmarks.ledger --requests 20000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--requests", type=int, default=334_000, help="three records each (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=5_000, help="records in a transaction (default: %(default)s)")
    parser.add_argument("--database", action="append", default=[], help="a database of yours, EMPTIED first; default SQLite")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        databases = asked.database or [str(Path(folder) / "ledger.db")]
        found = [measure(database, asked.requests, asked.batch) for database in databases]
    if asked.json:
        print(json.dumps([{"database": f.database, "records": f.records, "per_second": f.per_second, "per_cpu_second": f.per_cpu_second, "reports_ms": f.reports_ms, "reports_cpu_ms": f.reports_cpu_ms} for f in found]))
        return
    for figures in found:
        print(f"{figures.database}: {figures.records:,} records in {figures.seconds:.1f} s: {figures.per_second:,} a second, {figures.per_cpu_second:,} a second of this process's processor time")
        for by, took_ms in figures.reports_ms.items():
            print(f"  report by {by:60s} {took_ms:8.1f} ms, {figures.reports_cpu_ms[by]:8.1f} ms of it this process's processor time")


if __name__ == "__main__":
    main()
