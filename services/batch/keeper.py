"""Batches from the first request to the last result: collect, submit once, look again and again, take the results in.

What is to be done follows from the book alone, and the book is a fold of the log: whoever has the lane goes on where the one before
him died. Nothing is submitted before it is in the log that it will be; when it is not in the log that it was, the vendor's own
list is looked through (`services/batch/unsure.py`), and only what is not there is submitted again."""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from google.protobuf.message import DecodeError

from services.batch.book import SUBMITTED, SUBMITTING, Batch, Book, Item, custom_id
from services.batch.purse import NoPurse, Purse
from services.batch.unsure import found_again
from services.batch.writing import Pen, faulted
from trivium.budget.lease import UNBUDGETED, Reservation
from trivium.core.errors import BadRequest, BatchGone, BatchRefused, BatchUnsure, VendorFault
from trivium.core.outcome import Fault, FaultKind, Outcome, Reason, ReasonCode
from trivium.core.policy import Tier
from trivium.core.slip import Work
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import BATCHES
from trivium.ports import BatchVendor
from trivium.settings import BatchSettings

_LOG = logging.getLogger(__name__)
_AT_ONCE: Final = 200
"""Results that are written together."""
_MOST_DOUBLINGS: Final = 12

Write = Callable[[Sequence[Sequence[Record]]], Awaitable[None]]
"""Returns when every record of every stage is confirmed, stage after stage."""
Count = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class KeeperPorts:
    """What a keeper stands on. `look` is asked before anything that cannot be taken back; leaves a process that was frozen."""

    vendor: BatchVendor
    write: Write
    pen: Pen
    now_ms: Callable[[], int]
    look: Callable[[], None]
    count: Count
    purse: Purse = field(default_factory=NoPurse)


@dataclass(slots=True)
class Keeper:
    """Owns the lane of the cloud tier's batch work. `step` and `pull_back` may run beside each other."""

    ports: KeeperPorts
    settings: BatchSettings
    instance: str
    book: Book = field(default_factory=Book)
    lost: bool = False
    """The lane went to another process: nothing is done any more."""

    # --- what comes in -----------------------------------------------------------------------------------------------

    def recall(self, record: Delivered) -> None:
        """See Owner."""
        if record.topic == BATCHES:
            self.book.batch(record)
            return
        try:
            self.book.lane(record)
        except (BadRequest, DecodeError):
            _LOG.warning("%s offset %d cannot be read and is passed over", record.topic, record.offset)

    async def opened(self) -> None:
        """The log was read again: finish what the one before was at."""
        for item in list(self.book.items.values()):
            if item.pulled:
                await self.ports.write([self.ports.pen.closed(item) if not item.batch else self.ports.pen.emptied(item.key)])
                if not item.batch:
                    self.book.done(item)

    async def take(self, record: Delivered) -> None:
        """A record of the lane."""
        try:
            item = self.book.lane(record)
            if item is None or item.pulled:
                return
            _, work = item.work()
        except BadRequest as error:
            await self.ports.write(self.ports.pen.dead(record, error.reason, self.ports.now_ms()))
            return
        except Exception as error:
            _LOG.exception("an entry of the lane could not be read")
            reason = Reason(ReasonCode.UNDECODABLE, f"the record could not be read: {type(error).__name__}")
            await self.ports.write(self.ports.pen.dead(record, reason, self.ports.now_ms()))
            return
        fault = self._unfit(work)
        if fault is not None and not item.batch:
            await self._end(item, fault)

    def _unfit(self, work: Work) -> Fault | None:
        if work.target.tier is not Tier.CLOUD:
            return Fault(FaultKind.REJECTED, f"{work.target.name} is no target of the cloud")
        if self.book.held_bytes > self.settings.held_bytes:
            return Fault(FaultKind.OVERLOADED, f"{self.book.held_bytes} bytes wait already")
        try:
            self.ports.vendor.parameters(work)
        except VendorFault as error:
            return error.fault
        return None

    async def _end(self, item: Item, fault: Fault) -> None:
        """The outcome of an item that is in no batch."""
        message, work = item.work()
        item.closing = True
        outcome = replace(faulted(work, fault.kind, fault.message, 0, self.ports.now_ms()), result=fault)
        self.ports.count(outcome)
        pen = self.ports.pen
        await self.ports.write([[pen.outcome(item, message, work, outcome, 0)], pen.closed(item)])
        self.book.done(item)

    # --- pulling back ------------------------------------------------------------------------------------------------

    async def pull_back(self) -> int:
        """End the attempts that may wait no longer, while a normal call still fits; returns how many. What is in a batch is kept
        for its bill."""
        late = self.book.late(self.ports.now_ms())
        if self.lost or not late:
            return 0
        self.ports.look()
        for at in range(0, len(late), _AT_ONCE):
            await self._pull(late[at : at + _AT_ONCE])
        return len(late)

    async def _pull(self, items: Sequence[Item]) -> None:
        pen, outcomes, aside, emptied = self.ports.pen, [], [], []
        for item in items:
            item.closing = True
            message, work = item.work()
            why = "its batch has not ended" if item.batch else "it was in no batch yet"
            outcome = faulted(work, FaultKind.OVERDUE, f"pulled back to a normal call: {why}", 0, self.ports.now_ms())
            self.ports.count(outcome)
            outcomes.append(pen.outcome(item, message, work, outcome, 0))
            aside += pen.set_aside(item) if item.batch else []
            emptied += pen.emptied(item.key)
        await self.ports.write([outcomes, aside, emptied])
        for item in items:
            if item.batch:
                item.pulled, item.closing = True, False
            else:
                self.book.done(item)

    # --- batches -----------------------------------------------------------------------------------------------------

    async def step(self) -> None:
        """Everything that is due now, once."""
        for batch in list(self.book.batches.values()):
            if not self.lost and batch.next_ms <= self.ports.now_ms():
                await self._go_on(batch)
        while not self.lost and (chosen := self._collected()):
            await self._begin(chosen)

    def _collected(self) -> list[Item]:
        """What a new batch is made of, when it is time: it is full, or the oldest has waited long enough."""
        limits, size, full = self.settings, 0, False
        chosen: list[Item] = []
        for item in self.book.waiting():
            if chosen and (len(chosen) >= limits.requests or size + len(item.value) > limits.bytes):
                full = True
                break
            chosen.append(item)
            size += len(item.value)
        if not chosen or full or len(chosen) >= limits.requests:
            return chosen
        return chosen if self.ports.now_ms() - chosen[0].came_ms >= limits.window_ms else []

    async def _begin(self, chosen: Sequence[Item]) -> None:
        """Which entries are in it, then their starts: then it may be submitted."""
        now = self.ports.now_ms()
        named = hashlib.blake2b(b"|".join([self.instance.encode(), str(now).encode(), chosen[0].key]), digest_size=8)
        batch = Batch(named.hexdigest(), now, self.instance)
        keys = [item.key for item in chosen]
        parts = self.ports.pen.parts(batch, keys)
        batch.parts = {part.key or b"" for part in parts}
        self.book.batches[batch.key] = batch
        self.book.put_into(batch, keys)
        await self.ports.write([parts])
        await self._go_on(batch)

    async def _go_on(self, batch: Batch) -> None:
        left = self.book.left(batch)
        if not left:
            await self._forget(batch)
        elif batch.state == SUBMITTED:
            await self._follow(batch, left)
        elif batch.unsure:
            await self._find_again(batch)
        else:
            await self._submit(batch, [item for item in left if not item.pulled and not item.closing])

    async def _submit(self, batch: Batch, items: Sequence[Item]) -> None:
        if not items:
            await self._without_results(batch, Fault(FaultKind.OVERDUE, "pulled back before it was submitted"))
            return
        if not batch.started and await self._unpaid(batch, items):
            return
        now, pen, works = self.ports.now_ms(), self.ports.pen, [item.work()[1] for item in items]
        batch.state, batch.submitting_ms, batch.requests = SUBMITTING, now, len(items)
        batch.parts.add(batch.key.encode())
        starts = [] if batch.started else [pen.started(item, work, batch) for item, work in zip(items, works, strict=True)]
        await self.ports.write([starts, [pen.header(batch, now)]])
        batch.started = True
        asked = [
            (custom_id(batch.key, item.key), self.ports.vendor.parameters(work))
            for item, work in zip(items, works, strict=True)
        ]
        if self.lost or await self._lapsed(batch, items):
            return
        self.ports.look()
        try:
            made = await self.ports.vendor.submit(asked)
        except BatchRefused as error:
            await self._refused(batch, error)
        except BatchUnsure as error:
            _LOG.warning("batch %s: nobody knows whether it was taken: %s", batch.key, error)
            batch.unsure = True
            self._later(batch)
        else:
            await self._submitted(batch, made.id)

    async def _unpaid(self, batch: Batch, items: Sequence[Item]) -> bool:
        """Reserve what they may cost. Whether some are not in the batch for it: it is to be looked at anew."""
        some = False
        for item in items:
            if item.reserved is not UNBUDGETED:
                continue
            answer = await self.ports.purse.pay(item.work()[1])
            if isinstance(answer, Reservation):
                item.reserved = answer
            elif not item.closing and not item.pulled:
                some = True
                await self._close(batch, item, answer)
        return some

    async def _lapsed(self, batch: Batch, items: Sequence[Item]) -> bool:
        """Those that may not be paid any more are not in the batch. Whether there are any."""
        lapsed = [item for item in items if not self.ports.purse.may_go(item.reserved)]
        for item in lapsed:
            if not item.closing and not item.pulled:
                why = "the log has been silent for too long about what its budget can pay"
                await self._close(batch, item, Fault(FaultKind.UNAVAILABLE, why, unbilled=True))
        return bool(lapsed)

    async def _submitted(self, batch: Batch, vendor_id: str) -> None:
        batch.vendor_id, batch.state, batch.unsure, batch.tries = vendor_id, SUBMITTED, False, 0
        self._later(batch)
        await self.ports.write([[self.ports.pen.header(batch, self.ports.now_ms())]])
        _LOG.info("batch %s of %d requests is %s", batch.key, batch.requests, vendor_id)

    async def _refused(self, batch: Batch, error: BatchRefused) -> None:
        _LOG.warning("batch %s is refused: %s", batch.key, error)
        if error.again:
            self._later(batch, error.fault.retry_after_ms)
            return
        # Each by itself: a normal call says what is wrong with it, if anything is.
        await self._without_results(batch, Fault(FaultKind.UNAVAILABLE, f"its batch was refused: {error.fault.message}"))

    async def _find_again(self, batch: Batch) -> None:
        try:
            found = await found_again(batch, self.book, self.ports.vendor, self.settings.unsure_ms, self.ports.now_ms())
        except (VendorFault, BatchGone) as error:
            _LOG.warning("batch %s: the vendor's list cannot be read: %s", batch.key, error)
            self._later(batch)
            return
        if found is None:
            self._later(batch)
        elif found:
            await self._submitted(batch, found)
        else:
            _LOG.warning("batch %s was not submitted: it is now", batch.key)
            batch.unsure = False
            await self._go_on(batch)

    def _later(self, batch: Batch, least_ms: int = 0) -> None:
        pause = min(self.settings.poll_ms << min(batch.tries, _MOST_DOUBLINGS), self.settings.poll_most_ms)
        batch.tries += 1
        batch.next_ms = self.ports.now_ms() + max(pause, least_ms)

    # --- results -----------------------------------------------------------------------------------------------------

    async def _follow(self, batch: Batch, left: Sequence[Item]) -> None:
        vendor = self.ports.vendor
        try:
            if not (await vendor.find(batch.vendor_id)).ended:
                if all(item.pulled for item in left) and not batch.cancelled:
                    batch.cancelled = True
                    await vendor.cancel(batch.vendor_id)
                self._later(batch)
                return
            if not await self._take_results(batch):
                return
        except VendorFault as error:
            _LOG.warning("batch %s (%s): %s", batch.key, batch.vendor_id, error)
            self._later(batch, error.fault.retry_after_ms)
            return
        except BatchGone as error:
            _LOG.error("batch %s (%s) is gone, and what it cost is not known: %s", batch.key, batch.vendor_id, error)
            await self._without_results(batch, Fault(FaultKind.AMBIGUOUS, "its batch is gone"), known=False)
            return
        await self._without_results(batch, Fault(FaultKind.OVERDUE, "its batch ended without it"))

    async def _take_results(self, batch: Batch) -> bool:
        """Every result into the log, a few at a time. False when some were left for the next look."""
        ids = {custom_id(batch.key, item.key): item for item in self.book.left(batch)}
        works: dict[str, tuple[Any, Work]] = {}

        def work_of(name: str) -> Work | None:
            item = ids.get(name)
            if item is None or item.key not in self.book.items:
                return None
            works[name] = item.work()
            return works[name][1]

        came: list[tuple[Item, Any, Work, Outcome]] = []
        all_taken = True
        async for name, outcome in self.ports.vendor.results(batch.vendor_id, work_of, batch.begun_ms):
            if outcome is None:
                continue
            came.append((ids[name], *works.pop(name), outcome))
            if len(came) >= _AT_ONCE:
                all_taken &= await self._results(batch, came)
                came = []
        return await self._results(batch, came) and all_taken

    async def _results(self, batch: Batch, came: Sequence[tuple[Item, Any, Work, Outcome]]) -> bool:
        pen, taken, outcomes, settled, emptied = self.ports.pen, [], [], [], []
        if self.lost:
            return False
        for item, message, work, outcome in came:
            if item.closing:
                continue  # It is being pulled back at this moment; its bill is taken at the next look.
            item.closing = True
            taken.append((item, message, work, outcome))
            # Of one that was pulled only the bill counts, and there is none without a cost.
            if not item.pulled or outcome.cost_micro_dollars:
                outcomes.append(pen.outcome(item, message, work, outcome, batch.begun_ms))
            self.ports.count(outcome)
            settled.append(pen.settled(item, work, outcome, batch))
            emptied += pen.closed(item)
        await self.ports.write([outcomes, settled, emptied])
        for item, _, work, outcome in taken:
            self.ports.purse.settle(item.reserved, work, outcome)
            self.book.done(item)
        return len(taken) == len(came)

    async def _without_results(self, batch: Batch, fault: Fault, known: bool = True) -> None:
        """What is left of a batch ends with this fault. `known`: it has cost nothing."""
        for item in self.book.left(batch):
            if item.closing:
                return
            await self._close(batch, item, fault, known)
        await self._forget(batch)

    async def _close(self, batch: Batch, item: Item, fault: Fault, known: bool = True) -> None:
        """An item of a batch ends with this fault."""
        pen, (message, work) = self.ports.pen, item.work()
        item.closing = True
        outcome = replace(faulted(work, fault.kind, "", batch.begun_ms, self.ports.now_ms()), result=replace(fault, unbilled=known))
        outcomes = [] if item.pulled else [pen.outcome(item, message, work, outcome, batch.begun_ms)]
        settled = [pen.settled(item, work, outcome, batch)] if known else []
        if not item.pulled:
            self.ports.count(outcome)
        await self.ports.write([outcomes, settled, pen.closed(item)])
        self.ports.purse.settle(item.reserved, work, outcome)
        self.book.done(item)

    async def _forget(self, batch: Batch) -> None:
        await self.ports.write(self.ports.pen.forgotten(batch))
        self.book.forget(batch)
