"""A worker's memory of attempts: a fold of their log."""

from trivium.core.outcome import FaultKind
from trivium.core.policy import Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import Work
from trivium.kafka.record import Delivered, Record
from trivium.tier.memory import AttemptMemory
from trivium.tier.meter import uncalled
from trivium.tier.records import GRPC, KAFKA, Writer

WRITER = Writer(Tier.CLOUD, "i", 4, 1_000_000)
WORK = Work(
    Request(Identity("acme", "7", 1), (Message(Role.USER, "?"),)),
    2,
    Target("cloud/a", Tier.CLOUD, "a"),
    TaskSpec("t"),
    0,
)
KEY = ("acme/7", 1, 2)


def delivered(record: Record, offset: int = 0) -> Delivered:
    return Delivered(record.topic, record.partition or 0, offset, 0, record.key, record.value, record.headers)


def started(execution: int, door: str = KAFKA) -> Delivered:
    return delivered(WRITER.started(WORK, execution, 1, door, 0, ()))


def settled(door: str = KAFKA) -> Delivered:
    return delivered(WRITER.settled(WORK, uncalled(WORK, FaultKind.LATE, ""), 1, 1, door, 0, ()))


def test_started_and_not_settled_is_counted() -> None:
    memory = AttemptMemory(1_000)
    memory.fold([started(1), started(2)], 0)
    assert memory.starts(KEY) == 2
    assert not memory.is_settled(KEY)
    assert memory.starts(("acme/7", 0, 2)) == 0


def test_settled_is_settled_and_no_longer_started() -> None:
    memory = AttemptMemory(1_000)
    memory.fold([started(1), settled()], 0)
    assert memory.is_settled(KEY)
    assert memory.starts(KEY) == 0


def test_calls_by_grpc_are_nobodys_work_record() -> None:
    memory = AttemptMemory(1_000)
    memory.fold([started(1, GRPC), settled(GRPC)], 0)
    assert not memory.is_settled(KEY)
    assert memory.starts(KEY) == 0


def test_what_cannot_be_read_is_passed_over() -> None:
    memory = AttemptMemory(1_000)
    memory.fold([Delivered("t", 0, 0, 0, None, b"\xff\xff\xff", ()), started(1)], 0)
    assert memory.starts(KEY) == 1


def test_what_is_settled_is_kept_for_a_horizon_at_least_and_two_at_most() -> None:
    memory = AttemptMemory(1_000)
    memory.settle(KEY, 5_000)
    memory.settle(("acme/8", 0, 1), 5_900)
    assert memory.is_settled(KEY)
    memory.settle(("acme/9", 0, 1), 6_100)
    assert memory.is_settled(KEY)
    memory.settle(("acme/10", 0, 1), 7_200)
    assert not memory.is_settled(KEY)
