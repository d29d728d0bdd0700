"""`trivium topics` on a real broker, and what the topics that it made carry."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from infra.broker import EmbeddedBroker
from infra.kafka.cluster import Cluster
from tests.integration.mesh.running import Said, command, new_id
from tests.integration.router.conftest import POLICY, World, _keep, _read
from tests.real.kafka.conftest import Make
from trivium.core.outcome import Answer, ReasonCode, TerminalKind
from trivium.core.policy import Tier
from trivium.kafka.admin import admin, ensure
from trivium.kafka.layout import Layout
from trivium.kafka.outbox import Outbox
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.topics import DEADLETTER, LEDGER, OUTCOMES, RESPONSES, all_topics, lanes

LARGEST = 4_000_000


async def topics(cluster: Cluster, *arguments: str, **environ: str) -> Said:
    return await command("topics", *arguments, "--json", environ={"TRIVIUM_KAFKA": cluster.bootstrap} | environ)


@pytest.fixture(scope="module")
def empty(make_cluster: Make) -> Cluster:
    return make_cluster()


async def test_topics_are_missing_then_created_then_right(empty: Cluster) -> None:
    before = await topics(empty)
    assert before.status == 1
    assert {line["state"] for line in before.lines} == {"missing"}
    made = await topics(empty, "--create")
    assert (made.status, {line["state"] for line in made.lines}) == (0, {"created"})
    again = await topics(empty)
    assert (again.status, {line["state"] for line in again.lines}) == (0, {"right"}), again.out


async def test_drift_is_told_and_repaired_but_for_what_loses_records(empty: Cluster) -> None:
    await topics(empty, "--create")
    settings = {"retention.ms": "60000", "message.timestamp.type": "CreateTime", "compression.type": "zstd"}
    async with admin(empty.bootstrap) as client:
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "trivium.requests", settings)])
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "trivium.ledger", {"retention.ms": "-1"})])
        # The controller answers before the broker knows of it.
        async with asyncio.timeout(90):
            while len((told := await topics(empty)).lines_of(state="drift")) < 2:
                pass
    drifted = {line["topic"]: {d["what"] for d in line["drift"]} for line in told.lines_of(state="drift")}
    # Kafka's alter replaced all settings of both, the largest record among them.
    assert {"retention.ms", "message.timestamp.type", "max.message.bytes"} <= drifted["trivium.requests"]
    assert told.status == 1
    repaired = await topics(empty, "--repair")
    assert repaired.lines_of(topic="trivium.requests")[0]["state"] == "repaired"
    (kept,) = (d for d in repaired.lines_of(topic="trivium.ledger")[0]["drift"] if d["what"] == "retention.ms")
    assert (kept["is"], kept["repairable"]) == ("-1", False)
    async with admin(empty.bootstrap) as client:
        (response,) = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "trivium.requests")])
        found = {entry[0]: entry[1] for entry in response.resources[0][4]}
    assert found["compression.type"] == "zstd", "what somebody else set stays"
    left = await topics(empty)
    assert [line["topic"] for line in left.lines_of(state="drift")] == ["trivium.ledger"]


async def test_another_number_of_partitions_is_told_and_never_changed(empty: Cluster) -> None:
    await topics(empty, "--create")
    other = await topics(empty, "--repair", TRIVIUM_PARTITIONS="16")
    assert other.status == 1
    (drift,) = (d for d in other.lines_of(topic="trivium.outcomes")[0]["drift"] if d["what"] == "partitions")
    assert (drift["is"], drift["should_be"], drift["repairable"]) == ("12", "16", False)


async def test_more_replicas_than_brokers_are_refused_in_one_sentence(make_cluster: Make) -> None:
    said = await topics(make_cluster(), "--create", TRIVIUM_REPLICATION="3")
    assert said.status == 2
    assert "InvalidReplicationFactor" in said.err
    assert "Traceback" not in said.err


@asynccontextmanager
async def world(bootstrap: str, folder: Path) -> AsyncIterator[World]:
    """The router's test world on this broker, with the topics of a real mesh and its largest record."""
    policy = folder / "policy.yaml"
    await asyncio.to_thread(policy.write_text, POLICY)
    await ensure(bootstrap, all_topics(["trivium.replies.globex"], 12), Layout(1, LARGEST), create=True)
    environ = {"TRIVIUM_KAFKA": bootstrap, "TRIVIUM_POLICY": str(policy), "TRIVIUM_DATADIR": str(folder / "faust")}
    read = [DEADLETTER, LEDGER, RESPONSES, OUTCOMES, *(name for tier in Tier for name in lanes(tier))]
    consumer = AIOKafkaConsumer(*read, bootstrap_servers=bootstrap, auto_offset_reset="latest", enable_auto_commit=False)
    await consumer.start()
    broker: Any = cast(EmbeddedBroker, SimpleNamespace(bootstrap=bootstrap))
    async with Producer(bootstrap, ProducerOptions(max_record_bytes=LARGEST)) as producer, Outbox(producer, _keep) as outbox:
        world = World(broker, environ, producer, outbox)
        reading = asyncio.create_task(_read(world, consumer))
        try:
            yield world
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await consumer.stop()


@pytest.mark.parametrize("size", [2_000_000, 3_900_000])
async def test_a_terminal_of_megabytes_reaches_its_caller_whole(empty: Cluster, tmp_path: Path, size: int) -> None:
    text = "0123456789" * (size // 10)
    async with world(empty.bootstrap, tmp_path) as around, around.router():
        around.behaviour = lambda _work: Answer(text, confidence=0.9)
        identity = await around.ask(f"a long answer of {size}", id=new_id())
        terminal = await around.terminal(identity)
    assert terminal.kind is TerminalKind.ANSWERED
    assert terminal.answer is not None
    assert terminal.answer.text == text


async def test_what_no_topic_takes_ends_as_a_failure_not_as_silence(empty: Cluster, tmp_path: Path) -> None:
    async with world(empty.bootstrap, tmp_path) as around, around.router():
        # JSON writes each of these characters with two.
        around.behaviour = lambda _work: Answer('"' * 2_500_000, confidence=0.9)
        terminal = await around.terminal(await around.ask("a longer answer than any record", as_json=True, id=new_id()))
    assert terminal.kind is TerminalKind.FAILED
    assert terminal.reason is not None
    assert terminal.reason.code is ReasonCode.TOO_LARGE
