"""The broker is not there yet, or goes away for a while: processes wait with a message, and go on by themselves."""

import asyncio
import time
from pathlib import Path

from infra.kafka.cluster import Cluster
from infra.local import LocalMesh
from tests.real.kafka.conftest import Make
from tests.real.kafka.load import QUICK, Crowd, crowd, loading, make_topics, terminals_in_log, until_said
from trivium.client import KafkaClient, request

PARTS = ("router", "gateway", "finetuned", "retrieval", "cloud")
WAITING = "waiting for it, and going on by itself"


def silent(_sentence: str) -> None:
    return


async def test_a_mesh_that_starts_before_its_broker_waits_and_answers_once_it_is_there(cluster: Cluster, tmp_path: Path) -> None:
    await make_topics(cluster.bootstrap)
    await asyncio.to_thread(cluster.stop)
    back = asyncio.create_task(_start_once_all_wait(cluster, tmp_path))
    async with crowd(cluster.bootstrap, tmp_path) as mesh:
        await back
        async with KafkaClient(cluster.bootstrap, "acme") as client:
            terminal = await client.ask(request("acme", "Where is my parcel?", endpoint="/classify"), timeout_ms=30_000)
        assert terminal.kind.value == "answered"
        mesh.mesh.check()


async def _start_once_all_wait(cluster: Cluster, folder: Path) -> None:
    logs = [folder / "mesh" / "logs" / f"{name}.log" for name in PARTS]
    until = time.monotonic() + 25
    while not all(log.exists() and WAITING in log.read_text() for log in logs):
        assert time.monotonic() < until, [log.name for log in logs if not log.exists() or WAITING not in log.read_text()]
        await asyncio.sleep(0.1)
    assert f"no Kafka broker answers at {cluster.bootstrap}" in logs[0].read_text()
    await asyncio.to_thread(cluster.start, 512, silent)


async def test_a_mesh_that_starts_before_its_topics_waits_for_them(make_cluster: Make, tmp_path: Path) -> None:
    bare = make_cluster()
    made = asyncio.create_task(_make_topics_once_all_wait(bare, tmp_path))
    async with crowd(bare.bootstrap, tmp_path) as mesh:
        await made
        async with KafkaClient(bare.bootstrap, "acme") as client:
            terminal = await client.ask(request("acme", "Where is my parcel?", endpoint="/classify"), timeout_ms=30_000)
        assert terminal.kind.value == "answered"
        mesh.mesh.check()


async def _make_topics_once_all_wait(cluster: Cluster, folder: Path) -> None:
    for name in PARTS:
        await until_said(folder / "mesh" / "logs" / f"{name}.log", "(`trivium topics --create` makes them); waiting")
    await make_topics(cluster.bootstrap)


async def test_a_process_that_waits_leaves_when_told(cluster: Cluster, tmp_path: Path) -> None:
    await make_topics(cluster.bootstrap)
    async with crowd(cluster.bootstrap, tmp_path) as mesh:
        for name, module in (("router-2", "streams"), ("cloud-2", "services.cloud"), ("gateway-2", "services.gateway")):
            joining = asyncio.create_task(mesh.join(name, module, TRIVIUM_KAFKA="127.0.0.1:1"))
            await until_said(tmp_path / f"{name}.log", WAITING)
            await mesh.leave(name)
            await asyncio.gather(joining, return_exceptions=True)


async def test_a_broker_that_is_killed_and_comes_back_under_load_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    await make_topics(cluster.bootstrap)
    async with crowd(cluster.bootstrap, tmp_path, environ=QUICK) as mesh, loading(cluster.bootstrap, 15.0) as load:
        await load.until(60)
        pids = _pids(mesh)
        await asyncio.to_thread(cluster.kill, 1)
        await asyncio.sleep(12)  # A broker away for longer than any session and any request timeout of a client.
        await asyncio.to_thread(cluster.start, 512, silent)
        await load.until(150)
        assert _pids(mesh) == pids, "a process left while the broker was away"
    load.check()
    in_log = await terminals_in_log(cluster.bootstrap, load.prefix)
    print(f"{load.sent} requests, slowest {load.slowest_ms} ms, repeated terminals {in_log.total() - len(in_log)}")
    assert len(in_log) == load.sent


def _pids(mesh: Crowd) -> dict[str, int]:
    running: LocalMesh = mesh.mesh
    return {name: part.process.pid for name, part in running.parts.items() if part.process.returncode is None}
