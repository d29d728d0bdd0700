"""A collector that goes away and comes back: nobody waits for it, it is said once each, and what waited arrives."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from infra.local import free_ports
from infra.standins.spans import SpanStore
from trivium.telemetry.names import SPAN_WORK
from trivium.telemetry.shipping import QUEUE
from trivium.telemetry.tracing import NO_CONTEXT, Tracing, start

LOGGER = "trivium.telemetry.shipping"


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not true():  # noqa: ASYNC110 (a log tells nobody)
            await asyncio.sleep(0.05)


def make(tracing: Tracing, count: int) -> None:
    for _ in range(count):
        tracing.tracer.start_span(SPAN_WORK, NO_CONTEXT).end()


async def test_spans_wait_for_a_collector_that_comes_later_and_the_oldest_go(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, LOGGER)
    (port,) = free_ports(1)
    tracing = start("trivium-test", "one", f"http://127.0.0.1:{port}")
    make(tracing, 1)
    await until(lambda: "takes no spans (UNAVAILABLE)" in caplog.text)
    make(tracing, QUEUE + 5)
    async with SpanStore(otlp_port=port) as store:
        await until(lambda: "takes spans again; 5 were lost" in caplog.text)
        await until(lambda: len(store.memory) == QUEUE + 1)
        await asyncio.to_thread(tracing.close)
    assert len([record for record in caplog.records if record.name == LOGGER]) == 2


async def test_a_collector_that_is_away_at_the_end_holds_nobody_for_long() -> None:
    (port,) = free_ports(1)
    tracing = start("trivium-test", "one", f"http://127.0.0.1:{port}")
    make(tracing, 3 * QUEUE)
    async with asyncio.timeout(90):
        await asyncio.to_thread(tracing.close, 1.0)
