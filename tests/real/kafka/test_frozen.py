"""A process that was frozen for longer than its group waits leaves, and whoever supervises it starts it again."""

import asyncio
import signal
from pathlib import Path

from infra.kafka.cluster import Cluster
from infra.local import LocalMesh
from tests.real.kafka.load import crowd, loading, make_topics, until_said

FROZEN_S = 6.0
"""Half as long again as the group waits (tests/real/kafka/load.py, QUICK)."""


async def freeze(mesh: LocalMesh, name: str) -> None:
    """SIGSTOP, SIGCONT; until another process has its place."""
    frozen = mesh.parts[name]
    frozen.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(FROZEN_S)
    frozen.process.send_signal(signal.SIGCONT)
    async with asyncio.timeout(120):
        while mesh.parts[name] is frozen or not mesh.parts[name].ready:
            mesh.check()
            await asyncio.sleep(0.05)


async def test_a_mesh_on_one_machine_starts_a_thawed_part_again_and_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    await make_topics(cluster.bootstrap)
    async with crowd(cluster.bootstrap, tmp_path) as one, loading(cluster.bootstrap, 8.0) as load:
        await load.until(20)
        for name in ("cloud", "router"):
            await freeze(one.mesh, name)
            await until_said(one.part(name).log, "frozen for")
        await load.until(60)
        one.mesh.check()
    load.check()
