"""Stages go in order, failures go again, refusals are replaced, and a dead broker is reported."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from trivium.core.errors import Unreachable
from trivium.kafka.outbox import Outbox, OutboxOptions
from trivium.kafka.record import Record


class Scripted:
    """A producer with one record a batch; `script` gives the fate of each send, afterwards all is well or held."""

    def __init__(self, script: Sequence[Exception | None] = (), hold: bool = False, batch: int = 1) -> None:
        self.sent: list[Record] = []
        self.held: list[asyncio.Future[object]] = []
        self.script = list(script)
        self.hold = hold
        self.batch = batch
        self.alive = True
        self.renewed = 0
        self.topics = {"t": 4}

    def known(self, topic: str) -> int:
        return self.topics.get(topic, 0)

    async def learn(self, topic: str) -> int:
        raise KafkaTimeoutError(f"no {topic}")

    async def send_batch(
        self, topic: str, partition: int, records: Iterable[Record]
    ) -> tuple[int, asyncio.Future[object]]:
        batch = list(islice(records, self.batch))
        assert all(record.topic == topic for record in batch)
        self.sent.extend(batch)
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        fate = self.script.pop(0) if self.script else None
        if fate is not None:
            future.set_exception(fate)
        elif self.hold:
            self.held.append(future)
        else:
            future.set_result(None)
        return len(batch), future

    async def renew(self) -> None:
        self.renewed += 1
        self.alive = True


def record(name: str, partition: int = 0) -> Record:
    return Record("t", name.encode(), b"v", partition=partition)


def no_refusal(refused: Record, error: BaseException) -> Sequence[Record]:
    raise AssertionError(f"{refused} was refused: {error}")


def names(producer: Scripted) -> list[str]:
    return [sent.key.decode() for sent in producer.sent if sent.key]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_stage_waits_for_all_of_the_one_before() -> None:
    producer, done = Scripted(hold=True), asyncio.Event()
    async with Outbox(producer, no_refusal) as outbox:
        outbox.put([[record("a"), record("b", 1)], [], [record("c")]], done.set)
        await settle()
        assert names(producer) == ["a", "b"]
        producer.held[1].set_result(None)
        await settle()
        assert names(producer) == ["a", "b"]
        producer.held[0].set_result(None)
        await settle()
        assert names(producer) == ["a", "b", "c"]
        assert not done.is_set()
        producer.held[2].set_result(None)
        await settle()
        assert done.is_set()
        assert outbox.open_count == 0


async def test_nothing_to_send_is_done_at_once() -> None:
    done = asyncio.Event()
    async with Outbox(Scripted(), no_refusal) as outbox:
        outbox.put([[], []], done.set)
        assert done.is_set()
        assert await outbox.drain(1000)


async def test_a_failed_record_goes_again_and_done_waits_for_it() -> None:
    producer, done = Scripted([KafkaTimeoutError(), KafkaTimeoutError()]), asyncio.Event()
    async with Outbox(producer, no_refusal, OutboxOptions(backoff_ms=1)) as outbox:
        outbox.put([[record("a")]], done.set)
        assert await outbox.drain(5000)
        assert names(producer) == ["a", "a", "a"]
        assert done.is_set()


async def test_a_refused_record_is_replaced_inside_its_stage() -> None:
    producer, done = Scripted([MessageSizeTooLargeError("1 MB")]), asyncio.Event()
    seen: list[tuple[Record, BaseException]] = []

    def replace(refused: Record, error: BaseException) -> Sequence[Record]:
        seen.append((refused, error))
        return [record("too_large")]

    async with Outbox(producer, replace) as outbox:
        outbox.put([[record("a")], [record("b")]], done.set)
        assert await outbox.drain(5000)
        assert names(producer) == ["a", "too_large", "b"]
        assert [refused.key for refused, _ in seen] == [b"a"]
        assert done.is_set()


async def test_replacements_that_are_refused_do_not_go_round_for_ever() -> None:
    producer = Scripted([MessageSizeTooLargeError("too large")] * 10)
    async with Outbox(producer, lambda refused, error: [refused]) as outbox:
        outbox.put([[record("a")]], lambda: pytest.fail("done without a record"))
        assert not await outbox.drain(5000)
        with pytest.raises(Unreachable, match="refused"):
            outbox.failed.result()


async def test_a_broker_that_is_gone_is_reported() -> None:
    producer = Scripted(hold=True)
    async with Outbox(producer, no_refusal, OutboxOptions(patience_ms=1)) as outbox:
        outbox.put([[record("a")]], lambda: pytest.fail("done without a confirmation"))
        with pytest.raises(Unreachable, match="no broker confirmed"):
            async with asyncio.timeout(90):
                await outbox.failed
        assert not await outbox.drain(1)


async def test_one_partition_keeps_its_order_over_many_puts() -> None:
    producer = Scripted()
    async with Outbox(producer, no_refusal) as outbox:
        for number in range(500):
            outbox.put([[record(str(number))]], lambda: None)
        assert await outbox.drain(5000)
        assert names(producer) == [str(number) for number in range(500)]


class Dying(Scripted):
    """Raises until it is renewed."""

    async def send_batch(
        self, topic: str, partition: int, records: Iterable[Record]
    ) -> tuple[int, asyncio.Future[object]]:
        if not self.renewed:
            self.alive = False
            raise KafkaTimeoutError("the sender died")
        return await super().send_batch(topic, partition, records)


async def test_a_dead_producer_is_replaced() -> None:
    producer, done = Dying(), asyncio.Event()
    async with Outbox(producer, no_refusal, OutboxOptions(backoff_ms=1)) as outbox:
        outbox.put([[record("a")]], done.set)
        assert await outbox.drain(5000)
        assert producer.renewed == 1
        assert done.is_set()


async def test_a_batch_that_failed_goes_again_in_the_same_order() -> None:
    producer = Scripted([KafkaTimeoutError()], batch=3)
    async with Outbox(producer, no_refusal, OutboxOptions(backoff_ms=1)) as outbox:
        outbox.put([[record("a"), record("b"), record("c")]], lambda: None)
        outbox.put([[record("d")]], lambda: None)
        assert await outbox.drain(5000)
        assert names(producer) == ["a", "b", "c", "a", "b", "c", "d"]


async def test_the_record_to_blame_for_a_refused_batch_is_found() -> None:
    too_large = MessageSizeTooLargeError("too large")
    producer = Scripted([too_large, None, too_large], batch=3)
    async with Outbox(producer, lambda refused, error: [record("too_large")]) as outbox:
        outbox.put([[record("a"), record("b"), record("c")]], lambda: None)
        assert await outbox.drain(5000)
        assert names(producer) == ["a", "b", "c", "a", "b", "c", "too_large"]


async def test_a_partition_that_does_not_exist_is_refused() -> None:
    refused: list[str] = []

    def note(gone: Record, error: BaseException) -> Sequence[Record]:
        refused.append(str(error))
        return []

    async with Outbox(Scripted(), note) as outbox:
        outbox.put([[record("a", 9)]], lambda: None)
        assert await outbox.drain(5000)
        assert "t has no partition 9, only 4" in refused[0]


async def test_a_topic_that_no_broker_tells_of_is_reported() -> None:
    async with Outbox(Scripted(), no_refusal, OutboxOptions(patience_ms=5, backoff_ms=1)) as outbox:
        outbox.put([[Record("elsewhere", b"k", b"v")]], lambda: pytest.fail("done without a record"))
        assert not await outbox.drain(5000)
        with pytest.raises(Unreachable, match="partitions of elsewhere"):
            outbox.failed.result()


async def test_a_done_that_raises_is_reported() -> None:
    def broken() -> None:
        raise ValueError("a bug")

    async with Outbox(Scripted(), no_refusal) as outbox:
        outbox.put([[record("a")]], broken)
        with pytest.raises(ValueError, match="a bug"):
            await asyncio.wait_for(outbox.failed, 5)
