"""What the contract suites run against: stand-ins by default, real servers by option."""

import asyncio
import json
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import retrieval
from services.retrieval.milvus import Milvus, Place


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `pytest tests/contract`."""
    parser.addoption("--milvus", default="", help="URI of a Milvus server for the retriever's suite; default: Milvus Lite")


@pytest.fixture(scope="session")
def milvus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URI of the Milvus under test."""
    if uri := str(request.config.getoption("milvus", default="") or ""):
        yield uri
        return
    folder = tmp_path_factory.mktemp("milvus") / "lite.db"
    program = [sys.executable, "-P", str(Path(str(retrieval.__file__)).with_name("lite_server.py")), str(folder)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{json.loads(server.stdout.readline())['port']}"
        assert server.stdin is not None
        server.stdin.close()


@pytest.fixture(scope="session")
def milvus_collection(milvus: str) -> Iterator[str]:
    """One collection for the run, of a name that no service uses; dropped at the end."""
    name = f"trivium_test_{uuid.uuid4().hex[:12]}"
    yield name
    asyncio.run(_drop(milvus, name))


async def _drop(uri: str, collection: str) -> None:
    store = Milvus(Place(uri, lanes=1), 1)
    await store.connect()
    await store.drop(collection)
    await store.close()


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture
def ledger_database() -> str:
    """A database for the ledger's store, empty. In memory: half of the time went into files."""
    return ":memory:"
