"""Two routers and two instances of each tier come, go, are told to leave and are killed under load: nothing is lost."""

import asyncio
import urllib.request
from pathlib import Path

from infra.kafka.cluster import Cluster
from tests.real.kafka.load import crowd, loading, make_topics, terminals_in_log

RATE = 25.0


async def test_routers_and_tiers_join_leave_and_are_killed_under_load(cluster: Cluster, tmp_path: Path) -> None:
    await make_topics(cluster.bootstrap)
    async with crowd(cluster.bootstrap, tmp_path) as mesh, loading(cluster.bootstrap, RATE) as load:
        await load.until(40)
        joined = await asyncio.gather(
            mesh.join("router-2", "streams"), mesh.join("finetuned-2", "services.finetuned"),
            mesh.join("retrieval-2", "services.retrieval"), mesh.join("cloud-2", "services.cloud"),
        )  # fmt: skip
        await mesh.fill(f"127.0.0.1:{joined[2].ready['port']}")
        await load.until(100)
        await mesh.leave("cloud")
        await mesh.leave("router")
        await load.until(100)
        await mesh.join("router-3", "streams")
        await load.until(60)
        await mesh.kill("router-2")
        await load.until(100)
        await mesh.kill("finetuned")
        await mesh.join("cloud-3", "services.cloud")
        await mesh.kill("retrieval")
        await load.until(100)
        await mesh.join("finetuned-3", "services.finetuned")
        await mesh.kill("cloud-2")
        await load.until(100)
    load.check()
    in_log = await terminals_in_log(cluster.bootstrap, load.prefix)
    print(f"{load.sent} requests, {dict(load.tiers)}, slowest {load.slowest_ms} ms, repeated terminals {in_log.total() - len(in_log)}")
    assert len(in_log) == load.sent
    assert {"finetuned", "retrieval", "cloud"} <= set(load.tiers)
    # A terminal may be written twice when its router died between the terminal and its commit: the same one.
    assert in_log.total() - len(in_log) <= load.sent // 10


async def test_a_second_instance_of_each_part_shares_the_work(cluster: Cluster, tmp_path: Path) -> None:
    await make_topics(cluster.bootstrap)
    async with crowd(cluster.bootstrap, tmp_path) as mesh:
        for name, module in (("router-2", "streams"), ("finetuned-2", "services.finetuned")):
            await mesh.join(name, module)
        async with loading(cluster.bootstrap, RATE) as load:
            await load.until(150)
        load.check()
        for name in ("router", "router-2", "finetuned", "finetuned-2"):
            said = await asyncio.to_thread(_metrics, int(mesh.part(name).ready["ops_port"]))
            assert _worked(said) > 0, (name, said[:3_000])


def _metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def _worked(metrics: str) -> float:
    """Terminals of a router, or calls of a tier."""
    names = ("trivium_terminals_total", "trivium_attempts_total")
    return sum(float(line.rsplit(" ", 1)[1]) for line in metrics.splitlines() if line.startswith(names))


async def test_a_static_member_that_comes_back_in_time_takes_its_partitions_without_a_rebalance(cluster: Cluster, tmp_path: Path) -> None:
    await make_topics(cluster.bootstrap)
    static = {"TRIVIUM_STATIC_MEMBER": "true", "TRIVIUM_SESSION_TIMEOUT_MS": "20000"}
    async with crowd(cluster.bootstrap, tmp_path, environ=static) as mesh:
        for name, module in (("router-2", "streams"), ("finetuned-2", "services.finetuned")):
            await mesh.join(name, module, TRIVIUM_INSTANCE=f"{name}-stays")
        async with loading(cluster.bootstrap, RATE) as load:
            await load.until(100)
            for name in ("router-2", "finetuned-2"):
                await mesh.kill(name)
            await mesh.join("router-2b", "streams", TRIVIUM_INSTANCE="router-2-stays")
            await mesh.join("finetuned-2b", "services.finetuned", TRIVIUM_INSTANCE="finetuned-2-stays")
            await load.until(150)
    load.check()
    print(f"{load.sent} requests, slowest {load.slowest_ms} ms")
    assert len(await terminals_in_log(cluster.bootstrap, load.prefix)) == load.sent
