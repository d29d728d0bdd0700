"""A Faust consumer that never commits past an event that is not done.

Stock faust-streaming does (its issue #606): when acknowledgements arrive out of order, offsets of events
still in flight are committed, and a crash loses them while the group's lag shows nothing. Here every record
is entered into its partition's floor as soon as it was fetched, before Faust can pass it over, and only an
acknowledgement takes it out. A record that Faust drops on the way holds the floor: it comes again after the
next rebalance, or the watchdog leaves the process. Nothing is lost by that.

One Faust event carries up to 64 records of one partition, because its way through Faust costs more than a
decision. An application takes them apart, on a stream with `noack()`:

    async for event in stream.noack().events():
        for record, done in records_of(event): ...
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSet, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, cast

from aiokafka import ConsumerRecord
from faust.transport.drivers.aiokafka import Consumer
from faust.types import TP, EventT, Message
from faust.types.tuples import ConsumerMessage

from streams.consumer_thread import SafeConsumerThread
from trivium.crash import Crash, Point, pass_by
from trivium.kafka.floor import Floor
from trivium.kafka.reader import delivered
from trivium.kafka.record import Delivered
from trivium.kafka.suspects import KILLED, NOBODY, Note, Taken

_FETCH_S = 1.0
_FULL_FETCH_S = 0.02
_FULL_PAUSE_S = 0.005

_NO_KILLERS: frozenset[int] = frozenset()
RECORDS_OF_AN_EVENT = 64

Done = Callable[[], None]
"""Takes a record out of its floor: its effects are in the log. Nothing happens when it is not in it (any more)."""


class BatchMessage(ConsumerMessage):
    """What Faust takes for one message: records of one partition, in order."""

    __slots__ = ("batch", "finish", "killers", "taken")

    batch: Sequence[ConsumerRecord]
    finish: Callable[[TP, int], None]
    killers: frozenset[int]
    """Offsets of records that nobody may look into; see trivium/kafka/suspects.py."""
    taken: asyncio.Event
    """Set when every record was handled."""


def records_of(event: EventT[Any]) -> Iterator[tuple[Delivered, Done]]:
    """The records of an event of the safe consumer, each with what to call when it is done."""
    message = cast(BatchMessage, event.message)
    finish, tp, killers = message.finish, message.tp, message.killers
    for record in message.batch:
        found = delivered(record)
        yield (replace(found, unreadable=KILLED) if record.offset in killers else found), partial(finish, tp, record.offset)
    message.taken.set()


class Nothing:
    """Where stock Faust would keep unacknowledged messages. The floors keep them; Faust's own calls do nothing."""

    def add(self, message: object) -> None: ...

    def discard(self, message: object) -> None: ...

    def __iter__(self) -> Iterator[object]:
        return iter(())

    def __len__(self) -> int:
        return 0


class SafeConsumer(Consumer):
    """Faust's consumer with commit floors, and without four tasks a message."""

    def __init__(self, *args: Any, fetch_max_wait_ms: int = 500, crash: Crash | None = None, **kwargs: Any) -> None:
        self._floors: dict[TP, Floor] = {}
        self.crash_at = crash
        self.fetch_max_wait_ms = fetch_max_wait_ms
        self._taken: dict[TP, Taken] = {}
        self._last: BatchMessage | None = None
        self.acks_total = 0
        """Acknowledgements that moved a floor; with `open_count`, what the watchdog looks at."""
        super().__init__(*args, **kwargs)
        # The compiled stream captures this object's methods: it must be in place before any stream begins.
        self._unacked_messages = cast(MutableSet[Message], Nothing())

    @property
    def open_count(self) -> int:
        """Events that were fetched and are not acknowledged."""
        return sum(floor.open_count for floor in self._floors.values())

    def behind(self) -> int:
        """Records in the assigned partitions that are not acknowledged, as far as the last fetches knew."""
        total = self.open_count
        for tp, floor in self._floors.items():
            end, following = self.highwater(tp), floor.next_offset
            if end is not None:
                known = following if following is not None else self._committed_offset[tp]
                total += max(0, end - known) if known is not None else 0
        return total

    async def ask_behind(self) -> int:
        """As `behind`, but asks the broker where the partitions end: also true when fetching has stopped."""
        floors = dict(self._floors)
        ends = await self.highwaters(*floors)
        starts = {tp: floor.committable() for tp, floor in floors.items()}
        unread = [tp for tp, start in starts.items() if start is None]
        if unread:
            thread = cast(SafeConsumerThread, self._thread)
            starts |= await thread.call_thread(thread.begun_at, unread)
        return sum(max(0, ends[tp] - start) for tp, start in starts.items() if start is not None and tp in ends)

    async def start_offsets(self) -> Mapping[TP, int]:
        """Assigned partition -> where reading begins: the committed offset, or the oldest record. A takeover, which is counted
        (trivium/kafka/suspects.py): once an assignment, at `app.on_rebalance_complete`, when nothing was delivered yet.
        """
        thread = cast(SafeConsumerThread, self._thread)
        found: tuple[Mapping[TP, int], dict[TP, Taken]] = await thread.call_thread(thread.start_offsets)
        self._taken = found[1]
        for tp, taken in self._taken.items():
            if taken.careful_until:
                self.log.warning("%s-%d: a router died over what waits here: it is handed out in portions", tp.topic, tp.partition)
        return found[0]

    @property
    def killers(self) -> Mapping[tuple[str, int], frozenset[int]]:
        """Topic and partition -> offsets that nobody may look into; known after `start_offsets`."""
        return {(tp.topic, tp.partition): taken.killers for tp, taken in self._taken.items() if taken.killers}

    def has_taken(self, tp: TP) -> bool:
        """Whether its takeover was counted already."""
        return tp in self._taken

    def note(self, tp: TP, committed: int) -> str:
        """What stands beside a commit of that offset."""
        taken = self._taken.get(tp)
        return "" if taken is None else taken.note.text(committed)

    def finish(self, tp: TP, offset: int) -> None:
        """Take a record out of its floor; no effect when it is not in it (any more)."""
        floor = self._floors.get(tp)
        if floor is not None and floor.acked(offset):
            self.acks_total += 1

    def ack(self, message: Message) -> bool:
        """For Faust: it has no say in what is done."""
        message.acked = True
        return False

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is done while the partitions are still ours; stock forgets it first."""
        if revoked:
            pass_by(self.crash_at, Point.DURING_REVOKE)
        await self.force_commit()
        await self._leave_clean(revoked)
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._floors.pop(tp, None)
            self._taken.pop(tp, None)

    async def _leave_clean(self, revoked: set[TP]) -> None:
        """Whoever lives to see its partitions go was not killed by a record of them."""
        left = {tp: self._taken[tp] for tp in revoked if tp in self._taken and self._taken[tp].note.starts}
        if left:
            self._taken |= {tp: Taken(Note(out=taken.note.out)) for tp, taken in left.items()}
            await self._write_notes(left)

    async def _write_notes(self, partitions: Iterable[TP]) -> None:
        thread = cast(SafeConsumerThread, self._thread)
        await thread.call_thread(thread.write_notes, list(partitions))

    async def commit_and_end_transactions(self) -> None:
        """The last commit. Stock leaves it out when another is under way, which knows less: what was done since came again."""
        await self.maybe_wait_for_commit_to_finish()
        await self.force_commit(start_new_transaction=False)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin with new floors: everything that was not committed comes again."""
        self._floors = {tp: Floor() for tp in assigned}
        await super().on_partitions_assigned(assigned, generation_id)

    def _new_consumer_thread(self) -> "SafeConsumerThread":
        return SafeConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return iter([tp for tp in self._floors if topics is None or tp in topics or tp.topic in topics])

    def _new_offset(self, tp: TP) -> int | None:
        floor = self._floors.get(tp)
        return None if floor is None else floor.committable()

    def _should_commit(self, tp: TP, offset: int) -> bool:
        committed = self._committed_offset[tp]
        return committed is None or offset > committed

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        assigned = self.assignment()
        ours = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        if not ours or not await self._commit(ours):
            return False
        self._committed_offset.update(ours)
        return True

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                await self._drain_once()
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            # Stock's branch: a stop just after a rebalance cancels the fetcher, which is no failure.
            if not self.transport.app.should_stop:
                raise

    async def _drain_once(self) -> None:
        if not self._get_active_partitions():
            # Every buffer is full (stock sleeps a second here), or nothing is assigned.
            await self.sleep(_FULL_PAUSE_S if self._buffered_partitions else _FETCH_S / 10)
            return
        # A full buffer may have room again before the other partitions have records.
        records, _ = await self._wait_next_records(_FULL_FETCH_S if self._buffered_partitions else _FETCH_S)
        if not records or self.should_stop:
            await asyncio.sleep(0)
            return
        generation = self.app.consumer_generation_id
        self._enter(records)
        if not self.flow_active:
            await self._seek_back()
            return
        if self._taken:
            records = {tp: await self._deliver_named(tp, batch, generation) for tp, batch in records.items()}
        await self._deliver(records, generation)

    async def _deliver_named(self, tp: TP, batch: list[ConsumerRecord], generation: int) -> list[ConsumerRecord]:
        """Hand out the suspects among these in portions, each after a note that names it; returns the others."""
        taken = self._taken.get(tp)
        if taken is None or not taken.careful_until:
            return batch
        rest = batch
        while rest and (end := taken.portion(first := rest[0].offset)) > first:
            if not self.flow_active or self.app.consumer_generation_id != generation:
                break
            portion = [record for record in rest if record.offset < end]
            rest = rest[len(portion) :]
            await self._until_taken(generation)
            await self._name(tp, first, portion[-1].offset + 1)
            await self._hand_over(tp, portion, generation)
        await self._until_taken(generation)
        await self._name(tp, NOBODY, NOBODY)
        if batch[-1].offset + 1 >= taken.careful_until and tp in self._taken:
            self._taken[tp] = replace(self._taken[tp], careful_until=0)
        return rest

    async def _name(self, tp: TP, first: int, end: int) -> None:
        """Say beside the committed offset what is in hand. Nothing happens when the partition went away."""
        if taken := self._taken.get(tp):
            self._taken[tp] = replace(taken, note=taken.note.naming(first, end))
            await self._write_notes([tp])

    async def _until_taken(self, generation: int) -> None:
        """Until everything that was handed over has been handled, or went away in a rebalance."""
        last = self._last
        while last is not None and not last.taken.is_set() and not self.should_stop:
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(_FETCH_S):
                    await last.taken.wait()

    async def _hand_over(self, tp: TP, batch: list[ConsumerRecord], generation: int) -> None:
        message = self._last = self._message(tp, batch, generation)
        await self.callback(message)
        self._read_offset[tp] = batch[-1].offset

    def _enter(self, records: Mapping[TP, list[Any]]) -> None:
        """Hold the floors below everything that was fetched, whatever becomes of it."""
        for tp, batch in records.items():
            floor = self._floors.get(tp)
            if floor is not None:
                for record in batch:
                    floor.delivered(record.offset)

    async def _deliver(self, records: Mapping[TP, list[ConsumerRecord]], generation: int) -> None:
        """Hand over the partitions in turn, a batch of each."""
        app = self.app
        for begin in range(0, max(map(len, records.values())), RECORDS_OF_AN_EVENT):
            for tp, whole in records.items():
                batch = whole[begin : begin + RECORDS_OF_AN_EVENT]
                if not batch:
                    continue
                if not self.flow_active or app.consumer_generation_id != generation:
                    return
                await self._hand_over(tp, batch, generation)
            await asyncio.sleep(0)

    def _message(self, tp: TP, batch: list[ConsumerRecord], generation: int) -> BatchMessage:
        first = batch[0]
        message = BatchMessage(
            *(tp.topic, tp.partition, first.offset, first.timestamp / 1000, first.timestamp_type),
            headers=None,
            key=None,
            value=b"",
            checksum=None,
            tp=tp,
            generation_id=generation,
        )
        taken = self._taken.get(tp)
        message.batch, message.finish, message.taken = batch, self.finish, asyncio.Event()
        message.killers = _NO_KILLERS if taken is None else taken.killers
        return message

    async def _seek_back(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:
            self.log.warning("seeking back to the committed offsets: %r", error)
