"""The process trivium-batch: `python -m services.batch`, one for each tier that has patient work.

Two processes, never one: that of the cloud has the vendor's key, that of the fine-tuned tier has restricted work."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

from services.batch.keeper import Keeper, KeeperPorts
from services.batch.lane import Owner, Reading, writing
from services.batch.offpeak import OffPeak
from services.batch.purse import LeasedPurse
from services.batch.writing import Pen
from trivium.budget.keeper import Keeper as Budgets
from trivium.budget.lease import KeeperOptions
from trivium.core.errors import BadSetting
from trivium.core.outcome import Outcome
from trivium.core.policy import Tier
from trivium.kafka.claim import GroupOptions, static_name
from trivium.kafka.crashing import outbox as outbox_of
from trivium.kafka.frozen import frozen_noticed
from trivium.kafka.outbox import OutboxOptions
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.reader import ReaderOptions
from trivium.kafka.security import read_kafka
from trivium.kafka.topics import BATCHES, BUDGET, PATIENT, Lane, work
from trivium.kafka.waiting import await_broker
from trivium.ports import BatchVendor
from trivium.process import Process, run
from trivium.settings import BatchSettings, CloudSettings, KafkaSettings, read
from trivium.tier.meter import now_ms
from trivium.tier.records import Writer, on_refused

_LOG = logging.getLogger(__name__)
_OUTBOX_DRAIN_MS: Final = 5_000
_PATIENCE_MS: Final = 600_000
MOST_REQUESTS: Final = 100_000
MOST_BYTES: Final = 256_000_000
"""What Anthropic takes in one batch."""


async def main(process: Process) -> None:
    """Work on one tier's patient work until told to stop. What is under way goes on at the next start."""
    settings, kafka = read(BatchSettings, process.environ), read_kafka(process.environ)
    tier = _checked(settings)
    lane = work(tier, Lane.BATCH)
    needed = (lane, BATCHES, BUDGET) if tier is Tier.CLOUD else (lane,)
    if not await await_broker(kafka, process.stopping, needed):
        return
    async with AsyncExitStack() as stack:
        options = ProducerOptions(
            client_id=process.instance, max_record_bytes=kafka.max_message_bytes, start_timeout_ms=kafka.connect_timeout_ms
        )
        producer = await stack.enter_async_context(Producer(kafka.bootstrap, options))
        outbox = await stack.enter_async_context(
            outbox_of(process.crash, producer, on_refused, OutboxOptions(patience_ms=_PATIENCE_MS))
        )
        look = stack.enter_context(frozen_noticed(kafka.session_timeout_ms, kafka.heartbeat_ms, process.tuned))
        writer = Writer(tier, process.instance, kafka.partitions, kafka.max_message_bytes)
        pen, write = Pen(writer, lane, process.tracing), writing(outbox)
        make: Callable[[], Owner]
        if tier is Tier.CLOUD:
            # The other tier's process needs no SDK of a vendor.
            from trivium.claude.api import ClaudeBatches

            vendor: BatchVendor = await stack.enter_async_context(ClaudeBatches(read(CloudSettings, process.environ)))
            budgets = Budgets(kafka.bootstrap, process.instance, outbox, KeeperOptions(), _reading(process, kafka, "budget"))
            purse = LeasedPurse(await stack.enter_async_context(budgets))
            ports = KeeperPorts(vendor, write, pen, now_ms, look, _counting(process), purse)

            def make() -> Owner:
                return Keeper(ports, settings, process.instance)
        else:

            def make() -> Owner:
                return OffPeak(write, pen, now_ms, look, kafka.partitions, settings.held_bytes)

        reading = Reading(
            kafka.bootstrap, lane, f"trivium-batch-{tier.value}", make, _grouping(process, kafka),
            _reading(process, kafka, "lane"), tier is Tier.CLOUD, partial(process.metrics.waiting, tier.value),
        )  # fmt: skip
        await stack.enter_async_context(reading)
        await process.ready(tier=tier.value)
        await _until_stopping(process, [outbox.failed, reading.failed])
        await outbox.drain(_OUTBOX_DRAIN_MS)


def _checked(settings: BatchSettings) -> Tier:
    tiers = {tier.value: tier for tier in PATIENT}
    if settings.tier not in tiers:
        raise BadSetting(f"TRIVIUM_BATCH_TIER is {settings.tier!r}, not one of {', '.join(sorted(tiers))}")
    for name, value, most in (("REQUESTS", settings.requests, MOST_REQUESTS), ("BYTES", settings.bytes, MOST_BYTES)):
        if not 1 <= value <= most:
            raise BadSetting(f"TRIVIUM_BATCH_{name} is {value}, must be from 1 to {most}: the vendor takes no more at once")
    return tiers[settings.tier]


def _counting(process: Process) -> Callable[[Outcome], None]:
    def count(outcome: Outcome) -> None:
        process.metrics.attempt(outcome)

    return count


def _reading(process: Process, kafka: KafkaSettings, what: str) -> ReaderOptions:
    return ReaderOptions(client_id=f"{process.instance}-{what}", fetch_max_wait_ms=kafka.fetch_max_wait_ms)


def _grouping(process: Process, kafka: KafkaSettings) -> GroupOptions:
    return GroupOptions(
        client_id=process.instance,
        instance_id=static_name(kafka, process.settings.instance and process.instance) or None,
        fetch_max_wait_ms=kafka.fetch_max_wait_ms,
        session_timeout_ms=kafka.session_timeout_ms,
        heartbeat_ms=kafka.heartbeat_ms,
        start_timeout_ms=kafka.connect_timeout_ms,
        crash=process.crash,
    )


async def _until_stopping(process: Process, watched: list[asyncio.Future[None]]) -> None:
    """Wait for the signal. Raises what made a part fail."""
    stopping = asyncio.create_task(process.stopping.wait(), name="stopping")
    every: list[asyncio.Future[Any]] = [stopping, *watched]
    try:
        done, _ = await asyncio.wait(every, return_when=asyncio.FIRST_COMPLETED)
        for ended in done - {stopping}:
            ended.result()
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)


if __name__ == "__main__":
    run(
        "batch",
        main,
        reads=(BatchSettings, CloudSettings, KafkaSettings),
        about="Work that may wait: the cloud's goes into message batches at half the price, the own hardware's waits for its off-peak hours.",
    )
