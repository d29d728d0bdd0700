"""Three nodes, replication 3, min.insync.replicas 2: any one of them may be lost, and writing goes on."""

import asyncio
from pathlib import Path

import pytest

from infra.kafka.cluster import Cluster
from tests.real.kafka.conftest import Make
from tests.real.kafka.load import crowd, loading, make_topics, terminals_in_log
from trivium.kafka.admin import admin
from trivium.kafka.topics import REQUESTS


@pytest.fixture(scope="module")
def three(make_cluster: Make) -> Cluster:
    return make_cluster(nodes=3)


async def leaders(bootstrap: str) -> dict[int, int]:
    """Node -> partitions of the requests that it leads."""
    async with admin(bootstrap) as client:
        (topic,) = await client.describe_topics([REQUESTS])
    found = [partition["leader"] for partition in topic["partitions"]]
    return {node: found.count(node) for node in set(found)}


async def test_a_leader_is_lost_under_load_and_nothing_else(three: Cluster, tmp_path: Path) -> None:
    await make_topics(three.bootstrap, replication=3)
    before = await leaders(three.bootstrap)
    assert before.keys() == {1, 2, 3}
    async with crowd(three.bootstrap, tmp_path) as mesh, loading(three.bootstrap, 15.0) as load:
        await load.until(60)
        await asyncio.to_thread(three.kill, 1)
        await load.until(150)
        assert 1 not in await leaders(three.nodes[1].address)
        await asyncio.to_thread(three.start, 512, lambda _sentence: None)
        await load.until(60)
        mesh.mesh.check()
    load.check()
    in_log = await terminals_in_log(three.bootstrap, load.prefix)
    print(f"{load.sent} requests, slowest {load.slowest_ms} ms, repeated terminals {in_log.total() - len(in_log)}")
    assert len(in_log) == load.sent
