"""SASL/SCRAM over TLS and the reference ACLs: the whole mesh works with them, and the cloud cannot read restricted work."""

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError, for_code

from infra.kafka.acls import Acl, Operation, Pattern, Resource, compare, read_acls
from infra.kafka.cluster import Cluster
from infra.kafka.security import OPERATOR
from infra.local import LocalMesh, MeshOptions
from tests.integration.mesh.running import Said, program
from tests.real.kafka.conftest import Make
from tests.real.kafka.load import make_topics
from trivium.client import KafkaClient, TriviumClient, request
from trivium.core.errors import TriviumError
from trivium.core.policy import Tier
from trivium.kafka.admin import admin
from trivium.kafka.producer import Producer
from trivium.kafka.reader import ReaderOptions, connected
from trivium.kafka.record import Record
from trivium.kafka.security import arguments, read_kafka
from trivium.kafka.topics import (
    CACHE,
    DEADLETTER,
    LEDGER,
    OUTCOMES,
    PATIENT,
    REQUESTS,
    RESPONSES,
    Lane,
    attempts,
    lanes,
    work,
)

PARTS = ("router", "gateway", "finetuned", "retrieval", "cloud")
RESTRICTED = (
    REQUESTS, OUTCOMES, RESPONSES, LEDGER, DEADLETTER, "trivium.replies.globex",
    *(work(tier, lane) for tier in (Tier.FINETUNED, Tier.RETRIEVAL) for lane in Lane if lane is not Lane.BATCH or tier in PATIENT),
    attempts(Tier.FINETUNED), attempts(Tier.RETRIEVAL),
)  # fmt: skip
CANARY = "canary-4711-kingfisher"


def as_principal(cluster: Cluster, principal: str) -> str:
    """Bootstrap servers that are spoken to as this principal."""
    return read_kafka({"TRIVIUM_KAFKA": cluster.bootstrap, **cluster.vault.environ(principal)}).bootstrap


@pytest.fixture(scope="module")
def secure(make_cluster: Make) -> Cluster:
    """One node with topics and the reference ACLs."""
    cluster = make_cluster(secure=True)
    operator = as_principal(cluster, OPERATOR)

    async def prepare() -> None:
        await make_topics(operator)
        assert (await compare(operator, read_acls(), apply=True)).missing
        assert not (await compare(operator, read_acls())).missing

    asyncio.run(prepare())
    return cluster


def mesh_options(cluster: Cluster, folder: Path) -> MeshOptions:
    own: Mapping[str, Mapping[str, str]] = {name: cluster.vault.environ(name) for name in PARTS}
    return MeshOptions(data=folder / "mesh", kafka=cluster.bootstrap, traces=False, part_environ=own)


async def test_the_whole_mesh_answers_over_sasl_and_tls(secure: Cluster, tmp_path: Path) -> None:
    producers = as_principal(secure, "producers")
    async with LocalMesh(mesh_options(secure, tmp_path)) as mesh, KafkaClient(producers, "acme") as kafka:
        tiers = set()
        for endpoint in ("/classify", "/translate", "/policy-question"):
            terminal = await kafka.ask(request("acme", f"What is this about? {endpoint}", endpoint=endpoint), timeout_ms=30_000)
            assert terminal.kind.value == "answered"
            tiers.add(terminal.target.partition("/")[0])
        assert {"finetuned", "cloud"} <= tiers
        restricted = request("acme", f"My secret is {CANARY}", endpoint="/classify", sensitivity="restricted")
        terminal = await kafka.ask(restricted, timeout_ms=30_000)
        assert (terminal.kind.value, terminal.target.partition("/")[0]) == ("answered", "finetuned")
        async with TriviumClient(mesh.addresses.gateway) as grpc:
            assert (await grpc.complete(request("acme", "Where is it?", endpoint="/classify"), timeout_s=30)).kind.value == "answered"
        mesh.check()
        refused = [p.part.name for p in mesh.parts.values() if "AuthorizationFailed" in p.log.read_text()]
        assert not refused, f"the reference ACLs refuse {refused} something it needs"
    passwords = [secure.vault.password(name) for name in PARTS]
    logs = "".join(p.log.read_text() for p in mesh.parts.values())
    assert not [p for p in passwords if p in logs]


async def first_value(bootstrap: str, topic: str) -> bytes | None:
    """What a consumer finds first in partition 0. TopicAuthorizationFailedError when it may not look, or not read."""
    async with admin(bootstrap) as client:
        (told,) = await client.describe_topics([topic])
    if error := told["error_code"]:
        raise for_code(error)(topic)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest", **arguments(bootstrap))
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        found = await consumer.getmany(timeout_ms=10_000)
    finally:
        await consumer.stop()
    return next((records[0].value for records in found.values() if records), None)


@pytest.mark.parametrize("topic", RESTRICTED)
async def test_the_cloud_cannot_read_what_carries_restricted_work(secure: Cluster, topic: str) -> None:
    operator = as_principal(secure, OPERATOR)
    async with Producer(operator) as producer:
        await producer.publish(Record(topic, b"k", CANARY.encode(), (), 0), 10_000)
    assert await first_value(operator, topic), "the operator reads it"
    with pytest.raises(TopicAuthorizationFailedError):
        await first_value(as_principal(secure, "cloud"), topic)


async def test_a_denial_outlives_an_allowance_that_is_too_wide(secure: Cluster) -> None:
    operator, cloud = as_principal(secure, OPERATOR), as_principal(secure, "cloud")
    wide = Acl("cloud", Resource.TOPIC, "trivium.", Pattern.PREFIXED, Operation.ALL, True)
    await compare(operator, [wide], apply=True)
    assert await first_value(cloud, CACHE) is None, "the allowance is in force"
    for topic in (REQUESTS, work(Tier.FINETUNED, Lane.RESTRICTED)):
        with pytest.raises(TopicAuthorizationFailedError):
            await first_value(cloud, topic)


async def test_the_cloud_reads_its_own_lanes_and_nobody_else_does_it_for_it(secure: Cluster) -> None:
    for topic in lanes(Tier.CLOUD):
        async with connected(as_principal(secure, "cloud"), topic, ReaderOptions()) as consumer:
            assert consumer.assignment()
    with pytest.raises((TriviumError, KafkaError)):
        async with asyncio.timeout(90), connected(as_principal(secure, "producers"), work(Tier.CLOUD), ReaderOptions()) as consumer:
            await consumer.end_offsets(consumer.assignment())


async def test_a_product_cannot_write_an_outcome(secure: Cluster) -> None:
    async with Producer(as_principal(secure, "producers")) as producer:
        with pytest.raises(KafkaError):
            await producer.publish(Record(OUTCOMES, b"acme/x", b"forged", (), 0), 10_000)


async def test_the_programs_own_command_says_what_a_broker_lacks(secure: Cluster) -> None:
    said = await acls(secure, OPERATOR, "--json", "--principals", "other-{}")
    assert said.status == 1
    assert "other-cloud may not read topic trivium.requests" in said.lines[0]["missing"]
    assert (await acls(secure, OPERATOR)).status == 0
    refused = await acls(secure, "cloud")
    assert refused.status == 2
    assert "ClusterAuthorizationFailed" in refused.err
    assert "Traceback" not in refused.err


async def acls(cluster: Cluster, principal: str, *arguments: str) -> Said:
    environ = {"TRIVIUM_KAFKA": cluster.bootstrap, **cluster.vault.environ(principal)}
    return await program("infra.kafka", "acls", *arguments, environ=environ)


async def test_a_wrong_password_is_one_sentence_and_no_waiting(secure: Cluster, tmp_path: Path) -> None:
    environ = {"TRIVIUM_KAFKA": secure.bootstrap, **secure.vault.environ("cloud"), "TRIVIUM_KAFKA_PASSWORD": "wr0ng"}
    said = await program("services.cloud", environ={**environ, "TRIVIUM_CLOUD_PORT": "0", "TRIVIUM_CLOUD_KEY": "x"}, timeout_s=40)
    assert said.status == 2
    assert "refuses this client: wrong password or unknown user 'cloud'" in said.err
    assert "wr0ng" not in said.err
    assert "Traceback" not in said.err


def test_what_was_made_is_readable_by_its_owner_alone(secure: Cluster) -> None:
    open_to_others = [p.name for p in secure.vault.folder.iterdir() if p.stat().st_mode & 0o077 and re.search(r"key|env|json|node\.pem", p.name)]
    assert not open_to_others
    assert secure.vault.folder.stat().st_mode & 0o077 == 0
    assert os.access(secure.vault.ca, os.R_OK)
