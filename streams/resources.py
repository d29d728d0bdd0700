"""What the router knows about the world: policy, pulses, cache, classifier, and the facts made of them."""

import logging
from typing import Final, Protocol

from trivium.core.slip import End
from trivium.facts import FactSource, Policies
from trivium.kafka.reader import ReaderOptions
from trivium.pulse import PulseView
from trivium.settings import KafkaSettings
from trivium.v1 import records_pb2

_LOG = logging.getLogger(__name__)

VIEW_WAIT_MS: Final = 250
"""Pulses come every second: a view of them need not ask more often, also where the broker answers only when asked out."""


class Reloaded(Policies, Protocol):
    """A policy file that can be looked at again."""

    def refresh(self) -> str | None: ...


class Knowledge:
    """Owned by the router; started before the first decision."""

    def __init__(self, policies: Reloaded, kafka: KafkaSettings) -> None:
        self.policies = policies
        options = ReaderOptions(client_id="trivium-router-view", fetch_max_wait_ms=VIEW_WAIT_MS)
        self.pulses = PulseView(kafka.bootstrap, kafka.session_timeout_ms, options)
        self.facts = FactSource(policies, self.pulses)

    async def start(self) -> None:
        """Bring the views up."""
        await self.pulses.__aenter__()

    async def stop(self) -> None:
        """Close the views."""
        await self.pulses.__aexit__(None, None, None)

    def refresh(self) -> None:
        """Look at the policy file again; a bad one leaves the old policy in force."""
        message = self.policies.refresh()
        if message:
            _LOG.info("%s", message)

    def entry(self, _end: End) -> records_pb2.CacheEntry | None:
        """The cache entry of an end, or None when there is no cache."""
        return None
