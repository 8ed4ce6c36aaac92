"""The soak: hundreds of jobs, a third of them long enough for checkpoints, and seeded faults of all kinds.

    python -m tests.system.chaos --seed 1 --faults 1000 --backend production

At its end every job has ended as it should, once, with the numbers of a job that nothing happened to; else exit code 1.
Attempts are not limited (`DESCENT_MAX_ATTEMPTS`): a kill is not the job's fault here.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from models import lifecycle
from models.database import Database
from models.errors import IllegalMove
from models.keys import BOOTSTRAP
from models.queue import create_connection, ring
from models.settings import read_settings
from models.states import Status
from models.submission import retry
from models.tables import Event, Job
from tests.system.invariants import TWICE, changed_ends, check_invariants, violations
from tests.system.servers import BACKENDS
from tests.system.stack import LEASE_SECONDS, Stack, exists, result_of

MOST_WAITING = 12
"""Jobs under way: enough that both slots are always busy."""
PAUSE_SECONDS = 0.1, 0.6
"""Between two faults."""
END_SECONDS = 240

ADAM = {"kind": "adam", "learning_rate": 0.003}
SHORT: list[dict[str, Any]] = [
    {"network": {"family": "dnn", "hidden": [16]}, "data": {"dataset": "digits"}, "training": {"epochs": 20}},
    {"network": {"family": "dnn", "hidden": [8, 8]}, "data": {"dataset": "xor"}, "training": {"epochs": 60}},
    {
        "network": {"family": "dnn", "hidden": [32], "dropout": 0.2},
        "data": {"dataset": "digits"},
        "training": {"epochs": 40, "optimizer": ADAM},
    },
    {"network": {"family": "dnn", "hidden": [4]}, "data": {"dataset": "xor"}, "training": {"epochs": 2}},
]
LONG: list[dict[str, Any]] = [
    {
        "network": {"family": "rnn", "cell": "lstm", "hidden": 32},
        "data": {"dataset": "digits_rows"},
        "training": {"epochs": 60, "optimizer": ADAM},
    },
    {
        "network": {
            "family": "cnn",
            "blocks": [{"filters": 8, "kernel": 3, "pool": "max"}],
            "hidden": [16],
            "dropout": 0.2,
            "norm": "batch",
        },
        "data": {"dataset": "digits"},
        "training": {"epochs": 50, "optimizer": ADAM},
    },
    {
        "network": {"family": "dnn", "hidden": [32, 32, 32], "activation": "sigmoid"},
        "data": {"dataset": "digits"},
        "training": {"epochs": 60, "optimizer": ADAM, "pretraining": {"kind": "autoencoder", "epochs": 40}},
    },
    {
        "network": {"family": "dnn", "hidden": [32]},
        "data": {"dataset": "digits"},
        "training": {"epochs": 80, "restarts": 3, "optimizer": ADAM},
    },
]
"""Two to five seconds, with a checkpoint each second."""
DEFINITIONS = SHORT + LONG
SHARES = [2 / len(SHORT)] * len(SHORT) + [1 / len(LONG)] * len(LONG)
"""A third of the jobs is long."""

Result = TypeVar("Result")


class Chaos:
    """A service, jobs for it, and faults."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.stack = stack
        self.random = random.Random(seed)
        self.jobs: dict[str, int] = {}
        """Each job that was answered with 202, and the number of its definition."""
        self.cancelled: set[str] = set()
        self.broken: list[str] = []
        """Promises that were seen broken on the way."""
        self.database = Database(stack.database_url)
        self.injected: Counter[str] = Counter()
        self.connection = create_connection(read_settings(stack.environment))
        self.later: list[threading.Timer] = []
        self.resumed: Counter[str] = Counter()

    def faults(self) -> dict[Callable[[], bool], int]:
        """Each fault, and how often it is drawn. One that costs the service seconds to recover from is rarer."""
        common = {
            self.kill_runner: 30, self.crash_runner: 10, self.freeze_runner: 10, self.cancel_some: 10,
            self.pause_some: 20, self.retry_some: 4,
            self.ring_often: 8, self.broker_dies: 8, self.broker_freezes: 6, self.broker_forgets: 8,
            self.database_away: 6, self.kill_api: 3, self.kill_worker: 3, self.end_worker: 2, self.kill_fork_server: 2,
            self.sleep_beyond_the_lease: 2, self.kill_launcher: 1,
        }  # fmt: skip
        return common | ({self.cut_connections: 10} if self.stack.backend.name == "production" else {})

    def run(self, faults: int, seconds: float) -> None:
        """Injects so many faults, or as many as there is time for."""
        kinds = self.faults()
        ends = time.monotonic() + seconds
        while self.injected.total() < faults and time.monotonic() < ends:
            self.post_some()
            self.resume_some(0.3)
            fault = self.random.choices(list(kinds), list(kinds.values()))[0]
            with suppress(ProcessLookupError, httpx.TransportError, SQLAlchemyError):
                if fault():
                    self.injected[fault.__name__] += 1
                    if self.injected.total() % 20 == 0:
                        self.look()
            time.sleep(self.random.uniform(*PAUSE_SECONDS))

    def look(self) -> None:
        """What has ended stays as it was."""
        self.broken += self.read(lambda connection: changed_ends(self.stack, all_jobs(connection)))
        print(f"{self.injected.total()} faults, {len(self.jobs)} jobs", flush=True)

    def read(self, question: Callable[[Connection], Result]) -> Result:
        with self.database.read() as connection:
            return question(connection)

    def post_some(self) -> None:
        with suppress(httpx.TransportError):
            page = self.stack.client.get("/v1/jobs", params={"status": "queued", "limit": 200}, timeout=3)
            waiting = len(page.json()["items"]) if page.status_code == 200 else MOST_WAITING
            for _ in range(MOST_WAITING - waiting):
                number = self.random.choices(range(len(DEFINITIONS)), SHARES)[0]
                reply = self.stack.client.post("/v1/jobs", json=DEFINITIONS[number], timeout=10)
                if reply.status_code == 202:
                    self.jobs[reply.json()["id"]] = number
                elif reply.status_code != 503:
                    self.broken.append(f"a POST was answered {reply.status_code}: {reply.text}")

    def settle(self) -> None:
        """Everything is given back, and each job comes to its end."""
        for timer in self.later:
            timer.join()
        self.stack.broker.mend()
        self.stack.database.mend()
        if self.stack.launcher.poll() is not None:
            self.stack.launch()
        self.stack.await_ready()
        ends = time.monotonic() + END_SECONDS
        while (left := self.stack.under_way()) and time.monotonic() < ends:
            self.resume_some(1.0)
            self.stack.job(left[-1]["id"], wait=2)
        self.database.close()

    # Faults: each says whether it found something to break.

    def to_one(self, pids: list[int], number: signal.Signals) -> bool:
        if not pids:
            return False
        os.kill(self.random.choice(pids), number)
        return True

    def busy(self) -> list[int]:
        """The runners; every other time once a job that runs has a checkpoint, if one has soon."""
        has_one = select(Job.id).where(Job.status == Status.RUNNING, Job.checkpoint.is_not(None)).limit(1)
        ends = time.monotonic() + self.random.choice([0.0, 1.5])
        while time.monotonic() < ends and not self.read(lambda connection: connection.scalar(has_one)):
            time.sleep(0.05)
        return self.stack.runners()

    def kill_runner(self) -> bool:
        return self.to_one(self.busy(), signal.SIGKILL)

    def crash_runner(self) -> bool:
        return self.to_one(self.busy(), signal.SIGSEGV)

    def freeze_runner(self) -> bool:
        return self.freeze(self.stack.runners(), self.random.uniform(0.1, 1))

    def kill_worker(self) -> bool:
        return self.to_one(self.stack.workers(), signal.SIGKILL)

    def end_worker(self) -> bool:
        return self.to_one(self.stack.workers(), signal.SIGTERM)

    def sleep_beyond_the_lease(self) -> bool:
        return self.freeze(self.stack.workers(), LEASE_SECONDS + 1)

    def freeze(self, pids: list[int], seconds: float) -> bool:
        if not pids:
            return False
        pid = self.random.choice(pids)
        os.kill(pid, signal.SIGSTOP)
        self.after(seconds, lambda: os.kill(pid, signal.SIGCONT))
        return True

    def after(self, seconds: float, action: Callable[[], Any]) -> None:
        def act() -> None:
            with suppress(ProcessLookupError):
                action()

        timer = threading.Timer(seconds, act)
        self.later = [earlier for earlier in self.later if earlier.is_alive()] + [timer]
        timer.start()

    def kill_fork_server(self) -> bool:
        return self.to_one(self.stack.fork_servers(), signal.SIGKILL)

    def kill_api(self) -> bool:
        return self.to_one(self.stack.processes("granian"), signal.SIGKILL)

    def kill_launcher(self) -> bool:
        self.stack.kill()
        ends = time.monotonic() + 15
        while any(map(exists, self.stack.processes(""))) and time.monotonic() < ends:
            time.sleep(0.05)
        self.stack.launch()
        return True

    def broker_dies(self) -> bool:
        with self.stack.broker.away():
            time.sleep(self.random.uniform(0, 0.5))
        return True

    def broker_freezes(self) -> bool:
        self.stack.broker.start()
        with self.stack.broker.frozen():
            time.sleep(self.random.uniform(0, 1.5))
        return True

    def broker_forgets(self) -> bool:
        self.stack.broker.flush()
        return True

    def database_away(self) -> bool:
        with self.stack.database.away():
            time.sleep(self.random.choice([0.1, 0.5, LEASE_SECONDS * 1.2]))
        return True

    def cut_connections(self) -> bool:
        self.stack.database.kill_backends()
        return True

    def ring_often(self) -> bool:
        for _ in range(20):
            with suppress(Exception):
                ring(self.connection)
        return True

    def cancel_some(self) -> bool:
        if not self.jobs:
            return False
        job_id = self.some_job()
        reply = self.stack.client.post(f"/v1/jobs/{job_id}/cancel", timeout=10)
        if reply.status_code == 202:
            self.cancelled.add(job_id)
        return reply.status_code == 202

    def some_job(self) -> str:
        return self.random.choice(list(self.jobs)[-2 * MOST_WAITING :])

    def pause_some(self) -> bool:
        """One that runs, or of all the last, most of which wait."""
        running = self.read(lambda connection: jobs_that_are(connection, Status.RUNNING))
        if running and self.random.random() < 0.5:
            return self.move(lifecycle.pause, self.random.choice(running))
        return bool(self.jobs) and self.move(lifecycle.pause, self.some_job())

    def resume_some(self, share: float) -> None:
        """Some of the paused, if they are not cancelled instead."""
        with suppress(SQLAlchemyError):
            for job_id in self.read(lambda connection: jobs_that_are(connection, Status.PAUSED)):
                if self.random.random() < share / 8:
                    if self.move(lifecycle.cancel, job_id, "graceful"):
                        self.cancelled.add(job_id)
                elif self.random.random() < share:
                    self.move(lifecycle.resume, job_id)

    def retry_some(self) -> bool:
        """A cancelled one, as a new job."""
        with self.database.write() as connection:
            found = [job_id for job_id in jobs_that_are(connection, Status.CANCELLED) if job_id in self.jobs]
            if not found:
                return False
            job_id = self.random.choice(found)
            child = retry(connection, job_id, BOOTSTRAP, 10_000)
        self.jobs[child] = self.jobs[job_id]
        return True

    def move(self, move: Callable[..., None], job_id: str, *arguments: str) -> bool:
        """As a client may ask for it; false where the job is not in a state for it."""
        with suppress(IllegalMove), self.database.write() as connection:
            move(connection, job_id, BOOTSTRAP, *arguments)
            return True
        return False

    # The balance

    def balance(self) -> dict[str, list[str]]:
        """What must be empty, by kind."""
        wanted = [result_of(self.stack, self.stack.train(definition)["id"]) for definition in DEFINITIONS]
        kinds = "lost", "wrong state", "unequal weights", "done twice", "other broken invariants"
        wrong: dict[str, list[str]] = {name: [] for name in kinds}
        for job_id, number in self.jobs.items():
            reply = self.stack.client.get(f"/v1/jobs/{job_id}")
            job = reply.json()
            if reply.status_code != 200 or not job["terminal"]:
                wrong["lost"].append(f"{job_id}: {reply.status_code} {job.get('status')}")
            elif job["status"] == "succeeded":
                result = result_of(self.stack, job_id)
                different = [name for name in result if result[name] != wanted[number][name]]
                wrong["unequal weights"] += [f"{job_id}: {different}"] if different else []
            elif not (job["status"] == "cancelled" and job_id in self.cancelled):
                wrong["wrong state"].append(f"{job_id}: {job['status']} {job.get('error')}")
        with self.stack.reading() as connection:
            found = self.broken + violations(self.stack, connection)
            self.resumed = resumed_attempts(connection)
        wrong["done twice"] = [text for text in found if text.startswith(TWICE)]
        wrong["other broken invariants"] = [text for text in found if not text.startswith(TWICE)]
        return wrong


def all_jobs(connection: Connection) -> list[Any]:
    return list(connection.execute(select(Job.__table__)).all())


def jobs_that_are(connection: Connection, status: Status) -> list[str]:
    return list(connection.scalars(select(Job.id).where(Job.status == status).order_by(Job.id)))


def resumed_attempts(connection: Connection) -> Counter[str]:
    """Attempts after a job's first: of all, those that began where a checkpoint was, as their first epoch shows."""
    query = select(Event.job_id, Event.type, Event.attempt, Event.data).where(Event.attempt > 1).order_by(Event.id)
    begun: dict[tuple[str, int], int] = {}
    count: Counter[str] = Counter()
    for event in connection.execute(query):
        count["all"] += event.type == "job.started"
        if event.type == "job.epoch":
            begun.setdefault((event.job_id, event.attempt), event.data["epoch"])
    return count + Counter({"resumed": sum(epoch > 1 for epoch in begun.values())})


def soak(backend_name: str, folder: Path, seed: int, faults: int, seconds: float) -> dict[str, list[str]]:
    """A service, its soak and its balance; prints the table."""
    backend = BACKENDS[backend_name](folder)
    stack = Stack(folder, backend, DESCENT_SLOTS="2", DESCENT_MAX_ATTEMPTS="1000000")
    began = time.monotonic()
    stack.start()
    chaos = Chaos(stack, seed)
    try:
        chaos.run(faults, seconds)
        chaos.settle()
        wrong = chaos.balance()
        if not any(wrong.values()):
            check_invariants(stack)
    finally:
        with suppress(Exception):
            stack.stop()
        backend.close()
    print(table(chaos, wrong, backend_name, seed, time.monotonic() - began), flush=True)
    return wrong


def table(chaos: Chaos, wrong: dict[str, list[str]], backend: str, seed: int, seconds: float) -> str:
    lines = [f"{backend}, seed {seed}, {seconds:.0f} s", "", "| what | how many |", "|---|---|"]
    lines.append(f"| jobs | {len(chaos.jobs)} |")
    lines.append(f"| faults injected | {chaos.injected.total()} |")
    lines += [f"| - {name.replace('_', ' ')} | {count} |" for name, count in chaos.injected.most_common()]
    lines.append(f"| attempts after the first | {chaos.resumed['all']} |")
    lines.append(f"| - that went on from a checkpoint | {chaos.resumed['resumed']} |")
    lines += [f"| **{name}** | {len(found)} |" for name, found in wrong.items()]
    lines += ["", *(f"{name}: {text}" for name, found in wrong.items() for text in found[:20])]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=1500, help="the most it injects faults for")
    parser.add_argument("--backend", choices=[*BACKENDS, "both"], default="both")
    asked = parser.parse_args()
    wrong = False
    for name in BACKENDS if asked.backend == "both" else [asked.backend]:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            wrong |= any(soak(name, Path(folder), asked.seed, asked.faults, asked.seconds).values())
    sys.exit(wrong)


if __name__ == "__main__":
    main()
