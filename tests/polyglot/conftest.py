"""The examples, and the meshes that they ask: one on the embedded broker, one on a real Kafka.

The real one is `--broker=HOST:PORT`; without it, one is fetched and started for the run."""

import signal
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest
import pytest_asyncio

from tests.integration.mesh.running import RunningMesh, running_mesh
from tests.polyglot.building import LANGUAGES, CannotBuild, Example, build
from tests.polyglot.real_kafka import real_kafka

EMBEDDED: Final = "embedded"
KAFKA: Final = "kafka"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Java's Kafka client cannot speak with the embedded broker. librdkafka's mock answers its first request (ApiVersions,
    version 4) with a refusal that is cut short, and the client reads an order to be silent for 20 minutes out of it."""
    out = [item for item in items if item.path.stem == "test_kafka_callers" and _parameters(item) == ("java", EMBEDDED)]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


def _parameters(item: pytest.Item) -> tuple[object, object]:
    parameters = item.callspec.params  # type: ignore[attr-defined]
    return parameters["example"], parameters["broker"]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A background job of a shell ignores SIGINT, and so does the JVM that it starts: then nobody can press Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", params=LANGUAGES)
def example(request: pytest.FixtureRequest) -> Example:
    """One language's example, built once."""
    try:
        return build(request.param)
    except CannotBuild as error:
        said = str(error)
    pytest.fail(said, pytrace=False)


@pytest.fixture(scope="session")
def kafka(real_broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real Kafka."""
    if real_broker:
        yield real_broker
        return
    with real_kafka(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session", params=[EMBEDDED, KAFKA])
def broker(request: pytest.FixtureRequest) -> str:
    """Which broker the mesh stands on: its address, empty for the embedded one."""
    return "" if request.param == EMBEDDED else str(request.getfixturevalue("kafka"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningMesh]:
    async with running_mesh(tmp_path_factory.mktemp("mesh"), broker) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def mesh(shared: RunningMesh) -> AsyncIterator[RunningMesh]:
    """The mesh, without faults; every part of it is still there after the test."""
    yield shared
    for standin in ("model", "cloud"):
        await shared.control(standin, clear=True, ttft_ms=0, tpot_ms=0)
    shared.local.check()
