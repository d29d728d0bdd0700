"""The embedded broker: topics of the right size, faults on command, and a program of its own."""

import json
import subprocess
import sys

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from infra.broker import BrokerError, EmbeddedBroker
from trivium.kafka.topics import REQUESTS, all_topics


async def partitions_seen(bootstrap: str, topic: str) -> int:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        return len(consumer.partitions_for_topic(topic) or ())
    finally:
        await consumer.stop()


async def test_topics_have_the_partitions_that_were_asked_for() -> None:
    with EmbeddedBroker({"wide": 12, "narrow": 1}) as broker:
        broker.create_topic("late", 7)
        assert [await partitions_seen(broker.bootstrap, name) for name in broker.topics] == [12, 1, 7]


async def test_two_brokers_live_side_by_side() -> None:
    with EmbeddedBroker({"a": 2}) as one, EmbeddedBroker({"a": 3}) as other:
        assert one.bootstrap != other.bootstrap
        assert await partitions_seen(one.bootstrap, "a") == 2
        assert await partitions_seen(other.bootstrap, "a") == 3


async def test_a_broker_that_is_down_refuses_and_comes_back_at_the_same_address() -> None:
    with EmbeddedBroker({"a": 1}) as broker:
        broker.set_down()
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, request_timeout_ms=500)
        with pytest.raises(KafkaError):
            await consumer.start()
        await consumer.stop()
        broker.set_up()
        assert await partitions_seen(broker.bootstrap, "a") == 1


def test_a_topic_without_partitions_is_refused() -> None:
    with pytest.raises(BrokerError, match="topic 'a' has 0 partitions"):
        EmbeddedBroker({"a": 0})


def test_its_address_is_only_known_while_it_runs() -> None:
    broker = EmbeddedBroker({"a": 1})
    with pytest.raises(BrokerError, match="not running"):
        _ = broker.bootstrap
    broker.start()
    broker.stop()
    broker.stop()
    with pytest.raises(BrokerError, match="not running"):
        broker.set_down()


async def test_as_a_program_it_says_where_it_is_and_leaves_on_sigterm() -> None:
    command = [sys.executable, "-m", "infra.broker", "--mesh", "--topic", "extra:3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            wanted = {topic.name: topic.partitions for topic in all_topics(())} | {"extra": 3}
            assert ready["topics"] == wanted
            assert await partitions_seen(ready["bootstrap"], REQUESTS) == wanted[REQUESTS]
        finally:
            process.terminate()
        assert process.wait(5) == 0


@pytest.mark.parametrize("arguments", [[], ["--topic", "a"], ["--topic", "a:0"], ["--topic", ":3"]])
def test_a_wrong_command_line_is_explained(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "infra.broker", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "error:" in ended.stderr
    assert "Traceback" not in ended.stderr
