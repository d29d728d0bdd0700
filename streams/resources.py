"""What the router knows about the world: policy, pulses, cache, classifier, and the facts made of them."""

import logging
from typing import Final, Protocol

from trivium.core.slip import End
from trivium.facts import FactSource, Policies
from trivium.insight import open_insight
from trivium.kafka.reader import ReaderOptions
from trivium.kafka.signature import open_signatures
from trivium.pulse import PulseView
from trivium.settings import KafkaSettings, RouterSettings
from trivium.telemetry.metrics import Metrics
from trivium.v1 import records_pb2

_LOG = logging.getLogger(__name__)

VIEW_WAIT_MS: Final = 250
"""Pulses come every second: a view of them need not ask more often, also where the broker answers only when asked out."""

CACHE_WAIT_MS: Final = 3_000
"""How long a start waits for the cache. Later it is read beside the work, and nothing is served until it has been."""


class Reloaded(Policies, Protocol):
    """A policy file that can be looked at again."""

    def refresh(self) -> str | None: ...


class Knowledge:
    """Owned by the router; started before the first decision. Loads vectors, classifier and verifier when it is made."""

    def __init__(self, policies: Reloaded, kafka: KafkaSettings, router: RouterSettings, metrics: Metrics, keys: str = "") -> None:
        """`keys`: TRIVIUM_KEYS. Raises BadSetting and BadClassifier."""
        self.signatures = open_signatures(keys, metrics)
        self.policies = policies
        options = ReaderOptions(client_id="trivium-router-view", fetch_max_wait_ms=VIEW_WAIT_MS)
        self.pulses = PulseView(kafka.bootstrap, kafka.session_timeout_ms, options)
        insight = open_insight(policies.current, kafka, router, metrics)
        self._cache = insight.cache
        self.facts = FactSource(policies, self.pulses, insight.cache, insight.classify, look=insight.look)
        self.look = insight.look

    async def start(self) -> None:
        """Begin to follow; a look-up misses until the cache's topics were read to their end, so nobody waits for that."""
        await self.pulses.__aenter__()
        await self._cache.__aenter__()

    async def stop(self) -> None:
        """Close the views."""
        await self._cache.__aexit__(None, None, None)
        await self.pulses.__aexit__(None, None, None)

    def refresh(self) -> None:
        """Look at the policy file again; a bad one leaves the old policy in force."""
        message = self.policies.refresh()
        if message:
            _LOG.info("%s", message)
        if self.signatures is not None:
            self.signatures.refresh()

    def entry(self, end: End) -> records_pb2.CacheEntry | None:
        """The cache entry of an end, or None when it is not to be kept."""
        return self._cache.entry(end)
