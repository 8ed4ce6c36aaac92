"""The database: where the truth is. SQLite (embedded) or PostgreSQL, through SQLAlchemy Core."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import ColumnElement, Connection, Double, Text, create_engine, event, literal_column
from sqlalchemy.engine import Engine
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from models.machine import BOOT_ID

SQLITE_PRAGMAS = ("journal_mode=WAL", "foreign_keys=ON", "mmap_size=1073741824")
IDLE_SECONDS = 1.0
"""After so long without use a connection to PostgreSQL is tested first."""


def spelt(function: type[GenericFunction[Any]], **words: str) -> None:
    """How databases say a function, by their names; `{}` stands for its arguments."""

    def says(text: str) -> Any:
        return lambda element, compiler, **options: text.format(compiler.process(element.clauses, **options))

    for database, text in words.items():
        compiles(function, database)(says(text))


def literal(word: str) -> ColumnElement[str]:
    """One of our own words in a statement that is made once; a list of parameters would be written out each time."""
    return literal_column(f"'{word}'", Text)


class database_now(GenericFunction[float]):  # noqa: N801
    """Unix seconds by the database's clock: the one clock on which all workers agree."""

    type = Double()
    inherit_cache = True


class lease_now(GenericFunction[float]):  # noqa: N801
    """Seconds by the clock of leases, which must not jump: PostgreSQL's own, and on SQLite, where all workers share a
    machine, the time since its start. Wall clocks are set back and forth."""

    type = Double()
    inherit_cache = True


class lease_clock(GenericFunction[str]):  # noqa: N801
    """Which clock `lease_now` reads: another one after the machine was started anew."""

    type = Text()
    inherit_cache = True


class larger(GenericFunction[float]):  # noqa: N801
    """The larger of two numbers."""

    type = Double()
    inherit_cache = True


POSTGRESQL_NOW = "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"
spelt(database_now, sqlite="((julianday('now') - 2440587.5) * 86400.0)", postgresql=POSTGRESQL_NOW)
spelt(lease_now, sqlite="seconds_since_boot()", postgresql=POSTGRESQL_NOW)
spelt(lease_clock, sqlite="boot_id()", postgresql="'database'")
spelt(larger, sqlite="max({})", postgresql="greatest({})")


class Database:
    """Short transactions on one engine: `with database.write() as connection: ...`.

    Connections are in autocommit; a transaction begins where this class says so.
    """

    def __init__(self, url: str) -> None:
        self.engine = create_database_engine(url)
        self._sqlite = self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read from. Each statement sees a moment of its own, on both databases: BEGIN and COMMIT would
        be two journeys to PostgreSQL, and let go of the interpreter's lock four more times on SQLite."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[Connection]:
        """A transaction that writes; committed at the end of the block, rolled back if it raises.

        A 202 must survive a power cut, so SQLite's commits wait for the disk. One that need not be `durable` does not
        wait: it may be undone by a power cut, which ends the attempts of this machine too, and by nothing else. On
        PostgreSQL every commit waits, for workers elsewhere would outlive it.
        """
        with self.engine.connect() as connection, connection.begin():
            if self._sqlite:
                connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            # A writer takes the lock at once: one that reads first and then wants to write would lose its race.
            connection.exec_driver_sql("BEGIN IMMEDIATE" if self._sqlite else "BEGIN")
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def create_database_engine(url: str) -> Engine:
    """An engine with the settings that several processes at once need."""
    # Pydantic reads and writes JSON in half the time of the standard library, or less.
    options: dict[str, Any] = {
        "pool_size": 32,
        "max_overflow": 0,
        "json_serializer": dumps,
        "json_deserializer": from_json,
    }
    if url.startswith("sqlite"):
        engine = create_engine(url, connect_args={"timeout": 30, "isolation_level": None}, **options)
        event.listen(engine, "connect", _configure_sqlite)
        return engine
    # A process that stops inside a transaction must not hold its locks for long: others may wait to claim.
    arguments = {"options": "-c idle_in_transaction_session_timeout=10000", "connect_timeout": 5}
    engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args=arguments, **options)
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _test_if_idle)
    return engine


def dumps(value: Any) -> str:
    """JSON; what is not finite is null."""
    return to_json(value, inf_nan_mode="null").decode()


def _configure_sqlite(connection: Any, record: Any) -> None:
    for pragma in SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("seconds_since_boot", 0, _seconds_since_boot)
    connection.create_function("boot_id", 0, _boot_id)


def _seconds_since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def _boot_id() -> str:
    return BOOT_ID.read_text().strip()


def _note_use(connection: Any, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _test_if_idle(connection: Any, record: Any, proxy: Any) -> None:
    """A connection that rested may have lost its server; to ask each one each time would double a question's time."""
    if time.monotonic() - record.info.get("used_at", math.inf) < IDLE_SECONDS:
        return
    try:
        connection.execute("SELECT 1")
    except Exception as error:
        raise InvalidatePoolError from error
