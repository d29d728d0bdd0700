"""One real Jaeger and one mesh for every test of this folder.

Without --jaeger a Jaeger is built (seconds when it was built before) and started on free ports; what is missing for
that is a failure in one sentence."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from infra.background import ServerFailed, end
from infra.jaeger.server import Ports, start
from infra.local import free_ports
from tests.real.jaeger.traced import TracedMesh, traced_mesh


@dataclass(frozen=True, slots=True)
class Jaeger:
    """Where it takes spans and where it is asked."""

    otlp: str
    traces: str


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `pytest tests/real/jaeger`."""
    text = "a Jaeger that runs: its OTLP/gRPC endpoint and its query API; default: one is started"
    parser.addoption("--jaeger", nargs=2, metavar=("OTLP_URL", "QUERY_URL"), default=None, help=text)


@pytest.fixture(scope="session")
def jaeger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    """A real Jaeger."""
    if given := request.config.getoption("jaeger"):
        yield Jaeger(*given)
        return
    folder = tmp_path_factory.mktemp("jaeger")
    try:
        addresses = start(Ports(*free_ports(2)), print, run=folder).addresses
    except ServerFailed as error:
        pytest.fail(str(error), pytrace=False)
    yield Jaeger(addresses["TRIVIUM_OTLP"], addresses["TRIVIUM_TRACES"])
    end(folder)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def traced(jaeger: Jaeger, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TracedMesh]:
    """The embedded mesh with its spans in Jaeger; every part is still there at the end."""
    async with traced_mesh(tmp_path_factory.mktemp("mesh"), jaeger.otlp, jaeger.traces) as running:
        yield running
        running.mesh.local.check()
