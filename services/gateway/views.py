"""What the gateway decides on beside the request: pulses, cache, classifier and quota, followed for as long as it runs."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from services.gateway.book import MakeEntry
from trivium.facts import FactSource, Policies
from trivium.insight import open_insight
from trivium.kafka.reader import ReaderOptions
from trivium.process import Process
from trivium.pulse import PulseView
from trivium.settings import KafkaSettings, RouterSettings, read

_LOG = logging.getLogger(__name__)

_PULSES_WAIT_MS: Final = 250
"""Pulses come every second: a view of them need not ask more often."""
_START_MS: Final = 3_000


@dataclass(frozen=True, slots=True)
class Views:
    """Facts for decisions, and how an end becomes a cache entry."""

    facts: FactSource
    make_entry: MakeEntry


@asynccontextmanager
async def opened_views(process: Process, policies: Policies, kafka: KafkaSettings) -> AsyncIterator[Views]:
    """Follow what there is to follow; stops at the end. Raises BadSetting and BadPolicy."""
    settings = read(RouterSettings, process.environ)
    insight = open_insight(policies.current, kafka, settings, process.metrics)
    reading = ReaderOptions(client_id=f"{process.instance}-pulses", fetch_max_wait_ms=_PULSES_WAIT_MS)
    async with PulseView(kafka.bootstrap, kafka.session_timeout_ms, reading) as pulses, insight.cache:
        await pulses.wait_caught_up(_START_MS)
        if not await insight.cache.wait_caught_up(_START_MS):
            _LOG.warning("the cache was not read to its end in %d ms: it serves when it has been", _START_MS)
        yield Views(FactSource(policies, pulses, insight.cache, insight.classify, look=insight.look), insight.cache.entry)
