"""The whole service as real processes, behind HTTP: embedded (SQLite and files), and on PostgreSQL and Redis."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.database import Database
from tests.conftest import create_postgresql_database, free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = "a-key-for-the-system-tests-0123456789"
STACKS = ("embedded", "production")
START_SECONDS = 60


class Stack:
    """A running service."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.data = folder
        self.environment = os.environ | {
            "DESCENT_DATA": str(folder),
            "DESCENT_PORT": str(self.port),
            "DESCENT_API_KEY": KEY,
            "DESCENT_LEASE_SECONDS": "3",
            "DESCENT_SWEEP_SECONDS": "0.5",
            **settings,
        }
        self.database_url = settings.get("DESCENT_DATABASE_URL", f"sqlite:///{folder / 'descent.db'}")
        headers = {"Authorization": f"Bearer {KEY}"}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=70)

    def start(self) -> None:
        with (self.data / "service.log").open("a") as log:
            line = [sys.executable, "-m", "service"]
            self.launcher = subprocess.Popen(line, env=self.environment, stdout=log, stderr=log)
        for _ in range(START_SECONDS * 10):
            assert self.launcher.poll() is None, self.log()
            try:
                if self.client.get("/readyz").status_code == 200 and self.worker_is_up():
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise TimeoutError(self.log())

    def worker_is_up(self) -> bool:
        from models.workers import alive

        database = Database(self.database_url)
        with database.read() as connection:
            found = alive(connection, 3)
        database.close()
        return bool(found)

    def stop(self) -> int:
        self.client.close()
        self.launcher.send_signal(signal.SIGTERM)
        return self.launcher.wait(40)

    def log(self) -> str:
        return (self.data / "service.log").read_text()[-5000:]

    def post(self, definition: dict[str, Any]) -> str:
        reply = self.client.post("/v1/jobs", json=definition)
        assert reply.status_code == 202, reply.text
        return str(reply.json()["id"])

    def job(self, job_id: str, wait: float = 0) -> dict[str, Any]:
        reply = self.client.get(f"/v1/jobs/{job_id}", params={"wait": wait} if wait else {})
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def follow(self, job_id: str, status: str | None = None, seconds: float = 120) -> dict[str, Any]:
        """The job once it has this status, or has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = self.job(job_id)
            if job["status"] == status or job["terminal"]:
                return job
            self.job(job_id, wait=0.5)
        raise TimeoutError(f"{job}\n{self.log()}")

    def train(self, definition: dict[str, Any]) -> dict[str, Any]:
        return self.follow(self.post(definition))

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """All of them, page by page."""
        items: list[dict[str, Any]] = []
        after = {}
        while True:
            page = self.client.get(f"/v1/jobs/{job_id}/events", params={"limit": 200, **after}).json()
            items += page["items"]
            if page["next"] is None:
                return items
            after = {"after": page["next"]}

    def example(self, name: str) -> dict[str, Any]:
        definition: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
        return definition

    def processes(self, pattern: str) -> list[int]:
        """Processes of this stack alone: those whose environment names its data folder."""
        mine = f"DESCENT_DATA={self.data}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if mine in environment and pattern in line:
                found.append(int(folder.name))
        return found


@pytest.fixture(scope="session", params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in STACKS])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service for all system tests of this process, on each kind of back end."""
    settings = {}
    if request.param == "production":
        settings["DESCENT_DATABASE_URL"] = create_postgresql_database(request.getfixturevalue("postgresql_server"))
        settings["DESCENT_BROKER_URL"] = request.getfixturevalue("redis_server")
    stack = Stack(tmp_path_factory.mktemp(request.param), **settings)
    stack.start()
    yield stack
    assert stack.stop() == 0, stack.log()


@pytest.fixture
def slow() -> dict[str, Any]:
    """A job that trains for minutes, in steps of milliseconds."""
    return {
        "network": {"family": "dnn", "hidden": [64, 64]},
        "data": {"dataset": "digits"},
        "training": {"epochs": 100_000},
    }
