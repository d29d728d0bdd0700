"""The thread in which the safe consumer's aiokafka runs: short fetches, bounded commits with their notes, a bounded stop."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.consumer import ensure_TPset
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from streams.begun import begun
from trivium.crash import Crash, Point, pass_by
from trivium.kafka.guard import guard, hang_up
from trivium.kafka.suspects import Note, Taken, take_over

_COMMIT_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 5.0


class Owner(Protocol):
    """The consumer, which lives in another thread."""

    fetch_max_wait_ms: int
    crash_at: Crash | None

    def has_taken(self, tp: TP) -> bool: ...

    def note(self, tp: TP, committed: int) -> str: ...


class SafeConsumerThread(AIOKafkaConsumerThread):
    """See the module."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._stood: dict[TP, int] = {}
        self._owner = cast(Owner, self.consumer)

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Stock hard-codes 1,500 ms: a round trip over the embedded broker then takes seconds.
        consumer._fetch_max_wait_ms = self._owner.fetch_max_wait_ms
        return consumer

    async def on_start(self) -> None:
        """See faust. From here on no record stops the fetching."""
        await super().on_start()
        guard(self._ensure_consumer())

    async def start_offsets(self) -> tuple[Mapping[TP, int], dict[TP, Taken]]:
        """See SafeConsumer.start_offsets, with what earlier routers left; leaves a note of our own. Runs in this thread."""
        consumer = self._ensure_consumer()
        starts, left = await begun(consumer, ensure_TPset(consumer.assignment()))
        ends = await consumer.end_offsets(list(starts)) if starts else {}
        # Faust may say more than once that a rebalance is complete.
        taken = {tp: take_over(left[tp], start, ends[tp], self._owner.has_taken(TP(*tp))) for tp, start in starts.items()}
        due = {tp: OffsetAndMetadata(starts[tp], one.note.text(starts[tp])) for tp, one in taken.items() if one.note != Note()}
        await self._commit_noted(due)
        self._stood = {TP(*tp): at for tp, at in starts.items()}
        return dict(self._stood), {TP(*tp): one for tp, one in taken.items() if one.note != Note()}

    async def begun_at(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """The same offsets for whoever only looks: nothing is taken over."""
        return {TP(*tp): start for tp, start in (await begun(self._ensure_consumer(), partitions))[0].items()}

    async def write_notes(self, partitions: Sequence[TP]) -> None:
        """Commit what is committed once more, with the notes of now."""
        await self._commit_noted(self._noted({tp: self._stood[tp] for tp in partitions if tp in self._stood}))

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit; False when it did not happen: it is tried again, or the records come again. Never a crash."""
        assigned = self.assignment()
        ours = {tp: at for tp, at in offsets.items() if tp in assigned}
        pass_by(self._owner.crash_at, Point.BEFORE_COMMIT)
        if not await self._commit_noted(self._noted(ours)):
            return False
        self._stood |= ours
        return True

    def _noted(self, offsets: Mapping[TP, int]) -> Mapping[TopicPartition, OffsetAndMetadata]:
        return {TopicPartition(*tp): OffsetAndMetadata(at, self._owner.note(tp, at)) for tp, at in offsets.items()}

    async def _commit_noted(self, due: Mapping[TopicPartition, OffsetAndMetadata]) -> bool:
        try:
            async with asyncio.timeout(_COMMIT_TIMEOUT_S):
                if due:
                    await self._ensure_consumer().commit(due)
        except (CommitFailedError, IllegalStateError) as error:
            self.log.info("a rebalance overtook a commit: %s", error)
            return False
        except (KafkaError, OSError, TimeoutError) as error:
            self.log.warning("offsets could not be committed and will be again: %r", error)
            return False
        return True

    async def on_thread_stop(self) -> None:
        """Stop aiokafka, for a bounded time: it waits for ever for a broker that is gone."""
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await super().on_thread_stop()
        except TimeoutError:
            self.log.warning("the consumer did not stop in %.0f s", _STOP_TIMEOUT_S)
            if self._consumer is not None:
                hang_up(self._consumer)
                await asyncio.sleep(0)
