"""Three nodes, replication 3, min.insync.replicas 2: any one of them may be lost, and writing goes on."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError

from infra.kafka.cluster import Cluster
from tests.real.kafka.conftest import Make
from tests.real.kafka.load import crowd, loading, make_topics, terminals_in_log
from trivium.kafka.admin import admin
from trivium.kafka.topics import REQUESTS


@pytest.fixture(scope="module")
def three(make_cluster: Make) -> Cluster:
    return make_cluster(nodes=3)


async def until_led_by(bootstrap: str, nodes: set[int]) -> None:
    """Until the partitions of the requests are led by exactly these nodes."""
    found: set[int] = set()
    async with asyncio.timeout(120), admin(bootstrap) as client:
        while found != nodes:
            # Asks any node that the cluster tells of, also the one that has just died.
            with contextlib.suppress(KafkaError):
                (topic,) = await client.describe_topics([REQUESTS])
                found = {partition["leader"] for partition in topic["partitions"]}
            await asyncio.sleep(0.1)


async def test_a_leader_is_lost_under_load_and_nothing_else(three: Cluster, tmp_path: Path) -> None:
    await make_topics(three.bootstrap, replication=3)
    await until_led_by(three.bootstrap, {1, 2, 3})
    async with crowd(three.bootstrap, tmp_path) as mesh, loading(three.bootstrap, 15.0) as load:
        await load.until(60)
        await asyncio.to_thread(three.kill, 1)
        await until_led_by(three.nodes[1].address, {2, 3})
        await load.until(150)
        await asyncio.to_thread(three.start, 512, lambda _sentence: None)
        await load.until(60)
        mesh.mesh.check()
    load.check()
    in_log = await terminals_in_log(three.bootstrap, load.prefix)
    print(f"{load.sent} requests, slowest {load.slowest_ms} ms, repeated terminals {in_log.total() - len(in_log)}")
    assert len(in_log) == load.sent
