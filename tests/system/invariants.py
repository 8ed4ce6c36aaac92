"""What is true after every fault, seen from the outside, in the database and in the table of processes."""

import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from models.artifacts import State
from models.database import database_now, lease_now
from models.series import Chunk
from models.states import HELD, TERMINAL, Status
from models.tables import TERMINAL_EVENTS, Artifact, Event, Job, Statistics, Worker, epochs
from tests.system.stack import LEASE_SECONDS, Stack, exists, parent_of

TWICE = "done twice: "
"""What a broken promise begins with where an end, or a row, is there twice."""
IDLE_SECONDS = 30
PENDING_SECONDS = 120
"""How long the files of a job may take, through all faults of a test."""
SLACK_SECONDS = 5
"""How long after the end of its lease a job may look as if it ran: somebody has to sweep."""


def check_invariants(stack: Stack) -> None:
    """Raises AssertionError, with all that is wrong."""
    with stack.reading() as connection:
        wrong = violations(stack, connection)
    assert not wrong, "\n".join(wrong)
    end = time.monotonic() + 15
    while left := orphans(stack):
        assert time.monotonic() < end, f"orphans: {[(pid, parent_of(pid), line_of(pid)) for pid in left]}"
        time.sleep(0.1)


def violations(stack: Stack, connection: Connection) -> list[str]:
    """Each broken promise in words, of the jobs that had not ended at the last look."""
    now, lease_time = connection.execute(select(database_now(), lease_now())).one()
    jobs = connection.execute(select(Job.__table__)).all()
    wrong = changed_ends(stack, jobs)
    for job in jobs:
        if job.status in HELD and job.lease_until < lease_time - SLACK_SECONDS:
            wrong.append(f"{job.id} is {job.status}, and its lease is over for {lease_time - job.lease_until:.1f} s")
    wrong += idle_workers(connection, now)
    wrong += pending_files(connection, now)
    fresh = [job for job in jobs if job.id not in stack.checked]
    wrong += wrong_events(connection, fresh)
    wrong += wrong_rows(connection, fresh)
    stack.checked |= {job.id for job in fresh if job.status in TERMINAL}
    return wrong


def changed_ends(stack: Stack, jobs: list[Any]) -> list[str]:
    """Jobs that had ended at the last look and are not as they were."""
    wrong = []
    for job in jobs:
        if job.status in TERMINAL:
            seen = job.status, job.attempt, job.finished_at, job.epoch, job.step
            if stack.ended.setdefault(job.id, seen) != seen:
                wrong.append(f"{TWICE}{job.id} had ended as {stack.ended[job.id]} and is now {seen}")
        elif job.id in stack.ended:
            wrong.append(f"{TWICE}{job.id} had ended as {stack.ended[job.id]} and is now {job.status}")
    return wrong


def wrong_events(connection: Connection, jobs: list[Any]) -> list[str]:
    """Attempts rise by one; one terminal event a job, and it is the last; no epoch is told twice in an attempt."""
    columns = Event.job_id, Event.type, Event.attempt, Event.data
    by_job: dict[str, list[Any]] = defaultdict(list)
    ids = [job.id for job in jobs]
    for row in connection.execute(select(*columns).where(Event.job_id.in_(ids)).order_by(Event.id)):
        by_job[row.job_id].append(row)
    wrong = []
    for job in jobs:
        events = by_job[job.id]
        started = [event.attempt for event in events if event.type == "job.started"]
        if started != list(range(1, job.attempt + 1)):
            wrong.append(f"{job.id}: its attempts were {started}, its row says {job.attempt}")
        terminal = [event.type for event in events if event.type in TERMINAL_EVENTS]
        expected = [f"job.{job.status}"] if job.status in TERMINAL else []
        if terminal != expected:
            twice = TWICE if len(terminal) > 1 else ""
            wrong.append(f"{twice}{job.id} is {job.status}, its terminal events are {terminal}")
        if terminal and events[-1].type not in TERMINAL_EVENTS:
            wrong.append(f"{job.id}: after its end came {events[-1].type}")
        told = Counter((event.attempt, event.data["epoch"]) for event in events if event.type == "job.epoch")
        wrong += [f"{TWICE}{job.id}: epoch {place} is told {count} times" for place, count in told.items() if count > 1]
    return wrong


def wrong_rows(connection: Connection, jobs: list[Any]) -> list[str]:
    """Epochs are consecutive; each series has each step once; a job that succeeded has all it says."""
    wrong = []
    for job in jobs:
        found = list(connection.scalars(select(epochs.c.epoch).where(epochs.c.job_id == job.id).order_by("epoch")))
        if found != list(range(1, len(found) + 1)):
            wrong.append(f"{job.id}: its epochs are {found}")
        if job.status in TERMINAL and len(found) != job.epoch:
            wrong.append(f"{job.id} has {len(found)} epochs and says {job.epoch}")
        steps: dict[str, list[int]] = defaultdict(list)
        query = select(Statistics.__table__).where(Statistics.job_id == job.id).order_by(Statistics.first_step)
        for row in connection.execute(query):
            here = Chunk.decode(row.data).steps.tolist()
            if (row.first_step, row.last_step, row.samples) != (here[0], here[-1], len(here)):
                wrong.append(f"{job.id}: the chunk at {row.first_step} of {row.series} is not what its row says")
            steps[row.series] += here
        for series, places in steps.items():
            if any(after <= before for before, after in pairwise(places)):
                wrong.append(f"{TWICE}{job.id}: steps of {series} overlap")
    return wrong


def pending_files(connection: Connection, now: float) -> list[str]:
    """Jobs that succeeded, and whose files nobody has made."""
    late = select(Artifact.job_id, Artifact.name).join(Job, Job.id == Artifact.job_id)
    late = late.where(Artifact.state == State.PENDING, Job.finished_at < now - PENDING_SECONDS)
    return [f"{row.job_id}: {row.name} is not made yet" for row in connection.execute(late)]


def idle_workers(connection: Connection, now: float) -> list[str]:
    """No worker runs more than it has slots for, and none is idle beside a job that waits for long."""
    workers = connection.execute(select(Worker.__table__).where(Worker.heartbeat_at > now - LEASE_SECONDS)).all()
    holds = Counter(connection.scalars(select(Job.worker).where(Job.status.in_(HELD))))
    wrong = [f"{worker.id} holds {holds[worker.id]} jobs" for worker in workers if holds[worker.id] > len(worker.slots)]
    idle = [w.id for w in workers if holds[w.id] < len(w.slots) and now - w.started_at > IDLE_SECONDS]
    if idle:
        latest = select(Event.at).where(
            Event.job_id == Job.id, Event.type.in_(("job.queued", "job.requeued", "job.resumed"))
        )
        waits = select(Job.id).where(
            Job.status == Status.QUEUED,
            latest.order_by(Event.id.desc()).limit(1).scalar_subquery() < now - IDLE_SECONDS,
        )
        wrong += [
            f"{job_id} waits for more than {IDLE_SECONDS} s beside {idle}" for job_id in connection.scalars(waits)
        ]
    return wrong


def orphans(stack: Stack) -> list[int]:
    """Processes of the stack that descend neither from its launcher nor from the test."""
    roots = {stack.launcher.pid, *stack.helpers}
    return [pid for pid in stack.processes("") if exists(pid) and not roots & set(ancestry(pid))]


def line_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def ancestry(pid: int) -> list[int]:
    """The process, its parent, and so on."""
    found = []
    while pid > 1:
        found.append(pid)
        pid = parent_of(pid)
    return found


def await_no_process(stack: Stack, seconds: float = 15) -> None:
    """After a stop, or a kill of the launcher, nothing of the stack is left."""
    end = time.monotonic() + seconds
    while left := [pid for pid in stack.processes("") if exists(pid)]:
        assert time.monotonic() < end, f"{left} are left"
        time.sleep(0.05)
