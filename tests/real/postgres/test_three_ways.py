"""One bill, told by three, with the ledger on a real PostgreSQL."""

from tests.money.test_three_ways import *  # noqa: F403
