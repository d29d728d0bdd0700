"""A router that gets a partition knows the batch work that has waited for longer than its fold."""

from infra.broker import EmbeddedBroker
from streams.memory import Arrived, Memory
from streams.waiting import remember_waiting
from tests.unit.batch_world import LANE, World
from tests.unit.journeys import a_policy
from trivium.core.partition import home
from trivium.core.policy import Patience
from trivium.core.request import Identity
from trivium.kafka.producer import Producer
from trivium.kafka.reader import ReaderOptions
from trivium.kafka.record import Record
from trivium.kafka.topics import all_topics

PARTITIONS = 4
FAR = 1 << 60
PATIENT = a_policy(patience=Patience())


async def test_what_waits_is_timed_and_known_and_what_is_done_is_not() -> None:
    world = World()
    keys = [world.asked(number, 60_000) for number in range(3)]
    records = [Record(one.topic, one.key, one.value, (), 0) for one in world.logs[LANE]]
    records += [Record(LANE, keys[1], None, (), 0), Record(LANE, b"pulled:" + keys[2], records[2].value, (), 0), Record(LANE, keys[2], None, (), 0)]
    with EmbeddedBroker({topic.name: topic.partitions for topic in all_topics([], PARTITIONS)}) as broker:
        async with Producer(broker.bootstrap) as producer:
            for record in records:
                await producer.publish(record, 5_000)
        memories = {number: Memory(1_000, 100) for number in range(PARTITIONS)}
        found = await remember_waiting(memories, PATIENT, broker.bootstrap, PARTITIONS, FAR, ReaderOptions())
        again = await remember_waiting(memories, PATIENT, broker.bootstrap, PARTITIONS, FAR, ReaderOptions())
        young = {number: Memory(1_000, 100) for number in range(PARTITIONS)}
        none = await remember_waiting(young, PATIENT, broker.bootstrap, PARTITIONS, 0, ReaderOptions())
    assert (found, again, none) == (1, 0, 0)
    waiting = Identity("acme", "r0")
    memory = memories[home(waiting.key, PARTITIONS)]
    assert memory.request(waiting, "", 5) is Arrived.DUPLICATE
    deadline = world.works[keys[0]].deadline_ms
    assert memory.due(deadline - 1, lambda _target: True) == []
    (due,) = memory.due(deadline, lambda _target: True)
    assert (due.identity, due.attempt, due.silent) == (waiting, 1, False)


async def test_a_mesh_without_patience_reads_no_lane() -> None:
    assert await remember_waiting({}, a_policy(), "127.0.0.1:9", PARTITIONS, FAR, ReaderOptions()) == 0
