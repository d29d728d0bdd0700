"""Putting a tier together: Kafka worker, gRPC door and pulse over one generator, in one process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from trivium.budget.keeper import Keeper
from trivium.budget.lease import KeeperOptions
from trivium.core.policy import Tier
from trivium.crash import CrashingGenerator
from trivium.kafka.claim import GroupOptions, static_name
from trivium.kafka.crashing import outbox as outbox_of
from trivium.kafka.frozen import frozen_noticed
from trivium.kafka.outbox import Outbox, OutboxOptions
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.reader import ReaderOptions
from trivium.kafka.topics import BUDGET, lanes
from trivium.kafka.waiting import await_broker
from trivium.ports import Generator
from trivium.process import Process
from trivium.pulse import PulseWriter
from trivium.rpc.server import AddServicers, adding, opened
from trivium.rpc.workers import supervise
from trivium.settings import KafkaSettings, TierSettings
from trivium.tier.caller import Caller
from trivium.tier.meter import now_ms
from trivium.tier.others import Others
from trivium.tier.records import Writer, on_refused
from trivium.tier.servicer import TierServicer
from trivium.tier.slots import Slots
from trivium.tier.worker import Worker, WorkerOptions
from trivium.v1 import records_pb2
from trivium.v1.services_pb2_grpc import add_TierServicer_to_server

_LOG = logging.getLogger(__name__)
_OUTBOX_DRAIN_MS: Final = 5_000
_PULSES_WAIT_MS: Final = 250
_PATIENCE_MS: Final = 600_000
"""A broker may be away for so long before the process leaves; the gateway has the same patience."""


async def run_tier(
    process: Process,
    tier: Tier,
    generator: Generator,
    kafka: KafkaSettings,
    settings: TierSettings,
    port: int,
    add_servicers: AddServicers | None = None,
) -> None:
    """Run a tier until its process is told to stop, then drain: no new work, what is in hand finished, spans sent.

    With several workers on one port each of them is a member of the group and has slots of its own. (The embedded broker
    knows one member a group: not there.) Raises Unreachable when the broker is not there or is lost for good."""
    if settings.processes > 1 and process.worker is None:
        await supervise(process, port, settings.processes)
        return
    if process.crash is not None:
        generator = CrashingGenerator(generator, process.crash)
    caller = Caller(
        tier, generator, process.instance, process.metrics, Slots(settings.slots), process.settings.capture_prompts
    )
    writer = Writer(tier, process.instance, kafka.partitions, kafka.max_message_bytes)
    needed = (*(lanes(tier) if settings.kafka_worker else ()), BUDGET)
    if not await await_broker(kafka, process.stopping, needed):
        return
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(Producer(kafka.bootstrap, _producing(process, kafka)))
        made = outbox_of(process.crash, producer, on_refused, OutboxOptions(patience_ms=_PATIENCE_MS))
        outbox = await stack.enter_async_context(_drained(made))
        await stack.enter_async_context(PulseWriter(producer, _pulse(caller, process)))
        others = Others(tier, process.instance, caller.board)
        await stack.enter_async_context(others.tail(kafka.bootstrap, _hearing(process)))
        lending = KeeperOptions(valid_ms=max(1_000, settings.budget_valid_ms))
        keeper = Keeper(kafka.bootstrap, process.instance, outbox, lending, _reading(process, kafka))
        budgets = await stack.enter_async_context(keeper)
        watched: list[asyncio.Future[None]] = [outbox.failed]
        if settings.kafka_worker:
            look = stack.enter_context(frozen_noticed(kafka.session_timeout_ms, kafka.heartbeat_ms, process.tuned))
            options = _working(process, kafka, look)
            worker = Worker(caller, writer, outbox, process.tracing, options, budgets)
            await stack.enter_async_context(worker)
            watched.append(worker.failed)
        servicer = TierServicer(caller, writer, outbox, process.tracing, budgets)

        def add(server: Any) -> None:
            adding((add_TierServicer_to_server, servicer))(server)
            if add_servicers is not None:
                add_servicers(server)

        await stack.enter_async_context(opened(process, port, add))
        await _until_stopping(process, watched)


def _producing(process: Process, kafka: KafkaSettings) -> ProducerOptions:
    return ProducerOptions(
        client_id=process.instance,
        max_record_bytes=kafka.max_message_bytes,
        start_timeout_ms=kafka.connect_timeout_ms,
    )


def _hearing(process: Process) -> ReaderOptions:
    return ReaderOptions(client_id=f"{process.instance}-pulses", fetch_max_wait_ms=_PULSES_WAIT_MS)


def _reading(process: Process, kafka: KafkaSettings) -> ReaderOptions:
    return ReaderOptions(client_id=f"{process.instance}-budget", fetch_max_wait_ms=kafka.fetch_max_wait_ms)


def _working(process: Process, kafka: KafkaSettings, look: Callable[[], None]) -> WorkerOptions:
    group = GroupOptions(
        client_id=process.instance,
        instance_id=static_name(kafka, process.settings.instance and process.instance) or None,
        fetch_max_wait_ms=kafka.fetch_max_wait_ms,
        session_timeout_ms=kafka.session_timeout_ms,
        heartbeat_ms=kafka.heartbeat_ms,
        start_timeout_ms=kafka.connect_timeout_ms,
        crash=process.crash,
    )
    reader = ReaderOptions(client_id=process.instance, fetch_max_wait_ms=kafka.fetch_max_wait_ms)
    return WorkerOptions(kafka.bootstrap, group, reader, drain_ms=process.settings.drain_ms, look=look)


@asynccontextmanager
async def _drained(outbox: Outbox) -> AsyncIterator[Outbox]:
    """The outbox, emptied before it is closed."""
    async with outbox:
        yield outbox
        if not await outbox.drain(_OUTBOX_DRAIN_MS):
            _LOG.warning("%d effects were not confirmed before the end", outbox.open_count)


def _pulse(caller: Caller, process: Process) -> Callable[[], records_pb2.Pulse]:
    """What this instance says of itself."""

    def take() -> records_pb2.Pulse:
        at_ms = now_ms()
        targets = [
            records_pb2.TargetPulse(
                target=report.target,
                breaker=report.breaker.value,
                queue_wait_ms=report.queue_wait_ms,
                p50_ms=report.p50_ms,
                p95_ms=report.p95_ms,
                in_flight=report.in_flight,
            )
            for report in caller.board.reports(at_ms)
        ]
        return records_pb2.Pulse(
            instance=process.instance,
            service=caller.tier.value,
            at_ms=at_ms,
            targets=targets,
            in_flight=caller.slots.running,
            slots=caller.slots.total,
            draining=process.stopping.is_set(),
        )

    return take


async def _until_stopping(process: Process, watched: list[asyncio.Future[None]]) -> None:
    """Wait for the signal. Raises what made the outbox or the worker fail."""
    stopping = asyncio.create_task(process.stopping.wait(), name="stopping")
    every: list[asyncio.Future[Any]] = [stopping, *watched]
    try:
        done, _ = await asyncio.wait(every, return_when=asyncio.FIRST_COMPLETED)
        for ended in done - {stopping}:
            ended.result()
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
