"""`python -m benchmarks --only queue`: claim, list and get, as the number of jobs grows.

Claims are whole transactions, commit included. Lists and gets are whole requests to the API, called in this process as
a WSGI server would call it, so that no network is in the figures. Waiting and ended jobs grow separately.
"""

import gc
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask

from benchmarks.backends import OFFER, a_queued_job, a_terminal_job, copied_id, copy_job, databases, some_ids
from benchmarks.report import Table, machine
from models.claims import claim
from models.database import Database
from models.settings import Settings
from service.app import create_app
from service.cursors import encode_cursor

KEY = "a-key-for-the-benchmarks-0123456789"
COLUMNS = ("database", "ended jobs", "queued jobs", "figure", "median, ms", "p95, ms")
NOTE = """A claim is a transaction with its commit, which waits for the disk on PostgreSQL and not on SQLite. List and
get are whole requests without a network; a list has 50 jobs, a deep page lies behind nine tenths of all. """.replace(
    "\n", " "
)


@dataclass(frozen=True)
class Size:
    """How many jobs there are."""

    ended: int
    queued: int


QUICK = (Size(100, 10), Size(10_000, 1000))
FULL = (Size(100, 10), Size(100, 10_000), Size(10_000, 100), Size(1_000_000, 10_000))


def run(quick: bool = False) -> list[Table]:
    rows: list[list[object]] = []
    repeats = 40 if quick else 100
    for size in QUICK if quick else FULL:
        with tempfile.TemporaryDirectory() as name, databases(Path(name)) as urls:
            for system, url in urls.items():
                for figure, samples in measured(url, Path(name), size, repeats).items():
                    p95 = statistics.quantiles(samples, n=20)[-1]
                    rows.append([system, size.ended, size.queued, figure, statistics.median(samples), p95])
    return [Table("Claim, list and get as jobs grow", COLUMNS, rows, f"{NOTE}{machine('sqlalchemy', 'psycopg')}.")]


def measured(url: str, folder: Path, size: Size, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each figure on one database."""
    database = Database(url)
    copy_job(database, a_terminal_job(database), size.ended)
    copy_job(database, a_queued_job(database), size.queued - 1, first=size.ended)
    app = create_app(Settings(data=folder, database_url=url, api_key=KEY, requests_per_minute=10**9))
    ended, queued = some_ids(database, "succeeded", 200), some_ids(database, "queued", 200)
    deep = encode_cursor(copied_id(size.ended // 10 + 50))
    calls: dict[str, Callable[[int], None]] = {
        "list, first page": lambda index: get(app, "/v1/jobs", "limit=50"),
        "list, deep page": lambda index: get(app, "/v1/jobs", f"limit=50&after={deep}"),
        "list, queued": lambda index: get(app, "/v1/jobs", "limit=50&status=queued"),
        "get, ended": lambda index: get(app, f"/v1/jobs/{ended[index % len(ended)]}"),
        "get, queued": lambda index: get(app, f"/v1/jobs/{queued[index % len(queued)]}"),
        "claim": lambda index: claim_one(database),
    }
    repeats_of = {name: min(repeats, size.queued) if name == "claim" else repeats for name in calls}
    found = {name: timed(call, repeats_of[name]) for name, call in calls.items()}
    database.close()
    app.extensions["descent"].database.close()
    return found


def timed(call: Callable[[int], None], repeats: int) -> list[float]:
    samples = []
    gc.collect()
    for index in range(-3, repeats):
        started = time.perf_counter()
        call(index)
        if index >= 0:
            samples.append(1000 * (time.perf_counter() - started))
    return samples


def claim_one(database: Database) -> None:
    with database.write(durable=False) as connection:  # as the worker does
        claim(connection, "wrk_benchmark", OFFER, 3600)


def get(app: Flask, path: str, query: str = "") -> None:
    """A request as a WSGI server makes it."""
    environment = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1", "HTTP_AUTHORIZATION": f"Bearer {KEY}",
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
    }  # fmt: skip

    def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Callable[[bytes], object]:
        assert status.startswith("200"), status
        return lambda data: None

    b"".join(app(environment, start))
