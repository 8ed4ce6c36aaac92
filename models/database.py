"""The database: where the truth is. SQLite (embedded) or PostgreSQL, through SQLAlchemy Core."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Double, create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

POOL = {"pool_size": 8, "max_overflow": 24}
SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
"""FULL, for a 202 must survive a power cut."""


class database_now(GenericFunction[float]):  # noqa: N801
    """Unix seconds by the database's clock: the one clock on which all workers agree."""

    type = Double()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _sqlite_now(element: Any, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _postgresql_now(element: Any, compiler: Any, **options: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


class Database:
    """Short transactions on one engine: `with database.write() as connection: ...`.

    Connections are in autocommit, and a transaction begins where `_begin` says so.
    """

    def __init__(self, url: str) -> None:
        self.engine = create_database_engine(url)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read from; on SQLite all that is read is of one moment."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes; committed at the end of the block, rolled back if it raises."""
        with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def create_database_engine(url: str) -> Engine:
    """An engine with the settings that several processes at once need."""
    if url.startswith("sqlite"):
        engine = create_engine(url, connect_args={"timeout": 30, "isolation_level": None}, **POOL)
        event.listen(engine, "connect", _configure_sqlite)
    else:
        # A process that stops inside a transaction must not hold its locks for ever.
        options = {"options": "-c idle_in_transaction_session_timeout=30000", "connect_timeout": 5}
        engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True, connect_args=options, **POOL)
    event.listen(engine, "begin", _begin)
    return engine


def _configure_sqlite(connection: Any, record: Any) -> None:
    for pragma in SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    if connection.dialect.name == "sqlite":
        # A writer takes the lock at once: one that reads first and then wants to write would lose its race, or fail.
        statement = "BEGIN IMMEDIATE" if writes else "BEGIN"
    elif writes:
        statement = "BEGIN"
    else:
        return  # PostgreSQL shows each statement a moment of its own anyway: BEGIN and COMMIT would be for nothing
    # Past SQLAlchemy, which would take longer over it than the database.
    connection.connection.cursor().execute(statement)
