"""The router as a service: what it stands on, started before Faust's consumer and stopped after it.

    Faust: fetch -> agent -> Router.take -> Outbox -> (confirmed) -> event.ack -> floor -> commit
    around it: policy reload, fold on assignment, overdue timer, watchdog, pulse
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import faust
from faust.app.base import BootStrategy
from faust.types import EventT
from mode import Service

from streams.consumer import records_of
from streams.effects import EffectOptions, Effects
from streams.memory import Memory
from streams.rebuild import Committed, RebuildOptions, owned_partitions, rebuild
from streams.refused import Replacements
from streams.resources import Knowledge
from streams.router import Router, RouterPorts
from streams.timers import OverdueTimer
from streams.transport import safe_consumer
from streams.watchdog import Watchdog
from trivium.budget.publishing import RulesPublisher
from trivium.core.errors import TriviumError, Unreachable
from trivium.kafka.crashing import outbox as outbox_of
from trivium.kafka.frozen import frozen_noticed, nothing
from trivium.kafka.outbox import Outbox, OutboxOptions
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.reader import ReaderOptions
from trivium.kafka.topics import OUTCOMES, REQUESTS
from trivium.kafka.waiting import await_broker
from trivium.process import Process
from trivium.pulse import PulseWriter
from trivium.settings import KafkaSettings, RouterSettings
from trivium.v1 import records_pb2

_LOG = logging.getLogger(__name__)

_SECOND: Final = 1.0
_FOLD_TRIES: Final = 3
_DRAIN_MS: Final = 5_000
_PATIENCE_MS: Final = 600_000


class Stalled(TriviumError):
    """The router does not get on: it leaves, and another one takes its partitions."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Settings of one router."""

    kafka: KafkaSettings
    router: RouterSettings
    under_faust: bool = False
    """Faust's own worker command runs the app: the crew itself says that it is ready, and ends the process when broken."""


class Crew(Service):
    """Everything around the agent. A dependency of the Faust app: up before its consumer, down after it."""

    def __init__(self, app: faust.App, process: Process, knowledge: Knowledge, options: WorkerOptions, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.app = app
        self._process = process
        self._knowledge = knowledge
        self._options = options
        self._producer = Producer(
            options.kafka.bootstrap,
            ProducerOptions(
                client_id=process.instance,
                max_record_bytes=options.kafka.max_message_bytes,
                start_timeout_ms=options.kafka.connect_timeout_ms,
            ),
        )
        self._outbox: Outbox | None = None
        self._router: Router | None = None
        self._timer: OverdueTimer | None = None
        self._watchdog: Watchdog | None = None
        self._pulse: PulseWriter | None = None
        self._owned: list[asyncio.Task[None]] = []
        self._leaving = False
        self._kept = ExitStack()
        self._look: Callable[[], None] = nothing
        self._folded = asyncio.Event()
        self.broken: asyncio.Future[None] | None = None
        """Ends with the reason when the router cannot go on; its owner leaves the process."""

    # --- life ------------------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Bring up what the agent needs. Raises Unreachable when there is no broker."""
        self.broken = asyncio.get_running_loop().create_future()
        await self._connect()
        await self._knowledge.start()
        effects = Effects(
            EffectOptions(self._options.kafka.partitions, self._options.kafka.max_message_bytes), self._knowledge.entry
        )
        knowledge, process = self._knowledge, self._process
        replacements = Replacements(effects, knowledge.policies, knowledge.facts, self._memory_of)
        outbox = self._outbox = outbox_of(process.crash, self._producer, replacements, OutboxOptions(patience_ms=_PATIENCE_MS))
        outbox.start()
        self._pulse = PulseWriter(self._producer, self._pulse_now)
        self._pulse.start()
        ports = RouterPorts(knowledge.policies, knowledge.facts, effects, outbox, process.metrics, process.tracing, signatures=knowledge.signatures)
        self._router = Router(ports)
        kafka = self._options.kafka
        self._look = self._kept.enter_context(frozen_noticed(kafka.session_timeout_ms, kafka.heartbeat_ms, process.tuned))
        self._timer = OverdueTimer(self._router, effects, outbox, knowledge.pulses, process.metrics, self._look)
        self.app.on_rebalance_complete.connect(self._rebalanced)
        self.app.on_partitions_revoked.connect(self._revoked)
        self.app.on_before_shutdown.connect(self._settle)
        self._own(self._timer.start(), "the overdue timer")
        self._own(asyncio.create_task(self._refresh(), name="refresh"), "the policy reload")
        rules = RulesPublisher(
            knowledge.policies, self._producer, self._options.kafka.bootstrap, process.instance, self._options.kafka.fetch_max_wait_ms
        )
        self._own(asyncio.create_task(rules.run(), name="budget-rules"), "telling the budgets")
        outbox.failed.add_done_callback(self._future_failed)
        consumer = safe_consumer(self.app)
        watchdog = self._watchdog = Watchdog(
            consumer.ask_behind, lambda: consumer.acks_total, self._options.router.watchdog_ms
        )
        watchdog.start()
        watchdog.barked.add_done_callback(self._future_failed)
        if self._options.under_faust:
            self._own(asyncio.create_task(self._serve_under_faust(), name="under-faust"), "the operations port")

    async def _connect(self) -> None:
        try:
            if self._options.under_faust:
                await await_broker(self._options.kafka, self._process.stopping, (REQUESTS, OUTCOMES))
            await self._producer.start()
        except Unreachable as error:
            if not self._options.under_faust:
                raise
            print(f"trivium router: {error}", file=sys.stderr, flush=True)
            raise SystemExit(2) from None

    async def on_stop(self) -> None:
        """Finish what is in the outbox, for a bounded time, and close everything."""
        self._leaving = True
        self._kept.close()
        if self._pulse is not None:
            await self._pulse.stop()
        if self._watchdog is not None:
            await self._watchdog.stop()
        for task in self._owned:
            task.cancel()
        await asyncio.gather(*self._owned, return_exceptions=True)
        if self._outbox is not None:
            await self._outbox.stop()
        await self._knowledge.stop()
        await self._producer.stop()
        if self._options.under_faust:
            await self._process.close()
        if self.broken is not None and not self.broken.done():
            self.broken.cancel()

    def fail(self, error: BaseException) -> None:
        """The router cannot go on."""
        if self._leaving or self.broken is None or self.broken.done():
            return
        _LOG.error("the router leaves: %s", error)
        self.broken.set_exception(error)

    async def check(self) -> None:
        """Raises Unreachable when there is no broker; before Faust starts, which would not say it in one sentence."""
        await self._producer.start()

    async def working(self) -> None:
        """Wait until the first partitions are ours and folded. Raises Unreachable, or why the router cannot go on."""
        assert self.broken is not None
        first = asyncio.ensure_future(self._folded.wait())
        try:
            seconds = self._options.kafka.connect_timeout_ms / 1000
            await asyncio.wait((first, self.broken), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            first.cancel()
        if self.broken.done():
            self.broken.result()
        if not self._folded.is_set():
            _LOG.info("no partition came yet: another router may have all of them")

    async def _serve_under_faust(self) -> None:
        """What streams/__main__ does for `python -m streams`."""
        await self.working()
        await self._process.ready()
        assert self.broken is not None
        try:
            await asyncio.shield(self.broken)
        except Exception as error:
            await self.app.crash(error)

    # --- events ----------------------------------------------------------------------------------------------------

    def take(self, event: EventT[Any]) -> None:
        """One event of the agent's stream: records of one partition."""
        assert self._router is not None
        self._look()
        take = self._router.take
        for record, done in records_of(event):
            take(record, done)

    def _memory_of(self, partition: int) -> Memory | None:
        return None if self._router is None else self._router.memories.get(partition)

    def _pulse_now(self) -> records_pb2.Pulse:
        return records_pb2.Pulse(
            instance=self._process.instance,
            service="router",
            at_ms=time.time_ns() // 1_000_000,
            policy_revision=self._knowledge.policies.current.revision,
            in_flight=0 if self._outbox is None else self._outbox.open_count,
        )

    def agent_ended(self, error: BaseException | None) -> None:
        """The agent's body ended: without it nothing is decided."""
        if not self.app.should_stop:
            self.fail(error or Stalled("the agent ended"))

    # --- assignment ------------------------------------------------------------------------------------------------

    async def _rebalanced(self, *_: Any, **__: Any) -> None:
        """Partitions came: read their log again, before the first of their records is delivered."""
        offsets = await safe_consumer(self.app).start_offsets()
        committed: dict[str, dict[int, int]] = {REQUESTS: {}, OUTCOMES: {}}
        for tp, offset in offsets.items():
            committed.setdefault(tp.topic, {})[tp.partition] = offset
        try:
            owned_partitions(committed)
            await self._fold(committed)
        except (TriviumError, ValueError) as error:
            self.fail(error)

    async def _fold(self, committed: Committed) -> None:
        kafka = self._options.kafka
        options = RebuildOptions(
            kafka.bootstrap,
            kafka.partitions,
            kafka.session_timeout_ms,
            ReaderOptions(client_id=f"{self._process.instance}-fold", fetch_max_wait_ms=kafka.fetch_max_wait_ms),
            self._knowledge.signatures,
            self._knowledge.look,
            self._process.crash,
            safe_consumer(self.app).killers,
        )
        for left in reversed(range(_FOLD_TRIES)):
            try:
                memories = await rebuild(committed, self._knowledge.policies.current, options)
            except Unreachable as error:
                if not left:
                    raise
                _LOG.warning("the log could not be read again, once more: %s", error)
                continue
            assert self._router is not None
            self._router.memories = memories
            self._knowledge.facts.share = len(memories) / self._options.kafka.partitions
            self._folded.set()
            return

    async def _revoked(self, *_: Any, **__: Any) -> None:
        """Every partition was taken (eager rebalance); what comes back is folded again."""
        if self._router is not None:
            self._router.memories = {}

    async def _settle(self, *_: Any, **__: Any) -> None:
        """The app stops and no event comes any more: finish the effects, so that the consumer's last commit covers them."""
        self._leaving = True
        if self._timer is not None:
            await self._timer.stop()
        if self._outbox is not None and not await self._outbox.drain(_DRAIN_MS):
            _LOG.warning("%d records were not finished; they will be done again", self._outbox.open_count)

    # --- tasks -----------------------------------------------------------------------------------------------------

    def _own(self, task: asyncio.Task[None], what: str) -> None:
        self._owned.append(task)
        task.add_done_callback(lambda ended: self._task_ended(ended, what))

    def _task_ended(self, task: asyncio.Task[None], what: str) -> None:
        if not task.cancelled():
            self.fail(task.exception() or Stalled(f"{what} ended"))

    def _future_failed(self, failed: asyncio.Future[None]) -> None:
        if not failed.cancelled():
            self.fail(failed.exception() or Stalled("a part of the router ended"))

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(_SECOND)
            self._knowledge.refresh()


def agent_of(app: faust.App, crew: Crew) -> Any:
    """The one agent: requests and outcomes, in the order of their partitions."""

    async def route(stream: Any) -> None:
        try:
            async for event in stream.noack().events():
                crew.take(event)
        except Exception as error:
            crew.agent_ended(error)
            raise
        crew.agent_ended(None)

    return app.agent(app.topic(REQUESTS, OUTCOMES, value_type=bytes, key_type=bytes, internal=False), name="router")(route)


class CrewBoot(BootStrategy):
    """Faust's own order of services, with the crew before all of them."""

    def __init__(self, app: faust.App, crew: Crew) -> None:
        super().__init__(app, enable_kafka_producer=False)
        self._crew = crew

    def server(self) -> Iterable[Any]:
        """See faust."""
        return (self._crew, *super().server())
