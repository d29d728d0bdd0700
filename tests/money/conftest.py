"""The ledger's database of these tests: SQLite; tests/real/postgres runs them on a PostgreSQL."""

from pathlib import Path

import pytest


@pytest.fixture
def ledger_database(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db")
