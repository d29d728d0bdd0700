"""One mesh for every test of this folder: starting it takes longer than most of them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.mesh.running import RunningMesh, running_mesh


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory, real_broker: str) -> AsyncIterator[RunningMesh]:
    async with running_mesh(tmp_path_factory.mktemp("mesh"), real_broker) as running:
        yield running
        running.local.check()


@pytest_asyncio.fixture(loop_scope="session")
async def mesh(shared: RunningMesh) -> AsyncIterator[RunningMesh]:
    """The mesh, without faults; every part of it is still there after the test."""
    yield shared
    for standin in ("model", "cloud"):
        await shared.control(standin, clear=True, ttft_ms=0, tpot_ms=0)
    shared.local.check()
