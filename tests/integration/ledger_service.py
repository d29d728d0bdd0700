"""The ledger's process as it runs, in this event loop, over topics that the test writes."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc

from services.ledger.__main__ import main
from tests.contract.ledger_records import Log
from trivium.kafka.producer import Producer
from trivium.kafka.record import Delivered, Record
from trivium.process import Process
from trivium.rpc.channels import Dial, channel, stub
from trivium.settings import ProcessSettings
from trivium.v1 import services_pb2, services_pb2_grpc

POLICY = """
revision: 1
tenants: {acme: {reply_topics: [trivium.responses], corpora: []}, globex: {reply_topics: [trivium.replies.globex], corpora: []}}
targets:
  cloud/small: {tier: cloud, model: m-1, prices: {input: 1, output: 5, per_month: 31}}
tasks: {draft: {route: [cloud/small], system: s}}
endpoints: {/draft: draft}
novel: {route: [cloud/small], system: s}
default: {route: [cloud/small]}
"""
PARTITIONS = 2
BOUND_S = 120.0


@dataclass
class Service:
    """A running ledger."""

    process: Process
    running: asyncio.Task[None]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.process.addresses['port']}"

    async def report(self, key: str = "", **asked: Any) -> list[services_pb2.ReportLine]:
        """Every line, the total last."""
        async with channel(self.address, Dial(key=key)) as wire:
            client = stub(services_pb2_grpc.LedgerStub, wire)
            return [line async for line in client.Report(services_pb2.ReportRequest(**asked), timeout=BOUND_S)]

    async def total(self, until: Callable[[services_pb2.ReportLine], bool], **asked: Any) -> services_pb2.ReportLine:
        """The total, once it is as it must be; what it is at the end of a generous while otherwise."""
        ends = time.monotonic() + BOUND_S
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                total = (await self.report(**asked))[-1]
                if until(total):
                    return total
            if time.monotonic() > ends:
                return (await self.report(**asked))[-1]
            await asyncio.sleep(0.02)

    def metric(self, name: str) -> float | None:
        return self.process.metrics.registry.get_sample_value(name)


@asynccontextmanager
async def ledger_service(folder: Path, bootstrap: str, database: str, **environ: str) -> AsyncIterator[Service]:
    """Up when it says so; stopped at the end."""
    process = a_process(folder, bootstrap, database, **environ)
    running = asyncio.create_task(main(process))
    up = asyncio.create_task(process.up.wait())
    try:
        async with asyncio.timeout(BOUND_S):
            await asyncio.wait((running, up), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        yield Service(process, running)
    finally:
        up.cancel()
        process.stopping.set()
        async with asyncio.timeout(BOUND_S):
            await running
        await process.close()


def a_process(folder: Path, bootstrap: str, database: str, **environ: str) -> Process:
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    variables = {
        "TRIVIUM_KAFKA": bootstrap, "TRIVIUM_PARTITIONS": str(PARTITIONS), "TRIVIUM_LEDGER_PORT": "0", "TRIVIUM_LEDGER_DB": database,
        **environ,
    }  # fmt: skip
    return Process("ledger", variables, ProcessSettings(policy=str(policy), drain_ms=2_000))


async def write(bootstrap: str, records: Iterable[Delivered]) -> None:
    """Records into their topics, at today's time."""
    async with Producer(bootstrap) as producer:
        for record in records:
            await producer.publish(Record(record.topic, b"k", record.value, record.headers, record.partition), 10_000)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def moved(records: Iterable[Delivered], partition: int) -> list[Delivered]:
    """The same records on another partition."""
    return [replace(record, partition=partition) for record in records]


__all__ = ["Log", "Service", "a_process", "ledger_service", "moved", "now_ms", "write"]
