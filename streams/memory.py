"""What the owner of a home partition remembers: what is pending, what is done. Pure: no clock, no Kafka.

The memory is a fold of the partition's own log. Live, each record is put to it once, in order; after a restart
the committed records are put to it again, and what each of them led to is read off the replies (an end) or
recomputed (a call). Only committed records suppress work, never a reply that was merely seen.

    request(identity, body_hash)  -> NEW | DUPLICATE | REUSED
    outcome(identity, attempt)    -> FIRST | STRAY
    opened / ended                   what the journey said: the next attempt, or the terminal
    due(now_ms, silent)           -> pending attempts that nothing came back for

What has ended is kept for `window_ms` of the broker's time, so that late duplicates find it; what is pending is
kept until it ends.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from heapq import heappop, heappush

from trivium.core.request import Identity
from trivium.core.slip import Journey


class Arrived(Enum):
    """What a request is to the memory."""

    NEW = "new"
    DUPLICATE = "duplicate"
    """The same identity with the same body: ignored."""
    REUSED = "reused"
    """The same identity with another body: put aside, and no terminal, because the identity has one already."""


class CameBack(Enum):
    """What an outcome is to the memory."""

    FIRST = "first"
    STRAY = "stray"
    """Another outcome of this attempt won, or the request has ended."""


@dataclass(slots=True)
class Entry:
    """An identity that has not ended. `attempt` is the open one; 0 before a decision. Instants are epoch ms."""

    body_hash: str
    attempt: int = 0
    deadline_ms: int = 0
    """Of the open attempt; 0 while its call is not known (in a fold, before it is recomputed)."""
    target: str = ""
    carry: bytes = b""
    """The work record as it was sent: request and slip, to go on from when nothing comes back."""
    given_up: bool = False
    """The open attempt was found due: its overdue outcome is on its way."""
    patient: bool = False
    """The open attempt is batch work: it ends by its deadline, whatever its target's tier is doing meanwhile."""
    sent: Journey | None = None
    """What `carry` says, as a value, when this worker made it: saves reading the slip again. Never after a fold."""


@dataclass(frozen=True, slots=True)
class Due:
    """An attempt that nothing came back for."""

    identity: Identity
    attempt: int
    target: str
    deadline_ms: int
    carry: bytes
    silent: bool
    """Found before its deadline, because its target gave no sign of life."""


class Memory:
    """The memory of one home partition."""

    def __init__(self, window_ms: int, late_ms: int) -> None:
        """`window_ms`: how long an end is remembered, at least attempt cap + session timeout + grace.
        `late_ms`: how long after an attempt's deadline its first outcome may still be written."""
        self.window_ms = window_ms
        self._late_ms = late_ms
        self._open: dict[Identity, Entry] = {}
        self._ended: dict[Identity, str] = {}
        self._ends: deque[tuple[int, Identity]] = deque()
        self._cancels: dict[Identity, int] = {}
        self._timers: list[tuple[int, int, Identity, int]] = []
        self._sequence = 0
        self._clock_ms = 0

    @property
    def pending(self) -> int:
        """How many identities wait for an outcome."""
        return len(self._open)

    @property
    def remembered(self) -> int:
        """How many ends are kept."""
        return len(self._ended)

    def find(self, identity: Identity) -> Entry | None:
        """The entry of an identity that is pending."""
        return self._open.get(identity)

    def has_ended(self, identity: Identity) -> bool:
        """Whether its end is remembered."""
        return identity in self._ended

    def request(self, identity: Identity, body_hash: str, ts_ms: int) -> Arrived:
        """A request was read. NEW makes an entry that `opened` or `ended` completes."""
        self._advance(ts_ms)
        entry = self._open.get(identity)
        known = self._ended.get(identity) if entry is None else entry.body_hash
        if known is None:
            self._open[identity] = Entry(body_hash)
            return Arrived.NEW
        return Arrived.DUPLICATE if known == body_hash else Arrived.REUSED

    def outcome(self, identity: Identity, attempt: int, body_hash: str, deadline_ms: int, ts_ms: int) -> CameBack:
        """An outcome was read; `body_hash` and the attempt's `deadline_ms` are those of its slip.

        An outcome of an unknown identity is the first one when it was written in time: its request is not
        committed yet, or too long ago to be kept. One that was written too late has had its end.
        """
        self._advance(ts_ms)
        if identity in self._ended:
            return CameBack.STRAY
        entry = self._open.get(identity)
        if entry is None:
            if ts_ms > deadline_ms + self._late_ms:
                return CameBack.STRAY
            self._open[identity] = Entry(body_hash, attempt + 1)
            return CameBack.FIRST
        if attempt < entry.attempt:
            return CameBack.STRAY
        entry.attempt, entry.deadline_ms, entry.target, entry.carry = attempt + 1, 0, "", b""
        return CameBack.FIRST

    def sent(self, identity: Identity, attempt: int) -> Journey | None:
        """The journey as this worker sent it out with that attempt open, for its first outcome; None after a fold."""
        entry = self._open.get(identity)
        journey = None if entry is None else entry.sent
        return journey if journey is not None and journey.attempts[-1].number == attempt else None

    def cancel(self, identity: Identity, ts_ms: int) -> Entry | None:
        """A cancel was read. The entry to end, or None: it has ended, or its request is yet to come (remembered)."""
        self._advance(ts_ms)
        entry = self._open.get(identity)
        if entry is None and identity not in self._ended:
            self._cancels[identity] = ts_ms
        return entry if entry is not None and entry.carry else None

    def was_cancelled(self, identity: Identity) -> bool:
        """Whether a cancel came before the request; asked once."""
        return self._cancels.pop(identity, None) is not None

    def opened(
        self, identity: Identity, attempt: int, deadline_ms: int, target: str, carry: bytes, sent: Journey | None = None,
        patient: bool = False,
    ) -> None:  # fmt: skip
        """The journey asks for a call. The identity is pending. `patient`: it is batch work."""
        entry = self._open[identity]
        entry.attempt, entry.deadline_ms, entry.target, entry.carry = attempt, deadline_ms, target, carry
        entry.sent, entry.patient = sent, patient
        entry.given_up = False
        self._sequence += 1
        heappush(self._timers, (deadline_ms, self._sequence, identity, attempt))

    def ended(self, identity: Identity, ts_ms: int) -> None:
        """The journey is over. Does nothing for an identity that is not pending."""
        entry = self._open.pop(identity, None)
        if entry is not None:
            self._ended[identity] = entry.body_hash
            self._ends.append((ts_ms, identity))

    def known(self, identity: Identity) -> bool:
        """Whether it is pending or its end is remembered."""
        return identity in self._open or identity in self._ended

    def still_open(self, identity: Identity, body_hash: str) -> None:
        """In a fold: batch work of an identity that was read too long ago to be among what is read again. `opened` completes it."""
        self._open[identity] = Entry(body_hash)

    def forget(self, identity: Identity) -> None:
        """As if nothing of this pending identity had been read."""
        self._open.pop(identity, None)

    def due(self, now_ms: int, silent: Callable[[str], bool] | None = None) -> list[Due]:
        """Open attempts whose deadline has passed, or whose target is silent. Each is given once.

        `silent(target)`: no pulse of the target's tier was seen for a session timeout.
        """
        found: list[Due] = []
        timers = self._timers
        while timers and timers[0][0] <= now_ms:
            _, _, identity, attempt = heappop(timers)
            entry = self._open.get(identity)
            if entry is not None and entry.attempt == attempt and _waits(entry):
                found.append(_give_up(identity, entry, early=False))
        if silent is not None:
            for identity, entry in self._open.items():
                if _waits(entry) and not entry.patient and silent(entry.target):
                    found.append(_give_up(identity, entry, early=True))
        return found

    def unresolved(self) -> list[Identity]:
        """In a fold: what is pending and has no deadline yet, because its call was not recomputed."""
        return [identity for identity, entry in self._open.items() if not entry.deadline_ms]

    def _advance(self, ts_ms: int) -> None:
        """The broker's clock moved: forget what ended a window ago."""
        if ts_ms <= self._clock_ms:
            return
        self._clock_ms = ts_ms
        before, ends = ts_ms - self.window_ms, self._ends
        while ends and ends[0][0] < before:
            self._ended.pop(ends.popleft()[1], None)
        while self._cancels and next(iter(self._cancels.values())) < before:
            del self._cancels[next(iter(self._cancels))]


def _waits(entry: Entry) -> bool:
    return bool(entry.carry) and not entry.given_up


def _give_up(identity: Identity, entry: Entry, *, early: bool) -> Due:
    entry.given_up = True
    return Due(identity, entry.attempt, entry.target, entry.deadline_ms, entry.carry, early)
