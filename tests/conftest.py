"""Options of the whole suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """What may be real instead of embedded."""
    parser.addoption("--broker", default="", metavar="HOST:PORT", help="a real Kafka for the mesh; default: the embedded broker")


@pytest.fixture(scope="session")
def real_broker(request: pytest.FixtureRequest) -> str:
    """Address of the real Kafka that was given; empty: use the embedded broker."""
    return str(request.config.getoption("broker"))
