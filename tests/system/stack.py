"""The whole service as real processes, behind HTTP, on a back end that a test may take away."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from models.database import Database
from models.series import LAYER_STATISTICS, STATISTICS, STEP_STATISTICS
from models.workers import alive, registered
from tests.conftest import free_port
from tests.system.servers import Embedded, Production, die_with_parent
from tests.waiting import await_true

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = "a-key-for-the-system-tests-0123456789"
START_SECONDS = 90
LEASE_SECONDS = 3.0
WEBHOOK_SECONDS = 5.0
BRIEF: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [16]},
    "data": {"dataset": "digits"},
    "training": {"epochs": 240},
}
"""Some seconds of training: long enough for a test to lay hands on its process, on a fast machine too."""


class Stack:
    """A running service."""

    def __init__(self, folder: Path, backend: Embedded | Production, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = folder
        self.backend = backend
        self.broker, self.database = backend.broker, backend.database
        self.database_url = backend.database_url
        self.environment = os.environ | {
            "DESCENT_DATA": str(folder),
            "DESCENT_PORT": str(self.port),
            "DESCENT_API_KEY": KEY,
            "DESCENT_SLOTS": "1",
            "DESCENT_LEASE_SECONDS": str(LEASE_SECONDS),
            "DESCENT_SWEEP_SECONDS": "0.5",
            "DESCENT_CHECKPOINT_SECONDS": "1",
            "DESCENT_STALL_SECONDS": "5",
            "DESCENT_REQUESTS_PER_MINUTE": "1000000",
            "DESCENT_WEBHOOK_HOSTS": "127.0.0.1",
            "DESCENT_WEBHOOK_SECONDS": str(WEBHOOK_SECONDS),
            "DESCENT_WEBHOOK_RETRIES": ",".join(["0.5"] * 100),
            **backend.settings,
            **settings,
        }
        self.ended: dict[str, tuple[Any, ...]] = {}
        self.checked: set[str] = set()
        """What `tests.system.invariants` saw of jobs that had ended; of these all rows."""
        self.helpers: set[int] = set()
        """Workers that were started beside the launcher's."""
        headers = {"Authorization": f"Bearer {KEY}"}
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=70)

    # The service

    def start(self) -> None:
        """Returns when the API answers and a worker is registered."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        with (self.data / "service.log").open("a") as log:
            line = [sys.executable, "-m", "service"]
            self.launcher = subprocess.Popen(
                line, env=self.environment, stdout=log, stderr=log, preexec_fn=die_with_parent
            )

    def await_ready(self) -> None:
        for _ in range(START_SECONDS * 10):
            assert self.launcher.poll() is None, self.log()
            if self.answers("/readyz") and self.worker_is_up():
                return
            time.sleep(0.1)
        raise TimeoutError(self.log())

    def answers(self, path: str = "/healthz") -> bool:
        with suppress(httpx.TransportError):
            return self.client.get(path).status_code == 200
        return False

    def worker_is_up(self) -> bool:
        with suppress(SQLAlchemyError), self.reading() as connection:
            return bool(self.living(connection) & set(self.processes("-m workers")))
        return False

    def living(self, connection: Connection) -> set[int]:
        """The workers that were heard of within a lease."""
        return {worker["pid"] for worker in alive(connection, LEASE_SECONDS)}

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to the service's database."""
        database = Database(self.database_url)
        try:
            with database.read() as connection:
                yield connection
        finally:
            database.close()

    def stop(self) -> int:
        self.client.close()
        self.launcher.send_signal(signal.SIGTERM)
        return self.launcher.wait(40)

    def kill(self) -> None:
        """KILL of the launcher."""
        self.launcher.kill()
        self.launcher.wait()

    def mend(self) -> None:
        """Whatever a test has left behind: servers are there, nothing is stopped, no job is under way."""
        for pid in self.processes(""):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.broker.mend()
        self.database.mend()
        if self.launcher.poll() is not None:
            self.start()
        self.await_ready()
        for job in self.under_way():
            self.cancel(job["id"], "force")
        await_true(lambda: not self.under_way(), 30)

    # Processes

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

    def worker(self) -> int:
        """The launcher's worker."""
        (found,) = self.workers()
        return found

    def workers(self) -> list[int]:
        """It, or none while it is started again."""
        return [pid for pid in self.processes("-m workers") if parent_of(pid) == self.launcher.pid]

    def runners(self) -> list[int]:
        """Sessions of their own among the children of the fork server: the jobs that train."""
        return [pid for pid in self.forked() if session_of(pid) == pid]

    def forked(self) -> list[int]:
        return self.processes("multiprocessing.forkserver")

    def fork_servers(self) -> list[int]:
        workers = self.processes("-m workers")
        return [pid for pid in self.forked() if parent_of(pid) in workers]

    def await_runner(self, job_id: str) -> int:
        """The process of the only job that trains, which has taken a step."""
        found: list[int] = []

        def trains() -> bool:
            found[:] = self.runners()
            return self.job(job_id)["progress"]["step"] > 0 and len(found) == 1

        await_true(trains, 30)
        return found[0]

    @contextmanager
    def another_worker(self, **settings: str) -> Iterator[int]:
        """One more worker, on the same back end."""
        with (self.data / "service.log").open("a") as log:
            line = [sys.executable, "-m", "workers"]
            process = subprocess.Popen(
                line, env=self.environment | settings, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        self.helpers.add(process.pid)
        try:
            await_true(lambda: process.pid in self._registered(), START_SECONDS)
            yield process.pid
        finally:
            self.helpers.discard(process.pid)
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(25)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _registered(self) -> set[int]:
        with self.reading() as connection:
            return {worker["pid"] for worker in registered(connection)}

    @contextmanager
    def worker_asleep(self) -> Iterator[int]:
        """The launcher's worker is stopped while it holds no job, so that another one takes the next."""
        pid = self.worker()
        self.put_to_sleep(pid)
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGCONT)

    def put_to_sleep(self, pid: int) -> None:
        """STOPs a worker, outside of a transaction: within one of SQLite everybody would wait for it to wake."""
        os.kill(pid, signal.SIGSTOP)
        while not self.database.takes_writes():
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.05)
            os.kill(pid, signal.SIGSTOP)

    def log(self) -> str:
        return (self.data / "service.log").read_text(errors="replace")[-5000:]

    # Jobs

    def post(self, definition: dict[str, Any]) -> str:
        reply = self.client.post("/v1/jobs", json=definition)
        assert reply.status_code == 202, reply.text
        return str(reply.json()["id"])

    def job(self, job_id: str, wait: float = 0) -> dict[str, Any]:
        reply = self.client.get(f"/v1/jobs/{job_id}", params={"wait": wait} if wait else {})
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def cancel(self, job_id: str, mode: str | None = None) -> int:
        return self.client.post(f"/v1/jobs/{job_id}/cancel", json={"mode": mode} if mode else None).status_code

    def under_way(self) -> list[dict[str, Any]]:
        """Jobs that have not ended."""
        found: list[dict[str, Any]] = []
        for status in ("queued", "running", "pausing", "paused", "cancelling"):
            found += self.client.get("/v1/jobs", params={"status": status, "limit": 200}).json()["items"]
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

    def event_types(self, job_id: str) -> list[str]:
        """Without epochs, checkpoints and findings."""
        told = "job.epoch", "job.checkpoint", "job.finding"
        return [event["type"] for event in self.events(job_id) if event["type"] not in told]

    def example(self, name: str) -> dict[str, Any]:
        definition: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
        return definition


def same_result(stack: Stack, one: str, other: str) -> None:
    """Both jobs have the same numbers, bit for bit: metrics by epoch, every gradient series, and the weights."""
    left, right = (result_of(stack, job_id) for job_id in (one, other))
    for name in left:
        assert left[name] == right[name], f"{name} of {one} and {other}"


def result_of(stack: Stack, job_id: str) -> dict[str, Any]:
    """Everything that a repetition of a job has to give again."""
    job = stack.job(job_id)
    found: dict[str, Any] = {name: job[name] for name in ("status", "metrics", "best", "runs") if name in job}
    found["progress"] = {name: job["progress"][name] for name in ("epoch", "step")}
    found["weights_sha256"] = job.get("weights_sha256")
    found["epochs"] = stack.client.get(f"/v1/jobs/{job_id}/metrics").json()
    for statistic in (*STATISTICS, *LAYER_STATISTICS, *STEP_STATISTICS):
        reply = stack.client.get(f"/v1/jobs/{job_id}/gradients", params={"statistic": statistic})
        found[statistic] = reply.json()
    found["time"] = stack.client.get(f"/v1/jobs/{job_id}/gradients/time").json()
    return found


def exists(pid: int) -> bool:
    """A process that is no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def state_of(pid: int) -> str:
    """`R`, `S`, `T` (stopped), `Z`, ..., as the kernel has it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0
