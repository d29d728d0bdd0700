"""What a group member works on: one claim a record, one lane a partition, and the options of the member."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from trivium.core.errors import BadSetting
from trivium.crash import Crash
from trivium.kafka.floor import Floor
from trivium.kafka.record import Delivered
from trivium.kafka.suspects import Note, Taken
from trivium.settings import KafkaSettings

Partition = tuple[str, int]
"""Topic and partition number."""

OnClaim = Callable[["Claim"], None]
OnAssigned = Callable[[Mapping[Partition, int]], Awaitable[None]]
OnLost = Callable[[Sequence[Partition]], None]
OnRevoke = Callable[[], Awaitable[None]]
OnSettled = Callable[[], None]


async def nothing_to_prepare(_starts: Mapping[Partition, int]) -> None:
    """For members that need not be told."""


def nothing_to_drop(_partitions: Sequence[Partition]) -> None:
    """For members that need not be told."""


async def nothing_to_finish() -> None:
    """For members that need not be told."""


def nothing_to_resume() -> None:
    """For members that need not be told."""


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """How to take part in a group. Times are ms."""

    client_id: str = "trivium"
    instance_id: str | None = None
    """Static membership: a restart within the session timeout takes its partitions back without a rebalance.
    Not on the embedded broker, where the second join of an instance takes two session timeouts."""
    fetch_max_wait_ms: int = 10
    """See ReaderOptions.fetch_max_wait_ms."""
    max_poll_records: int = 500
    max_open: int = 1_024
    """Claims of one partition that may be open at once."""
    commit_every_ms: int = 200
    session_timeout_ms: int = 10_000
    """On the embedded broker a member that comes back waits for one second less than this before it is let in."""
    heartbeat_ms: int = 1_000
    request_timeout_ms: int = 15_000
    start_timeout_ms: int = 8_000
    commit_timeout_ms: int = 3_000
    stop_timeout_ms: int = 5_000
    revoke_wait_ms: int = 2_000
    """How long a rebalance may wait for what is in hand: everybody else of the group waits as long."""
    crash: Crash | None = None


def static_name(kafka: KafkaSettings, instance: str) -> str:
    """The static member's name of this process, or empty. BadSetting when it has to have one and has no name.

    A static member that leaves says nothing: its partitions wait for the session timeout, unless one of the same name
    comes back first. So it is asked for, and never follows from a name alone: those of a Deployment's pods never return.
    """
    if kafka.static_member and not instance:
        raise BadSetting("TRIVIUM_STATIC_MEMBER needs TRIVIUM_INSTANCE, a name that this process has after every restart")
    return instance if kafka.static_member else ""


class Careful(Protocol):
    """Works on claims whose records may kill it before anything in the log tells of that; see trivium/kafka/alone.py."""

    def alone(self, claim: "Claim") -> bool:
        """Take this record as far as the log will tell of it, and no further. False, and nothing is taken: there is no room
        before what was taken is finished. Must not raise."""

    async def finished(self) -> None:
        """Go on with what was taken, until nothing is in hand."""


class LaneOwner(Protocol):
    """Who is told that a lane has one open claim less."""

    def on_acked(self, lane: "Lane") -> None: ...


class Lane:
    """One partition while it is assigned."""

    __slots__ = ("alone_until", "committed", "floor", "lost", "note", "owner", "partition", "paused", "start")

    def __init__(self, owner: LaneOwner, partition: TopicPartition, start: int) -> None:
        self.owner = owner
        self.partition = partition
        self.start = start
        self.floor = Floor()
        self.committed = start
        self.paused = False
        self.lost = False
        self.note = Note()
        """What stands beside its commits (trivium/kafka/suspects.py)."""
        self.alone_until = 0
        """Records below this offset are handed out one by one."""

    def take_over(self, taken: Taken) -> None:
        """What earlier members left is known."""
        self.note, self.alone_until = taken.note, taken.careful_until

    @property
    def standing(self) -> OffsetAndMetadata:
        """What there is to commit."""
        return OffsetAndMetadata(self.reached, self.note.text(self.reached))

    @property
    def reached(self) -> int:
        """Everything below is done."""
        floor = self.floor.committable()
        return self.start if floor is None else floor

    @property
    def next_offset(self) -> int:
        after = self.floor.next_offset
        return self.start if after is None else after


class Claim:
    """One record that this member works on until it acknowledges it."""

    __slots__ = ("_lane", "record")

    def __init__(self, record: Delivered, lane: Lane) -> None:
        self.record = record
        self._lane = lane

    @property
    def lost(self) -> bool:
        """The partition went to another member: whatever is still to be done for this record is its work now."""
        return self._lane.lost

    def ack(self) -> None:
        """The effects are in the log. A second call, or one on a lost claim, does nothing."""
        lane = self._lane
        if lane.floor.acked(self.record.offset):
            lane.owner.on_acked(lane)
