"""`python -m benchmarks --only storage`: writing statistics, and reading one series of 10 000 steps, as tables grow.

A row is one value: one statistic of one parameter tensor at one sampled step, stored as the worker stores it:
`models.recording.record` writes chunks of 100 steps under the attempt's fence, a transaction for what came in at once.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from sqlalchemy import text

from benchmarks.backends import OFFER, OWNER, a_queued_job, analyse, databases
from benchmarks.report import Table, machine, median, spread, take_turns
from models import queries
from models.claims import Claim, claim
from models.database import Database
from models.recording import record
from models.reports import Sampled
from models.series import STATISTICS, Chunk, assemble

SAMPLES = 100
"""Sampled steps of a chunk."""
STEPS = 10_000
TENSORS = 42
"""Of 20 hidden layers and the output."""
NARROW = 1
CHUNKS_AT_ONCE = 20
ROWS_IN_CHUNK = SAMPLES * len(STATISTICS) * TENSORS
WRITING = ("database", "rows in the table", "encode and store, rows/s", "spread", "store, rows/s", "bytes a row")
READING = ("database", "rows in the table", "tensors", "ms", "spread")
NOTE = f"""A row is one value of one statistic of one tensor at one sampled step; chunks hold {SAMPLES} steps of
{len(STATISTICS)} statistics. """.replace("\n", " ")


def run(quick: bool = False) -> list[Table]:
    sizes = [10**5, 10**6] if quick else [10**5, 10**6, 10**7]
    rounds = 5 if quick else 15
    writing: list[list[object]] = []
    reading: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder)) as urls:
        for system, url in urls.items():
            database = Database(url)
            narrow = a_series(database, NARROW)
            wide = ""
            filled = STEPS * len(STATISTICS) * NARROW
            for size in sizes:
                if not wide and size >= STEPS * len(STATISTICS) * TENSORS:
                    wide = a_series(database, TENSORS)
                    filled += STEPS * len(STATISTICS) * TENSORS
                fill(database, max(0, size - filled))
                filled = max(size, filled)
                analyse(database)
                writing.append([system, f"{size:.0e}", *written(database, rounds)])
                for job_id, tensors in ((narrow, NARROW), (wide, TENSORS)):
                    if job_id:
                        figures = take_turns({"read": partial(read_milliseconds, database, job_id)}, 4 * rounds)["read"]
                        reading.append([system, f"{size:.0e}", tensors, median(figures), spread(figures)])
            database.close()
    versions = f"{machine('numpy', 'sqlalchemy', 'psycopg')}."
    written_how = f"{TENSORS} tensors, {CHUNKS_AT_ONCE} chunks a transaction, commit included. "
    read_how = f"One statistic of one tensor at all {STEPS} sampled steps of a job with so many tensors, decoded. "
    return [
        Table("Writing statistics", WRITING, writing, NOTE + written_how + versions),
        Table("Reading a series of 10 000 steps", READING, reading, NOTE + read_how + versions),
    ]


def written(database: Database, rounds: int) -> list[object]:
    """Figures of storing 20 chunks: rows a second with and without encoding them, spread, and bytes a row."""
    chunks = [a_chunk(index, TENSORS) for index in range(CHUNKS_AT_ONCE)]
    reports = [encoded(chunk) for chunk in chunks]

    def encode_and_store() -> float:
        return rows_per_second(database, lambda: [encoded(chunk) for chunk in chunks])

    found = take_turns({"both": encode_and_store, "store": partial(rows_per_second, database, lambda: reports)}, rounds)
    size = len(reports[0].data) / ROWS_IN_CHUNK
    return [median(found["both"]), spread(found["both"]), median(found["store"]), size]


def rows_per_second(database: Database, reports: Callable[[], list[Sampled]]) -> float:
    mine = a_claim(database)
    started = time.perf_counter()
    with database.write() as connection:
        record(connection, mine, reports(), 0.0)
    seconds = time.perf_counter() - started
    with database.write() as connection:
        connection.execute(text("DELETE FROM jobs WHERE id = :job"), {"job": mine.job_id})
    return CHUNKS_AT_ONCE * ROWS_IN_CHUNK / seconds


def read_milliseconds(database: Database, job_id: str) -> float:
    started = time.perf_counter()
    with database.read() as connection:
        queries.find_job(connection, job_id, OWNER)
        pieces = queries.pieces(connection, job_id, "tensors", "norm", 0, None)
    series = assemble(pieces, [0])
    seconds = time.perf_counter() - started
    assert series.values.shape == (STEPS, 1)
    return 1000 * seconds


def a_claim(database: Database) -> Claim:
    a_queued_job(database)
    with database.write() as connection:
        mine = claim(connection, "wrk_benchmark", OFFER, 3600)
    assert mine is not None
    return mine


def a_series(database: Database, tensors: int) -> str:
    """A job with 10 000 sampled steps."""
    mine = a_claim(database)
    for first in range(0, STEPS // SAMPLES, CHUNKS_AT_ONCE):
        reports = [encoded(a_chunk(first + index, tensors)) for index in range(CHUNKS_AT_ONCE)]
        with database.write() as connection:
            record(connection, mine, reports, 0.0)
    return mine.job_id


def fill(database: Database, rows: int) -> None:
    """About so many rows more, of other jobs, of 20 chunks each."""
    reports = [encoded(a_chunk(index, TENSORS)) for index in range(CHUNKS_AT_ONCE)]
    for start in range(0, rows // ROWS_IN_CHUNK, CHUNKS_AT_ONCE):
        mine = a_claim(database)
        with database.write() as connection:
            record(connection, mine, reports[: rows // ROWS_IN_CHUNK - start], 0.0)


def a_chunk(index: int, tensors: int) -> Chunk:
    generator = np.random.default_rng(index)
    steps = np.arange(index * SAMPLES, (index + 1) * SAMPLES)
    return Chunk(steps, generator.standard_normal((SAMPLES, len(STATISTICS), tensors)).astype(np.float32))


def encoded(chunk: Chunk) -> Sampled:
    return Sampled(int(chunk.steps[0]), int(chunk.steps[-1]), len(chunk.steps), chunk.encode())
