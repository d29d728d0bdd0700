"""The process trivium-gateway: `python -m services.gateway`."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

from services.gateway.book import Book, drop
from services.gateway.keys import Keys
from services.gateway.log import Log
from services.gateway.replies import Replies
from services.gateway.running import Running
from services.gateway.servicer import Gateway, Parts
from services.gateway.tiers import Tiers
from services.gateway.views import opened_views
from trivium.budget.publishing import RulesPublisher
from trivium.core.errors import BadSetting, Unreachable
from trivium.core.policy import Tier
from trivium.kafka.outbox import Outbox, OutboxOptions
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.reader import ReaderOptions
from trivium.kafka.security import read_kafka
from trivium.kafka.signature import Signatures, open_signatures
from trivium.kafka.topics import REQUESTS
from trivium.kafka.waiting import await_broker
from trivium.policy import PolicyFile
from trivium.process import Process, run
from trivium.rpc.resolving import EVERY_S, Resolving
from trivium.rpc.server import adding, serve
from trivium.rpc.tls import read_dial, read_tls
from trivium.rpc.workers import supervise
from trivium.settings import GatewaySettings, KafkaSettings, KeySettings, RouterSettings, TlsSettings, read
from trivium.v1.services_pb2_grpc import add_GatewayServicer_to_server

_LOG = logging.getLogger(__name__)
_REFRESH_S: Final = 1.0
_PATIENCE_MS: Final = 600_000
"""Answers go on for so long while the broker confirms nothing; then the process leaves rather than spend unrecorded."""


def now_ms() -> int:
    """Epoch ms: in process the gateway's own clock takes the place of the broker's timestamps."""
    return time.time_ns() // 1_000_000


async def main(process: Process) -> None:
    """Serve the Gateway until told to stop; what is under way is finished and written down."""
    settings, kafka = read(GatewaySettings, process.environ), read_kafka(process.environ)
    if settings.processes > 1 and process.worker is None:
        await supervise(process, settings.port, settings.processes)
        return
    policies = PolicyFile(process.settings.policy)
    if not await await_broker(kafka, process.stopping, (REQUESTS,)):
        return
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(Producer(kafka.bootstrap, _producing(process, kafka)))
        outbox = await stack.enter_async_context(Outbox(producer, drop, OutboxOptions(patience_ms=_PATIENCE_MS)))
        reading = ReaderOptions(client_id=process.instance, fetch_max_wait_ms=kafka.fetch_max_wait_ms)
        replies = await stack.enter_async_context(Replies(kafka.bootstrap, kafka.partitions, reading))
        keys = await stack.enter_async_context(Keys(kafka.bootstrap, producer, kafka.partitions, reading))
        views = await stack.enter_async_context(opened_views(process, policies, kafka))
        addresses = {Tier.FINETUNED: settings.finetuned, Tier.RETRIEVAL: settings.retrieval, Tier.CLOUD: settings.cloud}
        tiers = Tiers(addresses, now_ms, dial=read_dial(process.environ))
        stack.push_async_callback(tiers.close)
        book = Book(outbox, views.make_entry)
        running = Running(policies, views.facts, tiers, process.tracer, now_ms)
        signatures = open_signatures(read(KeySettings, process.environ).keys, process.metrics)
        log = Log(producer, replies, keys, policies, kafka.partitions, process.tracer, signatures)
        gateway = Gateway(Parts(process, policies, running, log, book, now_ms))
        rules = RulesPublisher(policies, producer, kafka.bootstrap, process.instance, kafka.fetch_max_wait_ms)
        await stack.enter_async_context(rules)
        await stack.enter_async_context(_refreshed(policies, signatures, Redial(process, tiers, addresses.values())))
        outbox.failed.add_done_callback(lambda _: process.stopping.set())
        await serve(process, settings.port, 1, adding((add_GatewayServicer_to_server, gateway)))
        await _written(book, outbox, process.settings.drain_ms)


async def _written(book: Book, outbox: Outbox, drain_ms: int) -> None:
    if not await book.drain(drain_ms):
        _LOG.error("not every ledger record was confirmed before the end")
    if outbox.failed.done() and not outbox.failed.cancelled():
        raise Unreachable(str(outbox.failed.exception()))


@asynccontextmanager
async def _refreshed(policies: PolicyFile, signatures: Signatures | None, redial: "Redial") -> AsyncIterator[None]:
    async def refresh() -> None:
        while True:
            await asyncio.sleep(_REFRESH_S)
            # A large file takes milliseconds to read and check: not in the event loop.
            said = await asyncio.to_thread(policies.refresh)
            if said:
                _LOG.warning("%s", said)
            if signatures is not None:
                await asyncio.to_thread(signatures.refresh)
            await redial.refresh()

    await redial.begin()
    task = asyncio.create_task(refresh(), name="policy-refresh")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Redial:
    """Calls the tiers over new connections when this process's certificate or its CA was replaced, and when one of them has
    got more instances."""

    def __init__(self, process: Process, tiers: Tiers, names: Iterable[str]) -> None:
        self._environ, self._tiers = process.environ, tiers
        self._tls = read_tls(process.environ)
        self._stamp = self._tls.stamp()
        self._resolving = Resolving(names)
        self._asked = time.monotonic()

    async def begin(self) -> None:
        """Learns who is there, before the first call."""
        await self._resolving.grown()

    async def refresh(self) -> None:
        """Looks at the files, and every few seconds at the names; a bad file leaves the old connections as they are."""
        stamp, grown = self._tls.stamp(), False
        if time.monotonic() - self._asked >= EVERY_S:
            grown = await self._resolving.grown()
            self._asked = time.monotonic()
        if stamp == self._stamp and not grown:
            return
        self._stamp = stamp
        try:
            self._tiers.redial(read_dial(self._environ))
        except BadSetting as error:
            _LOG.error("the tiers are called with the old certificate: %s", error)
            return
        _LOG.warning("the tiers are called over new connections: %s", "there are more of them" if grown else "a new certificate")


def _producing(process: Process, kafka: KafkaSettings) -> ProducerOptions:
    return ProducerOptions(
        client_id=process.instance,
        max_record_bytes=kafka.max_message_bytes,
        start_timeout_ms=kafka.connect_timeout_ms,
    )


if __name__ == "__main__":
    run(
        "gateway",
        main,
        reads=(GatewaySettings, KafkaSettings, RouterSettings, TlsSettings, KeySettings),
        about="The gRPC door: Complete, CompleteStream, Submit, Await, Cancel.",
    )
