"""`python -m benchmarks --only jobs`: how long a job waits before it trains, and how many small ones fit.

Embedded (SQLite and files) and production (PostgreSQL and Redis) run side by side, and take turns job by job, so that a
noisy machine disturbs both alike. Every figure is of the real service, over HTTP.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.goals import GOALS
from benchmarks.report import Samples, Table, median, spread, take_turns
from tests.system.servers import BACKENDS, Embedded, Production
from tests.system.stack import Stack

PACKAGES = ("torch", "celery", "granian", "sqlalchemy")
NOTE = """Both services have one slot each, and look for work by themselves every 30 s only, so that the doorbell alone
explains the start. A small job is one epoch of a network of 4 hidden units on `xor`; their rate is that of 40 in a row
(20 in a quick run), from the first POST to the end of the last."""


def small(epochs: int = 1) -> dict[str, Any]:
    """A job of milliseconds, or a long one."""
    return {
        "network": {"family": "dnn", "hidden": [4]},
        "data": {"dataset": "xor"},
        "training": {"epochs": epochs},
    }


def run(quick: bool) -> list[Table]:
    in_a_row = 20 if quick else 40
    figures: dict[str, tuple[Callable[[Stack], float], int]] = {
        "first step": (first_step_milliseconds, 5 if quick else 30),
        "cancel to end": (cancel_milliseconds, 2 if quick else 6),
        "jobs a second": (partial(jobs_per_second, count=in_a_row), 1 if quick else 5),
    }
    with tempfile.TemporaryDirectory() as folder, stacks(Path(folder)) as services:
        samples = {title: measured(services, *figure) for title, figure in figures.items()}
    columns = ("figure", "service", "median", "goal", "spread", "p95", "samples")
    rows = [row(title, name, taken) for title, each in samples.items() for name, taken in each.items()]
    return [Table("A job's wait, and small jobs a second", columns, rows, " ".join(NOTE.split()))]


TITLES = {
    "first step": "POST to first step, ms",
    "cancel to end": "cancel to end, ms",
    "jobs a second": "small jobs a second and slot",
}


def measured(services: dict[str, Stack], figure: Callable[[Stack], float], rounds: int) -> Samples:
    for service in services.values():
        service.train(small())  # not counted: the first job of a service opens files and connections
    return take_turns({name: partial(figure, service) for name, service in services.items()}, rounds, warm_ups=0)


def row(title: str, service: str, values: list[float]) -> list[object]:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    goal = GOALS.get(f"{title}/{service}", "")
    return [TITLES[title], service, median(values), goal, spread(values), p95, len(values)]


@contextmanager
def stacks(folder: Path, names: Sequence[str] = tuple(BACKENDS)) -> Iterator[dict[str, Stack]]:
    """Services with one slot each, by name."""
    with ExitStack() as started:
        services = {name: started.enter_context(stack(folder / name, BACKENDS[name])) for name in names}
        for service in services.values():
            service.start()
            started.callback(service.stop)
        yield services


@contextmanager
def stack(folder: Path, kind: Callable[[Path], Embedded | Production]) -> Iterator[Stack]:
    """A service that is not started yet, and its servers. One slot, and times as they are by default; it looks for work
    by itself too seldom to matter."""
    folder.mkdir()
    backend = kind(folder)
    times = {"DESCENT_IDLE_POLL_SECONDS": "30", "DESCENT_LEASE_SECONDS": "60", "DESCENT_CHECKPOINT_SECONDS": "60"}
    try:
        yield Stack(folder, backend, DESCENT_SLOTS="1", **times)
    finally:
        backend.close()


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def first_step_milliseconds(service: Stack) -> float:
    """From the moment the job was accepted to its first optimizer step."""
    job = service.train(small())
    return 1000 * (seconds(job["first_step_at"]) - seconds(job["created_at"]))


def cancel_milliseconds(service: Stack) -> float:
    """From the POST of the cancel to the job's end, while it trains."""
    job_id = service.post(small(epochs=1_000_000))
    while not service.job(job_id)["progress"]["step"]:
        time.sleep(0.02)
    asked = time.time()
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    return 1000 * (seconds(service.follow(job_id)["finished_at"]) - asked)


def jobs_per_second(service: Stack, count: int) -> float:
    """Small jobs in a row on one slot, all queued before the first has ended."""
    started = time.monotonic()
    ids = [service.post(small()) for _ in range(count)]
    for job_id in ids:
        service.follow(job_id)
    return count / (time.monotonic() - started)
