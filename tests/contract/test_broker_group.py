"""A group member commits what is done, never more, and what was open comes again."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import NoOffsetForPartitionError

from infra.broker import EmbeddedBroker
from trivium.core.errors import Unreachable
from trivium.kafka.claim import Claim, GroupOptions, Partition
from trivium.kafka.group import GroupConsumer
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record

HEARTBEAT = 12
REBALANCE_IN_PROGRESS = 27
QUICK = GroupOptions(commit_every_ms=10, session_timeout_ms=1_200, heartbeat_ms=300)


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    with EmbeddedBroker({"work": 2, "spare": 1}) as running:
        yield running


class Claims:
    """Collects what a member is given."""

    def __init__(self) -> None:
        self.all: list[Claim] = []
        self.changed = asyncio.Event()

    def __call__(self, claim: Claim) -> None:
        self.all.append(claim)
        self.changed.set()

    async def wait_for(self, count: int) -> list[Claim]:
        async with asyncio.timeout(60):
            while len(self.all) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.all


def offsets(claims: list[Claim], partition: int, topic: str = "work") -> list[int]:
    return [claim.record.offset for claim in claims if (claim.record.topic, claim.record.partition) == (topic, partition)]


async def fill(broker: EmbeddedBroker, count: int, topic: str = "work", partition: int = 0) -> None:
    async with Producer(broker.bootstrap) as producer:
        sent = [await producer.send(Record(topic, None, b"%d" % number, (), partition)) for number in range(count)]
        await asyncio.wait_for(asyncio.gather(*sent), 10)


async def committed(broker: EmbeddedBroker, partition: int = 0) -> int | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id="tier", enable_auto_commit=False)
    await consumer.start()
    try:
        offset: int | None = await consumer.committed(TopicPartition("work", partition))
        return offset
    finally:
        await consumer.stop()


def member(broker: EmbeddedBroker, claims: Claims, options: GroupOptions = QUICK) -> GroupConsumer:
    return GroupConsumer(broker.bootstrap, "tier", ["work", "spare"], claims, options)


async def test_a_fetch_of_the_time_before_the_seek_does_not_end_the_member(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, failed = AIOKafkaConsumer.getmany, []

    async def getmany(self: AIOKafkaConsumer, *partitions: TopicPartition, timeout_ms: int = 0) -> object:
        if not failed:
            failed.append(True)
            raise NoOffsetForPartitionError(TopicPartition("spare", 0))
        return await fetch(self, *partitions, timeout_ms=timeout_ms)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", getmany)
    await fill(broker, 3)
    claims = Claims()
    async with member(broker, claims):
        assert offsets(await claims.wait_for(3), 0) == [0, 1, 2]
    assert failed


async def test_records_come_in_order_and_nothing_is_committed_before_it_is_done(broker: EmbeddedBroker) -> None:
    await fill(broker, 20)
    claims = Claims()
    async with member(broker, claims):
        got = await claims.wait_for(20)
        assert offsets(got, 0) == list(range(20))
        for claim in got[5:]:
            claim.ack()
    assert await committed(broker) is None


async def test_acks_out_of_order_commit_up_to_the_lowest_open_one_and_the_rest_comes_again(
    broker: EmbeddedBroker,
) -> None:
    await fill(broker, 20)
    claims = Claims()
    async with member(broker, claims):
        for claim in reversed(await claims.wait_for(20)):
            if claim.record.offset not in (7, 12):
                claim.ack()
    assert await committed(broker) == 7
    again = Claims()
    async with member(broker, again) as second:
        for claim in await again.wait_for(13):
            claim.ack()
        assert await second.drain(5_000)
    assert offsets(again.all, 0) == list(range(7, 20))
    assert await committed(broker) == 20


async def test_commits_follow_while_it_runs(broker: EmbeddedBroker) -> None:
    await fill(broker, 4)
    claims = Claims()
    async with member(broker, claims):
        for claim in await claims.wait_for(4):
            claim.ack()
        async with asyncio.timeout(60):
            while await committed(broker) != 4:  # noqa: ASYNC110 - asks a broker
                await asyncio.sleep(0.01)


async def test_a_partition_is_paused_at_its_limit_and_others_go_on(broker: EmbeddedBroker) -> None:
    await fill(broker, 100)
    claims = Claims()
    options = GroupOptions(commit_every_ms=10, max_poll_records=10, max_open=40)
    async with member(broker, claims, options) as running:
        await claims.wait_for(31)
        await fill(broker, 5, partition=1)
        async with asyncio.timeout(60):
            while len(offsets(claims.all, 1)) < 5:
                claims.changed.clear()
                await claims.changed.wait()
        assert len(offsets(claims.all, 0)) <= 40
        assert running.behind() >= 60
        done = 0
        async with asyncio.timeout(60):
            while done < 105:
                for claim in claims.all[done:]:
                    claim.ack()
                    done += 1
                await asyncio.sleep(0)
    assert offsets(claims.all, 0) == list(range(100))
    assert await committed(broker) == 100


async def test_a_held_topic_waits_until_it_is_released(broker: EmbeddedBroker) -> None:
    await fill(broker, 3, topic="spare")
    await fill(broker, 3)
    claims = Claims()
    running = member(broker, claims)
    running.hold("spare")
    async with running:
        await claims.wait_for(3)
        assert offsets(claims.all, 0, "spare") == []
        running.release("spare")
        await claims.wait_for(6)
        assert offsets(claims.all, 0, "spare") == [0, 1, 2]


async def test_new_partitions_are_prepared_before_their_records_come(broker: EmbeddedBroker) -> None:
    await fill(broker, 3)
    claims, prepared = Claims(), list[Mapping[Partition, int]]()

    async def prepare(starts: Mapping[Partition, int]) -> None:
        await asyncio.sleep(0.05)
        assert not claims.all
        prepared.append(dict(starts))

    running = GroupConsumer(broker.bootstrap, "tier", ["work"], claims, QUICK, on_assigned=prepare)
    async with running:
        await claims.wait_for(3)
        assert prepared == [{("work", 0): 0, ("work", 1): 0}]
        assert running.assigned == [("work", 0), ("work", 1)]


async def test_a_rebalance_that_gives_a_partition_back_keeps_its_claims(broker: EmbeddedBroker) -> None:
    await fill(broker, 6)
    claims = Claims()
    async with member(broker, claims) as running:
        first = await claims.wait_for(6)
        first[0].ack()
        first[3].ack()
        mine = [TopicPartition("work", 0), TopicPartition("work", 1), TopicPartition("spare", 0)]
        await running._revoked()
        first[1].ack()
        running._assigned(mine)
        await fill(broker, 2)
        await claims.wait_for(8)
        assert offsets(claims.all, 0) == list(range(8))
        assert not first[2].lost
        for claim in claims.all:
            claim.ack()
        assert await running.drain(5_000)
    assert await committed(broker) == 8


async def test_a_real_rebalance_keeps_the_claims_of_a_lone_member(broker: EmbeddedBroker) -> None:
    await fill(broker, 6)
    claims, prepared = Claims(), list[int]()

    async def prepare(starts: Mapping[Partition, int]) -> None:
        prepared.append(len(starts))

    running = GroupConsumer(broker.bootstrap, "tier", ["work"], claims, QUICK, on_assigned=prepare)
    async with running:
        for claim in (await claims.wait_for(6))[:3]:
            claim.ack()
        broker.fail_requests(HEARTBEAT, [REBALANCE_IN_PROGRESS])
        async with asyncio.timeout(60):
            while await committed(broker) != 3 or not broker_is_done(running):  # noqa: ASYNC110 - asks a broker
                await asyncio.sleep(0.01)
        await fill(broker, 2)
        await claims.wait_for(8)
        assert offsets(claims.all, 0) == list(range(8))
        assert prepared == [2]
        for claim in claims.all:
            assert not claim.lost
            claim.ack()
        assert await running.drain(5_000)
    assert await committed(broker) == 8


def broker_is_done(running: GroupConsumer) -> bool:
    """The rebalance happened and the partitions are back."""
    return running.rebalances == 2 and len(running.assigned) == 2


async def test_claims_of_a_partition_that_went_elsewhere_are_lost(broker: EmbeddedBroker) -> None:
    await fill(broker, 4)
    claims, lost, told = Claims(), list[Partition](), asyncio.Event()

    def lose(partitions: Sequence[Partition]) -> None:
        lost.extend(partitions)
        told.set()

    running = GroupConsumer(broker.bootstrap, "tier", ["work"], claims, QUICK, on_lost=lose)
    async with running:
        assert await running.wait_joined(5_000)
        got = list(await claims.wait_for(4))
        got[0].ack()
        await running._revoked()
        running._assigned([TopicPartition("work", 1)])
        await asyncio.wait_for(told.wait(), 5)
        assert lost == [("work", 0)]
        assert all(claim.lost for claim in got)
        got[1].ack()
        assert running.open_count == 0
    assert await committed(broker) == 1


async def test_draining_gives_up_in_time(broker: EmbeddedBroker) -> None:
    await fill(broker, 2)
    claims = Claims()
    async with member(broker, claims) as running:
        await claims.wait_for(2)
        assert not await running.drain(20)


async def test_a_broker_that_is_away_for_a_moment_loses_nothing(broker: EmbeddedBroker) -> None:
    await fill(broker, 5)
    claims = Claims()
    async with member(broker, claims):
        for claim in await claims.wait_for(5):
            claim.ack()
        broker.set_down()
        broker.set_up()
        await fill(broker, 5)
        async with asyncio.timeout(60):
            while {claim.record.offset for claim in claims.all} != set(range(10)):
                claims.changed.clear()
                await claims.changed.wait()


async def test_no_broker_is_one_sentence(broker: EmbeddedBroker) -> None:
    broker.set_down()
    with pytest.raises(Unreachable, match="no Kafka broker answers"):
        await member(broker, Claims(), GroupOptions(start_timeout_ms=1_000)).start()


async def test_a_member_that_is_not_let_go_in_time_leaves_no_connection(broker: EmbeddedBroker) -> None:
    claims, before = Claims(), asyncio.all_tasks()
    member = GroupConsumer(broker.bootstrap, "tier", ["work"], claims, replace(QUICK, stop_timeout_ms=100))
    await member.start()
    assert await member.wait_joined(20_000)
    consumer = member._consumer
    assert consumer is not None
    connections = list(consumer._client._conns.values())
    consumer._coordinator._maybe_leave_group = asyncio.Event().wait  # a broker that never answers
    await member.stop()
    assert len(connections) >= 2
    assert not any(connection.connected() for connection in connections)
    async with asyncio.timeout(10):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110 - tasks tell nobody that they are forgotten
            await asyncio.sleep(0.02)


async def test_a_producer_whose_sender_hangs_leaves_no_connection(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trivium.kafka.producer._LAST_WAIT_S", 0.1)
    async with Producer(broker.bootstrap) as producer:
        await producer.publish(Record("work", None, b"1", (), 0), 5_000)
        client = producer._client
        assert client is not None
        connections = list(client.client._conns.values())
        client._message_accumulator.close = client._sender.close = asyncio.Event().wait
        client._message_accumulator.flush = asyncio.Event().wait
    assert connections
    assert not any(connection.connected() for connection in connections)
