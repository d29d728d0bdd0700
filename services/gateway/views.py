"""What the gateway decides on beside the request: pulses, cache, classifier and quota, followed for as long as it runs."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.gateway.book import MakeEntry, no_entry
from trivium.facts import FactSource, Policies
from trivium.kafka.reader import ReaderOptions
from trivium.process import Process
from trivium.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Views:
    """Facts for decisions, and how an end becomes a cache entry."""

    facts: FactSource
    make_entry: MakeEntry


@asynccontextmanager
async def opened_views(
    process: Process, policies: Policies, kafka: KafkaSettings, reading: ReaderOptions, now_ms: Callable[[], int]
) -> AsyncIterator[Views]:
    """Follow what there is to follow; stops at the end."""
    yield Views(FactSource(policies), no_entry)
