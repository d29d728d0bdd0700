"""One real PostgreSQL for every test of this folder.

Without --postgres one is installed (seconds when it was before) and started on a free port; what is missing for that is a
failure in one sentence."""

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from infra.background import ServerFailed, end
from infra.local import free_ports
from infra.postgres.server import start
from trivium.ledger.database import url_of

pytest.register_assert_rewrite("tests.contract.test_ledger_store")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `pytest tests/real/postgres`."""
    parser.addoption("--postgres", default="", metavar="URL", help="a server that runs, as one who may create databases; default: one is started")


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real PostgreSQL."""
    if given := str(request.config.getoption("postgres")):
        yield given
        return
    folder = tmp_path_factory.mktemp("postgres")
    try:
        addresses = start(*free_ports(1), print, folder).addresses
    except ServerFailed as error:
        pytest.fail(str(error), pytrace=False)
    yield addresses["TRIVIUM_LEDGER_DB"]
    end(folder)


@pytest.fixture
def ledger_database(postgres: str) -> Iterator[str]:
    """A database of its own for each test."""
    name = f"ledger_{uuid.uuid4().hex[:12]}"
    admin = create_engine(url_of(postgres), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield f"{postgres.rpartition('/')[0]}/{name}"
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()
