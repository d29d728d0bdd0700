"""One real PostgreSQL for every test of this folder.

Without --postgres one is installed (seconds when it was before) and started on a free port; what is missing for that is a
failure in one sentence."""

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from infra.background import ServerFailed, end
from infra.local import free_ports
from infra.postgres.server import start
from trivium.ledger.database import url_of

pytest.register_assert_rewrite("tests.contract.test_ledger_store", "tests.contract.test_ledger_erasure", "tests.money.test_three_ways")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `pytest tests/real/postgres`."""
    parser.addoption("--postgres", default="", metavar="URL", help="a database that may be EMPTIED; default: a server is started")


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
def ledger_database(postgres: str) -> str:
    """The database, emptied first. One for all tests: making a new one takes PostgreSQL longer than most of them."""
    admin = create_engine(url_of(postgres))
    with admin.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    admin.dispose()
    return postgres
