"""Options of the whole suite."""

from collections.abc import Iterator

import pytest

import infra.broker
from tests.leftovers import Leftovers
from tests.real_broker import Pool, RealBroker


def pytest_addoption(parser: pytest.Parser) -> None:
    """What may be real instead of embedded."""
    parser.addoption(
        "--broker", default="", metavar="HOST:PORT|own",
        help="a real Kafka, whose topics are deleted; own: started for this run; default: the embedded broker",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """With a real broker, every test that makes an embedded one gets that."""
    config.pluginmanager.register(Leftovers())
    if option := str(config.getoption("--broker")):
        RealBroker.pool = Pool(option)
        infra.broker.EmbeddedBroker = RealBroker  # type: ignore[misc, assignment]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started."""
    if hasattr(RealBroker, "pool"):
        RealBroker.pool.close()


@pytest.fixture(scope="session")
def real_broker(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a real Kafka that is this session's alone, without a topic; empty: use the embedded broker."""
    if not request.config.getoption("--broker"):
        yield ""
        return
    with RealBroker({}) as broker:
        yield broker.bootstrap
