"""One real Milvus for every test of this folder.

Without --milvus one is installed (seconds when it was before) and started on free ports; what is missing for that is a
failure in one sentence."""

from collections.abc import Iterator

import pytest

from infra.background import ServerFailed, end
from infra.local import free_ports
from infra.milvus.server import Ports, start
from tests.contract.conftest import free_port, milvus_collection

pytest.register_assert_rewrite("tests.contract.test_retriever", "tests.contract.test_retriever_sections")

__all__ = ["free_port", "milvus_collection"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `pytest tests/real/milvus`."""
    parser.addoption("--milvus", default="", metavar="URI", help="a Milvus server that runs; default: one is started")


@pytest.fixture(scope="session")
def milvus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URI of a real Milvus."""
    if given := str(request.config.getoption("milvus")):
        yield given
        return
    folder = tmp_path_factory.mktemp("milvus")
    try:
        addresses = start(Ports(*free_ports(2)), print, run=folder).addresses
    except ServerFailed as error:
        pytest.fail(str(error), pytrace=False)
    yield addresses["TRIVIUM_MILVUS"]
    end(folder)
