"""What the ledger's store must do on every database, on a real PostgreSQL."""

from tests.contract.test_ledger_erasure import *  # noqa: F403
from tests.contract.test_ledger_store import *  # noqa: F403
