"""`python -m benchmarks.soak_queue`: thousands of small jobs of two keys, of random priority, on real workers.

Everything waits before the workers start, so that each start can be judged: no job of its key that goes before may
wait, and while both keys have work, each gets half of the slots. `--database` says on which; `--write` puts the result
into docs/reliability-queue.md.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks.backends import databases
from benchmarks.report import machine
from models.database import Database
from models.definitions.job import JobDefinition
from models.states import TERMINAL, Status
from models.submission import Submission, submit_all
from models.tables import Event, Job

OWNERS = ("key_a", "key_b")
DOCS = Path(__file__).parents[1] / "docs" / "reliability-queue.md"
HEADER = "# The queue under load\n\n`make soak-queue` repeats it.\n"
TROUBLE = ("Traceback", '"level": "error"', "no job could be claimed", "locked", "deadlock")


@dataclass(frozen=True)
class Report:
    """What became of the jobs."""

    jobs: int
    lost: int
    """Neither succeeded nor waiting any more."""
    waiting: int
    """When the time was over."""
    twice: int
    """Started more than once."""
    inversions: int
    """Started while one of the same key that goes before was waiting."""
    share: float
    """Of the slot-seconds while both keys had work, what the first got."""
    worst: float
    """Largest deviation from one half, as a share of it, over sliding windows."""
    window: int
    """Jobs of a window."""

    def lines(self) -> list[str]:
        return [
            f"- jobs {self.jobs}, lost {self.lost}, done twice {self.twice}, still waiting {self.waiting}",
            f"- inversions of priority within a key: {self.inversions}",
            f"- slot-seconds of the first key while both had work: {100 * self.share:.2f} %",
            f"- largest deviation from an equal share in windows of {self.window} jobs: {100 * self.worst:.1f} %",
        ]


def fill(database: Database, count: int, seed: int = 0) -> None:
    """Half of the jobs for each key, all of the kind that is done in milliseconds."""
    generator = random.Random(seed)
    wanted = [Submission(a_definition(generator), OWNERS[index % 2]) for index in range(count)]
    for first in range(0, count, 500):
        with database.write() as connection:
            submit_all(connection, wanted[first : first + 500], count)


def a_definition(generator: random.Random) -> JobDefinition:
    plain = {
        "network": {"family": "dnn", "hidden": [2]},
        "data": {"dataset": "xor", "parameters": {}},
        "training": {"epochs": 1, "max_steps": generator.randint(1, 5)},
        "priority": generator.randint(-3, 3),
    }
    return JobDefinition.model_validate(plain)


def judge(database: Database, window: int) -> Report:
    with database.read() as connection:
        jobs = {row.id: row for row in connection.execute(select(Job.__table__))}
        query = select(Event.job_id).where(Event.type == "job.started").order_by(Event.id)
        started = list(connection.scalars(query))
    order = list(dict.fromkeys(started))
    statuses = Counter(row.status for row in jobs.values())
    lost, waiting = len(jobs) - statuses[Status.SUCCEEDED] - statuses[Status.QUEUED], statuses[Status.QUEUED]
    twice = sum(count > 1 for count in Counter(started).values())
    lines = [[jobs[job] for job in order if jobs[job].owner == owner] for owner in OWNERS]
    inversions = sum(inverted([(row.rank, row.id) for row in line]) for line in lines)
    share, worst = shares([jobs[job] for job in order], window)
    return Report(len(jobs), lost, waiting, twice, inversions, share, worst, window)


def inverted(line: Sequence[tuple[float, str]]) -> int:
    """How many start before one that goes before them."""
    count, least = 0, (float("inf"), "")
    for place in reversed(line):
        count += place > least
        least = min(place, least)
    return count


def shares(started: Sequence[Any], window: int) -> tuple[float, float]:
    """The first key's share of the slot-seconds while both had work, and the worst deviation in windows of jobs."""
    last = min(max(index for index, row in enumerate(started) if row.owner == owner) for owner in OWNERS)
    both = started[: last + 1]
    used = [(row.owner == OWNERS[0], row.finished_at - row.claimed_at) for row in both if row.finished_at]
    windows = [used[first : first + window] for first in range(0, max(len(used) - window, 1), max(window // 10, 1))]
    return first_share(used), max(abs(2 * first_share(part) - 1) for part in windows)


def first_share(used: Sequence[tuple[bool, float]]) -> float:
    return sum(seconds for is_first, seconds in used if is_first) / (sum(seconds for _, seconds in used) or 1.0)


@contextmanager
def workers(folder: Path, url: str, count: int, slots: int) -> Iterator[Path]:
    """Real ones, each with its log in the folder."""
    environment = os.environ | {
        "DESCENT_DATABASE_URL": url,
        "DESCENT_SLOTS": str(slots),
        "DESCENT_FREE_DISK_BYTES": "0",
    }
    logs = folder / "logs"
    logs.mkdir()
    started = []
    for number in range(count):
        with (logs / f"worker-{number}.log").open("w") as log:
            # A folder each, as on machines of their own: they share the database and nothing else.
            own = environment | {"DESCENT_DATA": str(folder / f"worker-{number}")}
            started.append(subprocess.Popen([sys.executable, "-m", "workers"], env=own, stdout=log, stderr=log))
    try:
        yield logs
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(60)


def await_all(database: Database, count: int, limit_seconds: float) -> None:
    """Returns when all jobs have ended, or after the limit; says how far it is."""
    begun = said = time.monotonic()
    while time.monotonic() - begun < limit_seconds:
        with database.read() as connection:
            ended = connection.scalar(select(func.count()).select_from(Job).where(Job.status.in_(TERMINAL))) or 0
        if ended >= count:
            return
        if time.monotonic() - said > 30:
            said = time.monotonic()
            print(f"  {ended} of {count} after {said - begun:.0f} s", flush=True)
        time.sleep(1)


def soak(system: str, url: str, folder: Path, chosen: argparse.Namespace) -> list[str]:
    database = Database(url)
    fill(database, chosen.jobs)
    begun = time.monotonic()
    with workers(folder, url, chosen.workers, chosen.slots) as logs:
        await_all(database, chosen.jobs, chosen.minutes * 60)
    seconds = time.monotonic() - begun
    report = judge(database, max(chosen.jobs // 20, 20))
    database.close()
    text = [line for log in sorted(logs.iterdir()) for line in log.read_text().splitlines()]
    trouble = [line for line in text if any(word in line for word in TROUBLE)]
    head = f"\n## {system}: {chosen.jobs} jobs, {chosen.workers} workers of {chosen.slots} slots\n"
    note = f"{datetime.now(UTC).date()}, {seconds:.0f} s, {chosen.jobs / seconds:.1f} jobs/s; {machine('descent')}.\n"
    errors = f"- errors in the logs of the workers: {len(trouble)}"
    return [head, note, *report.lines(), errors, *(f"    {line[:150]}" for line in trouble[:5])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.soak_queue")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--database", choices=("SQLite", "PostgreSQL"), nargs="+", default=("SQLite", "PostgreSQL"))
    parser.add_argument("--write", action="store_true", help="into docs/reliability-queue.md")
    chosen = parser.parse_args()
    lines = [HEADER]
    for system in chosen.database:
        with tempfile.TemporaryDirectory() as name, databases(Path(name)) as urls:
            lines += soak(system, urls[system], Path(name), chosen)
            print("\n".join(lines), flush=True)
    if chosen.write:
        DOCS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
