"""One mesh for every test of this folder: starting it takes longer than most of them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.mesh.running import RunningMesh, running_mesh

FETCH_MS = "40"
"""The embedded broker answers a fetch only when its wait is over. With 10 ms, as in the demo, two idle meshes take most of two cores."""


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory, real_broker: str) -> AsyncIterator[RunningMesh]:
    environ = {} if real_broker else {"TRIVIUM_FETCH_MAX_WAIT_MS": FETCH_MS}
    async with running_mesh(tmp_path_factory.mktemp("mesh"), real_broker, environ=environ) as running:
        yield running
        running.local.check()


@pytest_asyncio.fixture(loop_scope="session")
async def mesh(shared: RunningMesh) -> AsyncIterator[RunningMesh]:
    """The mesh, without faults; every part of it is still there after the test."""
    yield shared
    for standin in ("model", "cloud"):
        await shared.control(standin, clear=True, ttft_ms=0, tpot_ms=0)
    shared.local.check()
