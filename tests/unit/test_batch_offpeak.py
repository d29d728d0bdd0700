"""Work of the own hardware: kept until its hours, given to the right lane, never kept too long."""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.batch.offpeak import OffPeak
from services.batch.writing import Pen
from trivium.codec import work_from, work_to
from trivium.core.partition import home
from trivium.core.policy import Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role, Sensitivity
from trivium.core.slip import Wait, Work
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import DEADLETTER, Lane, batch_key, work
from trivium.telemetry.tracing import start
from trivium.tier.records import Writer
from trivium.v1 import journey_pb2

LANE = work(Tier.FINETUNED, Lane.BATCH)
PARTITIONS = 4
OPENS, UNTIL = 10_000, 50_000


@dataclass
class Night:
    """The keeper of the lane, its log and its clock."""

    now: int = 1_000
    held: int = 1_000_000
    written: list[Record] = field(default_factory=list)
    keeper: Any = None

    def __post_init__(self) -> None:
        writer = Writer(Tier.FINETUNED, "batch", PARTITIONS, 1_000_000)
        self.keeper = OffPeak(self.write, Pen(writer, LANE, start("t", "i", "")), lambda: self.now, lambda: None, PARTITIONS, self.held)

    async def write(self, stages: Sequence[Sequence[Record]]) -> None:
        self.written += [record for stage in stages for record in stage]

    def comes(self, record: Delivered) -> None:
        does(self.keeper.take(record))

    def goes_on(self, now: int) -> None:
        self.now = now
        does(self.keeper.pull_back())
        does(self.keeper.step())


def does(what: Coroutine[Any, Any, Any]) -> None:
    with pytest.raises(StopIteration):
        what.send(None)


def entry(number: int = 1, sensitivity: Sensitivity = Sensitivity.INTERNAL) -> Delivered:
    request = Request(Identity("acme", f"r{number}"), (Message(Role.USER, "?"),), sensitivity=sensitivity)
    target = Target("finetuned/own", Tier.FINETUNED, "own")
    asked = Work(request, 1, target, TaskSpec("t"), UNTIL + 9_000, wait=Wait(OPENS, UNTIL, Prices()))
    key = batch_key(request.identity, 1)
    trace = (("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"), ("schema", b"trivium.v1.Work"))
    return Delivered(LANE, 0, number, 900, key, work_to(asked).SerializeToString(), trace)


def test_work_waits_for_its_hours_and_then_takes_idle_slots() -> None:
    night = Night()
    night.comes(entry())
    night.goes_on(OPENS - 1)
    assert night.written == []
    night.goes_on(OPENS)
    given, emptied = night.written
    assert (given.topic, given.partition) == ("trivium.work.finetuned.spare", home("acme/r1", PARTITIONS))
    assert work_from(journey_pb2.Work.FromString(given.value or b"")).deadline_ms == UNTIL + 9_000
    assert [name for name, _ in given.headers] == ["content-type", "schema", "traceparent"]
    assert (emptied.topic, emptied.key, emptied.value) == (LANE, b"acme/r1#0#1", None)
    night.goes_on(OPENS + 1)
    assert len(night.written) == 2


def test_what_may_wait_no_longer_goes_first_wherever_the_clock_is() -> None:
    night = Night()
    night.comes(entry())
    does(night.keeper.pull_back())
    night.now = UNTIL
    does(night.keeper.pull_back())
    assert night.written[0].topic == "trivium.work.finetuned"


def test_what_comes_when_too_much_waits_is_called_normally() -> None:
    night = Night(held=2 * len(entry().value or b""))
    for number in (1, 2, 3):
        night.comes(entry(number))
    given, emptied = night.written
    assert (given.topic, given.key, emptied.key) == ("trivium.work.finetuned", b"acme/r3", b"acme/r3#0#1")
    night.goes_on(OPENS)
    assert [record.topic for record in night.written[2:4]] == ["trivium.work.finetuned.spare"] * 2


def test_restricted_work_keeps_to_its_lane() -> None:
    night = Night()
    night.comes(entry(sensitivity=Sensitivity.RESTRICTED))
    night.goes_on(OPENS)
    assert night.written[0].topic == "trivium.work.finetuned.restricted"


def test_a_process_that_begins_again_finds_what_waits_and_not_what_was_given() -> None:
    night = Night()
    night.keeper.recall(entry(1))
    night.keeper.recall(entry(2))
    night.keeper.recall(Delivered(LANE, 0, 3, 950, b"acme/r1#0#1", None))
    night.goes_on(OPENS)
    assert [record.key for record in night.written] == [b"acme/r2", b"acme/r2#0#1"]


def test_what_cannot_be_read_is_put_aside() -> None:
    night = Night()
    night.comes(Delivered(LANE, 0, 1, 900, b"acme/r1#0#1", b"\xff\xff", ()))
    letter, emptied = night.written
    assert (letter.topic, emptied.value) == (DEADLETTER, None)


def test_who_has_lost_the_lane_gives_nothing_away() -> None:
    night = Night()
    night.comes(entry())
    night.keeper.lost = True
    night.goes_on(UNTIL)
    assert night.written == []
