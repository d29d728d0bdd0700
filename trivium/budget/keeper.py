"""Reserves for the calls of one process, out of slices of the budgets that it has read in the log (docs/decisions/0019).

    got = keeper.take(work, at_ms, then)        before `started` is written
    keeper.settle(got, cost)                    after the outcome is in the log
    keeper.release(got)                         when there was no call

Everything happens in the event loop. A slice is asked for by a record and used when that record was read back; what is not
used for a while is given back. While nothing in the log names a budget, `active` is False and nothing is done."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Self

from trivium.budget.lease import UNBUDGETED, KeeperOptions, Lease, Refusal, Reservation, Waiting
from trivium.budget.leases import Leases, Who
from trivium.codec.budgets import budget_record_from
from trivium.core.budget import DAY_MS, AccountRecord, Rules
from trivium.core.budget_fold import State
from trivium.core.budget_worst import worst_case
from trivium.core.errors import Unreachable
from trivium.core.slip import Work
from trivium.kafka import topics
from trivium.kafka.outbox import Outbox
from trivium.kafka.reader import ReaderOptions, Tail
from trivium.kafka.record import Delivered

_LOG = logging.getLogger(__name__)

_MOST_WAITING: Final = 128
"""For money that others have reserved."""

Then = Callable[[Reservation | Refusal], None]


class Keeper:
    """The budgets as one process pays from them. `async with` it after the outbox; its doors open after it and close before."""

    def __init__(
        self,
        bootstrap: str,
        instance: str,
        outbox: Outbox,
        options: KeeperOptions | None = None,
        reader: ReaderOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.active = False
        """Whether any budget is known."""
        self.state = State()
        self._options = options or KeeperOptions()
        self._clock = clock
        self._leases = Leases(self.state, instance, outbox, self._options, clock)
        self._tail = Tail(bootstrap, topics.BUDGET, self.read, options=reader)
        self._waiting: deque[Waiting] = deque()
        self._serving = self._again = False
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Reads the log up to its end. Raises Unreachable when that does not come to an end."""
        self._tail.start()
        if not await self._tail.wait_caught_up(self._options.start_ms):
            await self._tail.stop()
            raise Unreachable(f"{topics.BUDGET} could not be read up to its end in {self._options.start_ms} ms")
        self._ticking = asyncio.create_task(self._tick_for_ever(), name="budget-keeper")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        for waiting in list(self._waiting):
            waiting.end(self._refused(waiting.worst, waiting.leases[0], 0))
        await self._leases.leave()
        await self._tail.stop()

    # --- the doors ---------------------------------------------------------------------------------------------------

    def take(self, work: Work, at_ms: int, then: Then) -> Reservation | Refusal | Waiting:
        """Reserve the worst case of one execution in all budgets that it comes under at `at_ms` (epoch ms), or in none.

        Waiting: the log must be asked; `then` gets the answer, after `ask_ms` at the latest, never before this returns."""
        request, leases = work.request, self._leases
        who = (
            request.identity.tenant,
            request.team,
            request.application,
            request.use_case,
            request.end_user,
            at_ms // DAY_MS,
        )
        found = leases.known.get(who)
        if found is None:
            found = leases.of(who)
        if not found or not (worst := worst_case(work)):
            return UNBUDGETED
        now_s = self._clock()
        for lease in found:
            if lease.hard and (lease.held - lease.spent - lease.reserved < worst or lease.valid_until_s <= now_s):
                return self._ask_for(who, found, worst, then)
        return _reserved(found, worst, now_s)

    def settle(self, reservation: Reservation, cost: int) -> None:
        """What the execution itself has cost, once that is in the log. Once; what comes later is passed over."""
        if not reservation.open or reservation is UNBUDGETED:
            return
        reservation.open = False
        if cost > reservation.worst:
            _LOG.error("a call cost %d micro-dollars, its worst case was %d: %s", cost, reservation.worst, reservation.budgets)
        for lease in reservation.leases:
            lease.reserved -= reservation.worst
            lease.spent += cost
        if self._waiting:
            self._serve()

    def release(self, reservation: Reservation) -> None:
        """There was no call."""
        self.settle(reservation, 0)

    def lapsed(self, reservation: Reservation) -> Refusal | None:
        """Asked right before the call: why it may not go any more."""
        now_s = self._clock()
        for lease in reservation.leases:
            if lease.hard and lease.valid_until_s <= now_s:
                return self._refused(reservation.worst, lease, max(1, int((now_s - lease.granted_s) * 1000)))
        return None

    # --- asking ------------------------------------------------------------------------------------------------------

    def _ask_for(self, who: Who, leases: tuple[Lease, ...], worst: int, then: Then) -> Refusal | Waiting:
        if (refusal := self._hopeless(leases, worst)) is not None:
            return refusal
        waiting = Waiting(who, worst, leases, then)
        self._waiting.append(waiting)
        waiting.timer = asyncio.get_running_loop().call_later(self._options.ask_ms / 1000, self._give_up, waiting)
        self._ask_missing(waiting)
        return waiting

    def _hopeless(self, leases: tuple[Lease, ...], worst: int) -> Refusal | None:
        """It is spent already. What is only reserved may come free while a request waits; of those that wait for that there are
        only so many, because they hold up work that others pay."""
        for lease in leases:
            if not lease.hard or lease.free >= worst or lease.free + max(0, self.state.free(lease.key)) >= worst:
                continue
            refusal = self._refused(worst, lease, 0)
            if lease.closed or refusal.limit - refusal.spent < worst or len(self._waiting) > _MOST_WAITING:
                return refusal
        return None

    def _ask_missing(self, waiting: Waiting) -> None:
        now_s = self._clock()
        for lease in waiting.leases:
            if lease.sent is not None or lease.closed or not _short(lease, waiting.worst, now_s):
                continue
            if lease.free + max(0, self.state.free(lease.key)) >= waiting.worst:
                self._leases.ask(lease, lease.wanted)

    def _serve(self) -> None:
        """Something has changed: whoever waits and can be served, is; in their order."""
        self._again = True
        if self._serving:
            return
        self._serving = True
        try:
            while self._again:
                self._again = False
                for waiting in list(self._waiting):
                    self._serve_one(waiting)
        finally:
            self._serving = False

    def _serve_one(self, waiting: Waiting) -> None:
        now_s = self._clock()
        if waiting.then is None:
            self._waiting.remove(waiting)
            return
        if any(lease.retired for lease in waiting.leases):
            waiting.move(self._leases.of(waiting.who))
        if not any(_short(lease, waiting.worst, now_s) for lease in waiting.leases):
            self._waiting.remove(waiting)
            waiting.end(_reserved(waiting.leases, waiting.worst, now_s))
        elif (refusal := self._hopeless(waiting.leases, waiting.worst)) is not None:
            self._waiting.remove(waiting)
            waiting.end(refusal)
        else:
            self._ask_missing(waiting)

    def _give_up(self, waiting: Waiting) -> None:
        now_s = self._clock()
        short = [lease for lease in waiting.leases if _short(lease, waiting.worst, now_s)]
        lease = short[0] if short else waiting.leases[0]
        self._waiting.remove(waiting)
        waiting.end(self._refused(waiting.worst, lease, self._options.ask_ms if lease.sent is not None else 0))

    def _refused(self, worst: int, lease: Lease, silent_ms: int) -> Refusal:
        share, own = self.state.share(lease.key), self.state.account(lease.key, lease.holder)
        spent = share.spent + lease.spent - (0 if own is None else own.spent)
        return Refusal(lease.key[0], share.limit, spent, share.spent + share.reserved - spent, worst, silent_ms)

    # --- the log -----------------------------------------------------------------------------------------------------

    def read(self, record: Delivered) -> None:
        """One record of the log."""
        told = budget_record_from(record.value)
        if isinstance(told, Rules):
            if self.state.take_rules(told, record.timestamp_ms):
                self.active = bool(self.state.rules)
                self._leases.follow_rules()
        elif isinstance(told, AccountRecord):
            self.state.take_account(told, record.timestamp_ms)
            self._leases.read(told)
        if self._waiting:
            self._serve()

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._options.tick_ms / 1000)
            try:
                self.tick(time.time_ns() // 1_000_000)
            except Exception:
                _LOG.exception("the leases could not be looked after")

    def tick(self, at_ms: int) -> None:
        """Called every `tick_ms`; `at_ms` is epoch ms."""
        self._leases.tick(at_ms)
        if self._waiting:
            self._serve()


def _reserved(leases: tuple[Lease, ...], worst: int, now_s: float) -> Reservation:
    if not leases:
        return UNBUDGETED
    hard = False
    for lease in leases:
        lease.reserved += worst
        lease.used += worst
        lease.used_s = now_s
        hard = hard or lease.hard
    return Reservation(leases[0].holder, worst, leases, hard)


def _short(lease: Lease, worst: int, now_s: float) -> bool:
    """It cannot pay now."""
    return lease.hard and (lease.free < worst or lease.valid_until_s <= now_s)
