"""`python -m benchmarks --only dashboard`: the page of a deep job in a real Chromium, cold, and the memory of the API.

The job has 60 hidden layers and 2 000 sampled steps. Nothing is cached: each view is a visitor's first.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.backends import copy_job
from benchmarks.goals import GOALS
from benchmarks.jobs import stacks
from benchmarks.process_memory import held
from benchmarks.report import Table, median, spread
from models.database import Database
from tests.system.browser import a_browser
from tests.system.servers import children_of
from tests.system.stack import KEY, Stack

PACKAGES = ("flask", "granian", "playwright")
COLUMNS = ("figure", "median", "goal", "spread", "samples")
NOTE = """One slot, embedded, over loopback on the same cores as the browser. `first paint` is the browser's own
first-contentful-paint, `charts` the time from the start of the navigation until curves, map and flow are drawn; `over
the wire` counts all bytes of the view as they were sent, headers and compression included. A view of the memory row
is the page and all that its scripts ask for."""
WATCH = """
addEventListener("DOMContentLoaded", () => {
  const parts = ["#heat canvas", "#loss svg", "#flow svg"];
  const look = () => {
    if (parts.every((part) => document.querySelector(part))) window.drawn = performance.now();
    else requestAnimationFrame(look);
  };
  look();
});
"""
"""Notes when all is drawn."""
DEEP = {
    "name": "60 layers, 2 000 samples",
    "network": {"family": "dnn", "hidden": [16] * 60, "activation": "relu", "init": "he"},
    "data": {"dataset": "digits"},
    "training": {"max_steps": 2000},
    "gradients": {"every_steps": 1},
}
ASKED = (
    *("/v1/jobs/{id}", "/v1/jobs/{id}/metrics?points=400"),
    *(f"/v1/jobs/{{id}}/gradients?statistic={name}&points=480&digits=4" for name in ("gain", "gradient_rms")),
    "/v1/jobs/{id}/gradients/time?points=480&digits=4",
)
"""By the scripts of a page."""


def run(quick: bool) -> list[Table]:
    with tempfile.TemporaryDirectory() as folder, stacks(Path(folder), ["embedded"]) as services:
        stack = services["embedded"]
        job = stack.train(DEEP)
        assert job["status"] == "succeeded", job
        views = list(viewed(stack, job["id"], 3 if quick else 15))
        rows = [row(name, [view[name] for view in views]) for name in views[0]]
        rows.append(memory_row(stack, job["id"], 50 if quick else 500))
        rows.append(list_row(stack, job["id"], 5 if quick else 30))
    return [Table("The dashboard's page of a deep job", COLUMNS, rows, " ".join(NOTE.split()))]


def row(name: str, values: list[float]) -> list[object]:
    return [name, median(values), GOALS.get(f"dashboard/{name}", ""), spread(values), len(values)]


def viewed(stack: Stack, job_id: str, times: int) -> Iterator[dict[str, float]]:
    """One visitor after the other; the first is not counted, who has the service read its files."""
    with a_browser() as browser:
        for index in range(times + 1):
            with visitor(browser, stack.url) as page:
                found = view(page, f"{stack.url}/jobs/{job_id}")
            if index:
                yield found


@contextmanager
def visitor(browser: Any, origin: str) -> Iterator[Any]:
    """Signed in by a request beside the page, so that the page under test is the first one."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    reply = context.request.post(f"{origin}/sign-in", form={"key": KEY}, max_redirects=0)
    assert reply.status == 303
    try:
        yield context.new_page()
    finally:
        context.close()


def view(page: Any, url: str) -> dict[str, float]:
    """Milliseconds, and kilobytes."""
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    sizes: list[float] = []
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.add_init_script(WATCH)
    page.goto(url)
    for _ in range(200):
        if drawn := page.evaluate("window.drawn"):
            break
        page.wait_for_timeout(50)
    page.wait_for_timeout(500)
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return {"first paint, ms": paint, "charts, ms": drawn, "over the wire, kB": sum(sizes) / 1000}


def memory_row(stack: Stack, job_id: str, times: int) -> list[object]:
    """Private memory of the API after the first tenth of the views, and its growth by all others."""
    # Of granian's two processes the one that serves has no child.
    [pid] = [pid for pid in stack.processes("granian") if not children_of(pid)]
    paths = [f"/jobs/{job_id}", *(path.format(id=job_id) for path in ASKED)]
    with signed_in(stack) as client:
        sizes = []
        for _ in range(times):
            for path in paths:
                client.get(path, headers={"Accept": "text/html"} if path == paths[0] else {}).raise_for_status()
            sizes.append(held("RssAnon", pid) / 1e6)
    grown = sizes[-1] - sizes[times // 10]
    return [
        f"memory grown over {times} views, MB",
        grown,
        GOALS["dashboard/memory"],
        f"{min(sizes):.1f}-{max(sizes):.1f}",
        times,
    ]


def list_row(stack: Stack, job_id: str, times: int) -> list[object]:
    """Milliseconds of the list's first page, of a thousand jobs."""
    database = Database(stack.database_url)
    copy_job(database, job_id, 1000)
    database.close()
    with signed_in(stack) as client:
        taken = [client.get("/", headers={"Accept": "text/html"}).elapsed.total_seconds() * 1000 for _ in range(times)]
    return row("list of 1 000 jobs, ms", taken)


@contextmanager
def signed_in(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, headers={"Accept-Encoding": "gzip"}) as client:
        assert client.post("/sign-in", data={"key": KEY}).status_code == 303
        yield client
