"""`python -m benchmarks --only memory`: memory of the API's process, at start and after the digits example."""

import tempfile
from pathlib import Path

from benchmarks.goals import GOALS
from benchmarks.jobs import stacks
from benchmarks.process_memory import held
from benchmarks.report import Table
from tests.system.servers import BACKENDS
from tests.system.stack import Stack

PACKAGES = ("flask", "granian", "sqlalchemy")
READ = ("", "/metrics", "/layers", "/gradients", "/events")
COLUMNS = ("service", "at start", "private", "after the digits example, all its numbers read", "private", "goal")
NOTE = """Resident memory of the process that serves, in MB; private is `RssAnon`, the rest is shared program text. The
drivers of PostgreSQL and of Redis make the difference between the two services."""


def run(quick: bool) -> list[Table]:
    """In a quick run only the embedded service is started, and the example has two epochs."""
    rows = []
    names = list(BACKENDS)[:1] if quick else list(BACKENDS)
    with tempfile.TemporaryDirectory() as folder, stacks(Path(folder), names) as services:
        for name, service in services.items():
            before = megabytes(service)
            tell_the_story(service, {"epochs": 2} if quick else {})
            rows.append([name, *before, *megabytes(service), GOALS[f"memory/{name}"]])
    return [Table("Memory of the API", COLUMNS, rows, " ".join(NOTE.split()))]


def megabytes(service: Stack) -> tuple[float, float]:
    """Of the largest process of the server, the one that serves: resident and private."""
    sizes = [(held("VmRSS", pid), held("RssAnon", pid)) for pid in service.processes("granian")]
    resident, private = max(sizes)
    return resident / 1e6, private / 1e6


def tell_the_story(service: Stack, shortened: dict[str, int]) -> None:
    """What a client does: POST, follow, read everything."""
    definition = service.example("digits_cnn")
    job = service.train(definition | {"training": definition["training"] | shortened})
    for path in (*(f"/v1/jobs/{job['id']}{name}" for name in READ), "/v1/jobs", "/v1/datasets", "/openapi.json"):
        service.client.get(path).raise_for_status()
