"""Opening a database, and the few statements that differ between SQLite and PostgreSQL."""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Column, Connection, Engine, Table, create_engine, event, inspect, make_url, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, NoSuchModuleError

from trivium.core.errors import BadSetting, Unreachable
from trivium.ledger.schema import VERSION, meta, metadata

_LOCK: Final = 0x7472_6976  # "triv"
_AT_ONCE: Final = 1_000
"""Keys in one question: some databases take no more parameters than 32,766."""
_WAIT_S: Final = 5


def url_of(database: str) -> str:
    """The SQLAlchemy URL of a setting: a URL as it is, a file name as SQLite's. BadSetting for any other database."""
    named = database if "://" in database else f"sqlite:///{database}"
    try:
        url = make_url(named)
    except ArgumentError:
        raise BadSetting("the ledger's database (TRIVIUM_LEDGER_DB, --db) is neither a file name nor a URL like postgresql://user@host/name") from None
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise BadSetting(f"the ledger's database (TRIVIUM_LEDGER_DB, --db) is of the kind {backend!r}; it must be sqlite or postgresql")
    if backend == "postgresql" and url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return url.render_as_string(hide_password=False)


def shown(database: str) -> str:
    """The same without its password."""
    return make_url(url_of(database)).render_as_string(hide_password=True)


def opened(database: str, create: bool = True) -> Engine:
    """The database with its tables. Raises BadSetting, Unreachable when it is not there (or has no tables and `create` is
    not said)."""
    url = url_of(database)
    path = make_url(url).database
    if url.startswith("sqlite") and path and path != ":memory:":
        if create:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        elif not Path(path).exists():
            raise Unreachable(f"there is no ledger at {path}: python -m services.ledger makes it")
    engine = _engine(url)
    try:
        prepare(engine, create)
    except DBAPIError as error:
        engine.dispose()
        raise Unreachable(f"the ledger's database {shown(database)} cannot be used: {reason_of(error)}") from None
    except BaseException:
        engine.dispose()
        raise
    return engine


def reason_of(error: DBAPIError) -> str:
    """What the database's own library says, in one line."""
    return " ".join(str(error.orig).split())


def locked(connection: Connection) -> None:
    """Nobody else writes until this transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def snapshot(connection: Connection) -> None:
    """All questions of this connection see one moment. Before the first of them."""
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="REPEATABLE READ")
    else:
        connection.exec_driver_sql("BEGIN")


def put(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], keep: bool = False) -> None:
    """Insert rows, or replace those that are there (`keep`: leave them)."""
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    keys = list(table.primary_key.columns)
    others = {name: statement.excluded[name] for name in rows[0] if name not in table.primary_key.columns}
    if keep or not others:
        connection.execute(statement.on_conflict_do_nothing(index_elements=keys), rows)
    else:
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), rows)


def rows_of(connection: Connection, table: Table, column: Column[Any], values: Sequence[Any]) -> list[dict[str, Any]]:
    """All rows whose column has one of these values."""
    found: list[dict[str, Any]] = []
    for start in range(0, len(values), _AT_ONCE):
        chosen = select(table).where(column.in_(values[start : start + _AT_ONCE]))
        found += [dict(row) for row in connection.execute(chosen).mappings()]
    return found


def _engine(url: str) -> Engine:
    try:
        if url.startswith("sqlite"):
            engine = create_engine(url, connect_args={"timeout": _WAIT_S, "check_same_thread": False})
            event.listen(engine, "connect", _sqlite)
            event.listen(engine, "checkout", _same_file)
            return engine
        waits = {"connect_timeout": _WAIT_S, "options": "-c statement_timeout=60000 -c lock_timeout=60000"}
        return create_engine(url, connect_args=waits, pool_pre_ping=True, pool_size=4)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise BadSetting(f"the ledger's database needs a driver that is not installed ({error}): pip install 'trivium[ledger]'") from None


def _sqlite(connection: sqlite3.Connection, record: Any) -> None:
    # Transactions are begun by `locked`, at once for writing: one that begins by reading fails when another wrote meanwhile.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    # What the last moments before a power cut had is read from the topics again.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA cache_size=-65536")
    record.info["file"] = _file_of(connection)


def _same_file(connection: sqlite3.Connection, record: Any, _proxy: object) -> None:
    """A file that was removed goes on to exist for those that have it open: they would fill what nobody can read."""
    if record.info["file"] is not None and _file_of(connection, record.info["file"][0]) != record.info["file"]:
        raise DisconnectionError("the file was removed or replaced")


def _file_of(connection: sqlite3.Connection, path: str = "") -> tuple[str, int, int] | None:
    """Name, device and number of the file of a connection; None in memory, or when it is gone."""
    path = path or next(iter(connection.execute("PRAGMA database_list")))[2]
    try:
        found = os.stat(path)
    except OSError:
        return None
    return path, found.st_dev, found.st_ino


def prepare(engine: Engine, create: bool = True) -> bool:
    """Sees to the tables. True when there were none: whatever was counted is gone, and the topics tell it again. Raises BadSetting
    for tables of another version, and what the database raises."""
    with engine.begin() as connection:
        if create:
            locked(connection)
            anew = not inspect(connection).has_table(meta.name)
            metadata.create_all(connection)
            put(connection, meta, [{"name": "version", "value": str(VERSION)}], keep=True)
        found = connection.execute(select(meta.c.value).where(meta.c.name == "version")).scalar()
    if found != str(VERSION):
        raise BadSetting(
            f"the ledger's tables are of version {found}, this program's of version {VERSION}: name another database or remove "
            "this one (that of `make up`: `make clean`), the topics fill it anew"
        )
    return create and anew

