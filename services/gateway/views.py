"""What the gateway decides on beside the request: pulses, cache, classifier and quota, followed for as long as it runs."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from services.gateway.book import MakeEntry
from trivium.facts import FactSource, Policies
from trivium.insight import open_insight
from trivium.kafka.reader import ReaderOptions
from trivium.process import Process
from trivium.pulse import PulseView
from trivium.settings import KafkaSettings, RouterSettings, read

_VIEW_WAIT_MS: Final = 250
"""Pulses come every second: a view of them need not ask more often."""
_START_MS: Final = 3_000


@dataclass(frozen=True, slots=True)
class Views:
    """Facts for decisions, and how an end becomes a cache entry."""

    facts: FactSource
    make_entry: MakeEntry


@asynccontextmanager
async def opened_views(
    process: Process, policies: Policies, kafka: KafkaSettings, reading: ReaderOptions, now_ms: Callable[[], int]
) -> AsyncIterator[Views]:
    """Follow what there is to follow; stops at the end. Raises BadSetting and BadClassifier."""
    insight = open_insight(policies.current, kafka, read(RouterSettings, process.environ), process.metrics)
    pulses = PulseView(kafka.bootstrap, kafka.session_timeout_ms, replace(reading, fetch_max_wait_ms=_VIEW_WAIT_MS))
    async with pulses, insight.cache as cache:
        await pulses.wait_caught_up(_START_MS)
        await cache.wait_caught_up(_START_MS)
        yield Views(FactSource(policies, pulses, cache, insight.classify), cache.entry)
