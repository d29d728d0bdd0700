"""What the parts of a mesh write while everything is well: nothing for each call, and no stack."""

import pytest

from tests.integration.mesh.running import RunningMesh

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_calls_leave_no_line_in_any_log(mesh: RunningMesh) -> None:
    logs = sorted((mesh.local.options.data / "logs").iterdir())
    before = {log.name: log.read_text() for log in logs}
    for endpoint in ("/sentiment", "/translate", "/policy-question", "/troubleshoot"):
        await mesh.by_grpc(endpoint=endpoint, prompt="Are restricted requests written to the cache?", cache="bypass")
        await mesh.by_kafka(endpoint=endpoint, prompt="Are restricted requests written to the cache?", cache="bypass")
    assert {log.name: log.read_text() for log in logs} == before
