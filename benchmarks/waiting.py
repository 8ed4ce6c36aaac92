"""`python -m benchmarks --only waiting`: what a request takes while 200 long-polls and 50 event streams are open.

One process of the API, with its default settings. Those who wait are sockets of this process, each for a queued job of
its own; beside them short requests go over four connections, and are timed one by one.
"""

import json
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from sqlalchemy import delete, update

from benchmarks.api import BODY, serving
from benchmarks.backends import a_queued_job, databases
from benchmarks.goals import GOALS
from benchmarks.load import latencies, request
from benchmarks.report import Table, machine
from models.database import Database
from models.tables import Job

LONG_POLLS, STREAMS = 200, 50
CONNECTIONS = 4
COLUMNS = ("request", "database", "p50 ms, alone", "p99 ms, alone", "p50 ms, beside", "p99 ms, beside", "goal")
TOLD = ("database", "waiting", "all told after ms")
NOTE = f"""`beside` {LONG_POLLS} long-polls and {STREAMS} event streams that are open at the same process;
{CONNECTIONS} connections send one request after another.""".replace("\n", " ")


def run(quick: bool = False) -> list[Table]:
    seconds = 1.0 if quick else 10.0
    rows: list[list[object]] = []
    told: list[list[object]] = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        for system, url in stack.enter_context(databases(folder)).items():
            database = Database(url)
            jobs = [a_queued_job(database) for _ in range(LONG_POLLS + STREAMS)]
            port = stack.enter_context(serving(folder / system, url, production=system == "PostgreSQL"))
            alone = measure(port, jobs, database, seconds)
            with waiting(port, jobs) as open_ones:
                beside = measure(port, jobs, database, seconds)
                told.append([system, len(open_ones), seconds_until_told(database, open_ones) * 1e3])
            rows += [[name, system, *alone[name], *beside[name], GOALS["waiting/p99"]] for name in alone]
            database.close()
    description = f"{NOTE} {machine('flask', 'granian', 'sqlalchemy', 'psycopg')}."
    return [
        Table("Requests beside many that wait", COLUMNS, rows, description),
        Table("A change of every job that is waited for", TOLD, told, "From the commit to the last answer."),
    ]


def measure(port: int, jobs: list[str], database: Database, seconds: float) -> dict[str, tuple[float, float]]:
    """Of each kind of request the median and the 99th percentile, in milliseconds."""
    kinds = {
        "GET job": ([request("GET", f"/v1/jobs/{job}") for job in jobs], 200),
        "GET list of 50": ([request("GET", "/v1/jobs?limit=50")], 200),
        "POST job": ([request("POST", "/v1/jobs", json.dumps(BODY).encode())], 202),
    }
    found = {}
    for name, (requests, status) in kinds.items():
        taken = np.array(latencies(port, requests, status, CONNECTIONS, seconds)) * 1e3
        found[name] = float(np.median(taken)), float(np.percentile(taken, 99))
        with database.write() as connection:
            connection.execute(delete(Job).where(Job.name == BODY["name"]))
    return found


@contextmanager
def waiting(port: int, jobs: list[str]) -> Iterator[list[socket.socket]]:
    """Long-polls and streams of these jobs; a stream has sent what there is before it counts as open."""
    lines = [request("GET", f"/v1/jobs/{job}?wait=60") for job in jobs[:LONG_POLLS]]
    lines += [request("GET", f"/v1/jobs/{job}/events", Accept="text/event-stream") for job in jobs[LONG_POLLS:]]
    with ExitStack() as stack:
        open_ones = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in lines]
        for each, line in zip(open_ones, lines, strict=True):
            each.settimeout(60)
            each.sendall(line)
        for each in open_ones[LONG_POLLS:]:
            read_until(each, b"job.queued")
        time.sleep(1)
        yield open_ones


def seconds_until_told(database: Database, open_ones: list[socket.socket]) -> float:
    """From a change of every job to the last long-poll's answer.

    Raises:
        AssertionError: one was refused.
    """
    with database.write() as connection:
        connection.execute(update(Job).values(version=Job.version + 1))
    started = time.perf_counter()
    for each in open_ones[:LONG_POLLS]:
        read_until(each, b"HTTP/1.1 200")
    return time.perf_counter() - started


def read_until(end: socket.socket, words: bytes) -> None:
    told = b""
    while words not in told:
        more = end.recv(1 << 16)
        assert more, told
        assert b"HTTP/1.1 4" not in told, told
        told += more
