"""What cannot start says why in one sentence, and leaves with status 2 instead of waiting or showing a stack."""

import asyncio
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.integration.mesh.running import RunningMesh, command, program

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIMIT_S = 40.0
"""Of a busy machine that starts several at once; one alone leaves within 10 s."""
PATIENCE = {"TRIVIUM_CONNECT_TIMEOUT_MS": "1500", "TRIVIUM_KAFKA_WAIT_MS": "1500"}
"""A process waits for ever, a command for 8 s; what is tested is that a limit is kept and told."""
MODULES = {
    "router": "streams",
    "gateway": "services.gateway",
    "finetuned": "services.finetuned",
    "retrieval": "services.retrieval",
    "cloud": "services.cloud",
}


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address at which nobody listens: bound, so that nobody else takes it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def taken() -> Iterator[str]:
    """A port that somebody else has."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        yield str(bound.getsockname()[1])


async def refused(service: str, environ: Mapping[str, str]) -> str:
    """The one sentence that a process leaves with."""
    said = await program(MODULES[service], environ=environ, timeout_s=LIMIT_S)
    assert (said.status, said.out) == (2, ""), said
    assert "Traceback" not in said.err
    (line,) = (line for line in said.err.splitlines() if " INFO " not in line and "; waiting for it" not in line)
    assert line.startswith(f"trivium {service}: ")
    return line


async def test_a_setting_that_does_not_exist() -> None:
    for services in (("router", "gateway"), ("finetuned", "cloud"), ("retrieval",)):
        for told in await asyncio.gather(*(refused(service, {"TRIVIUM_KAFAK": "x"}) for service in services)):
            assert told.endswith("TRIVIUM_KAFAK is not a setting; did you mean TRIVIUM_KAFKA?")


async def test_a_value_of_the_wrong_kind() -> None:
    told = await refused("router", {"TRIVIUM_PARTITIONS": "twelve"})
    assert told.endswith("TRIVIUM_PARTITIONS must be a whole number, not 'twelve'")


async def test_a_broker_that_is_not_there(nowhere: str, tmp_path: Path) -> None:
    environ = {"TRIVIUM_KAFKA": nowhere, "TRIVIUM_MILVUS": str(tmp_path / "milvus.db"), **PATIENCE}
    environ |= {f"TRIVIUM_{name}_PORT": "0" for name in ("GATEWAY", "FINETUNED", "RETRIEVAL", "CLOUD")}
    for services in (("router", "gateway"), ("finetuned", "cloud"), ("retrieval",)):
        for told in await asyncio.gather(*(refused(service, environ) for service in services)):
            assert f"no Kafka broker answers at {nowhere}" in told


@pytest.mark.parametrize("service", ["router", "gateway"])
async def test_a_bad_policy(mesh: RunningMesh, service: str, tmp_path: Path) -> None:
    bad = tmp_path / "policy.yaml"
    bad.write_text("revision: 1\ntenants: {acme: {reply_topics: [trivium.responses]}}\nendpoints: {/a: nothing}\n")
    for path, word in ((bad, "policy.yaml:3: endpoints./a: no task type"), (tmp_path / "none.yaml", "none.yaml")):
        environ = mesh.local.environ() | {"TRIVIUM_POLICY": str(path), "TRIVIUM_GATEWAY_PORT": "0"}
        said = await program(MODULES[service], environ=environ, timeout_s=LIMIT_S)
        assert said.status == 2, said
        assert word in said.err
        assert "Traceback" not in said.err


@pytest.mark.parametrize("service", ["gateway", "finetuned", "retrieval", "cloud"])
async def test_a_port_in_use(mesh: RunningMesh, service: str, taken: str, tmp_path: Path) -> None:
    environ = mesh.local.environ() | {f"TRIVIUM_{service.upper()}_PORT": taken, "TRIVIUM_KAFKA_WORKER": "false"}
    environ |= {"TRIVIUM_MILVUS": str(tmp_path / "milvus.db")}
    assert taken in await refused(service, environ)


async def test_a_command_with_nothing_to_talk_to(nowhere: str, tmp_path: Path) -> None:
    environ = {"TRIVIUM_KAFKA": nowhere, "TRIVIUM_GATEWAY": nowhere, "TRIVIUM_RETRIEVAL": nowhere, "TRIVIUM_TRACES": f"http://{nowhere}"}
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "x"}\n')
    orders = (
        ("ask", "x", "--timeout", "3"), ("ingest", "docs/cache.md"), ("publish", rows), ("why", "x"), ("trace", "x"), ("ledger",),
        ("topics",), ("deadletter", "list"), ("deadletter", "replay"), ("cache", "drop", "--all"),
    )  # fmt: skip
    async def tried(order: tuple[str | Path, ...]) -> None:
        said = await command(*order, environ=environ | PATIENCE, timeout_s=LIMIT_S)
        assert said.status == 2, (order, said)
        assert "Traceback" not in said.err, (order, said)
        lines = [line for line in said.err.splitlines() if line.startswith("trivium: ")]
        assert len(lines) == 1, (order, said)
        assert nowhere in lines[0], (order, said)

    for some in (orders[:5], orders[5:]):
        await asyncio.gather(*map(tried, some))
