"""`make textbook`: runs every claim of the textbook through the API of a service of its own, and says which hold.

python examples/textbook.py            all of them; writes docs/textbook.md
python examples/textbook.py xor sine   some of them
"""

import json
import math
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from demo import await_ready, free_port

ROOT = Path(__file__).parents[1]
DATA = ROOT / "var" / "textbook"
PAGE = ROOT / "docs" / "textbook.md"
Chapter = dict[str, Any]


def main() -> None:
    port, key = free_port(), secrets.token_hex(16)
    mine = {"DESCENT_DATA": str(DATA), "DESCENT_PORT": str(port), "DESCENT_API_KEY": key, "DESCENT_SLOTS": "2"}
    DATA.mkdir(parents=True, exist_ok=True)
    with (DATA / "textbook.log").open("w") as sink:
        line = [sys.executable, "-m", "service"]
        service = subprocess.Popen(line, env=os.environ | mine, stdout=sink, stderr=sink)
    try:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=90) as client:
            await_ready(client, service)
            holds = run(Textbook(client), sys.argv[1:])
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(30)
    sys.exit(0 if holds else 1)


def run(textbook: "Textbook", names: list[str]) -> bool:
    """Prints claim, measured, holds; the page is written when all claims were run."""
    started = time.monotonic()
    chapters = [chapter for chapter in textbook.chapters() if not names or chapter["name"] in names]
    textbook.submit(chapters)
    page, all_hold = [], True
    for chapter in chapters:
        rows = [textbook.check(chapter, check) for check in chapter["checks"]]
        holds = all(row[-1] for row in rows)
        all_hold = all_hold and holds
        print(f"\n{'holds ' if holds else 'FAILS '} {chapter['name']}: {chapter['claim']}")
        for says, measured, bound, ok in rows:
            print(f"    {'ok  ' if ok else 'FAIL'} {says:<62} {measured:>12}   {bound}")
        sys.stdout.flush()
        page.append(section(chapter, rows, holds))
    seconds = time.monotonic() - started
    verdict = "all hold" if all_hold else "NOT ALL HOLD"
    print(f"\n{len(chapters)} claims, {len(textbook.jobs)} jobs in {seconds:.0f} s: {verdict}")
    if not names:
        PAGE.write_text(HEADING.format(claims=len(chapters), jobs=len(textbook.jobs), seconds=seconds) + "".join(page))
    return all_hold


HEADING = """# The textbook

Why neural networks fail to learn, and what cured it: {claims} claims, each shown by jobs that anyone can post
(`GET /v1/textbook`, [examples/textbook](../examples/textbook)). This page was written by `make textbook`, which ran all
{jobs} jobs through the API in {seconds:.0f} s on two CPU slots.
"""


def section(chapter: Chapter, rows: list[tuple[str, str, str, bool]], holds: bool) -> str:
    lines = [f"| {says} | {measured} | {bound} | {'yes' if ok else '**no**'} |" for says, measured, bound, ok in rows]
    table = "\n".join(["| what | measured | claim | holds |", "|---|---|---|---|", *lines])
    verdict = "The claim holds." if holds else "**The claim does not hold.**"
    text = f"**{chapter['claim']}** {chapter['why']} Expected: {chapter['expected']} {verdict}"
    return f"\n## {chapter['title']}\n\n{text}\n\n{table}\n\nJobs: `{chapter['name']}`\n"


class Textbook:
    """The textbook of a service, and the jobs that were run from it. Equal definitions are run once."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.jobs: dict[str, str] = {}

    def get(self, path: str, **query: Any) -> Any:
        reply = self.client.get(path, params=query)
        reply.raise_for_status()
        return reply.json()

    def chapters(self) -> list[Chapter]:
        found: list[Chapter] = self.get("/v1/textbook")["items"]
        return found

    def submit(self, chapters: list[Chapter]) -> None:
        for definition in (definition for chapter in chapters for definition in chapter["jobs"].values()):
            text = json.dumps(definition, sort_keys=True)
            if text not in self.jobs:
                reply = self.client.post("/v1/jobs", json=definition)
                assert reply.status_code == 202, reply.text
                self.jobs[text] = reply.json()["id"]

    def job(self, definition: dict[str, Any]) -> dict[str, Any]:
        """Of this definition, once it has ended."""
        job_id = self.jobs[json.dumps(definition, sort_keys=True)]
        while True:
            job: dict[str, Any] = self.get(f"/v1/jobs/{job_id}")
            if job["terminal"]:
                assert job["status"] == "succeeded", job["error"]
                return job
            self.get(f"/v1/jobs/{job_id}", wait=30)

    def check(self, chapter: Chapter, check: dict[str, Any]) -> tuple[str, str, str, bool]:
        """What was measured, measured, what it has to be, and whether it is."""
        measured = self.measure(chapter, check)
        if "contains" in check:
            return check["says"], str(measured), f"contains '{check['contains']}'", check["contains"] in str(measured)
        (relation, given), *_ = [(name, check[name]) for name in ("at_most", "at_least") if name in check]
        bound = given if isinstance(given, int | float) else self._relative(chapter, given)
        holds = measured <= bound if relation == "at_most" else measured >= bound
        sign = "≤" if relation == "at_most" else "≥"
        return check["says"], f"{measured:.4g}", f"{sign} {bound:.4g}", holds

    def _relative(self, chapter: Chapter, given: dict[str, Any]) -> float:
        """A bound that another job sets."""
        other: float = self.measure(chapter, given)
        return other * given.get("times", 1) + given.get("plus", 0)

    def measure(self, chapter: Chapter, check: dict[str, Any]) -> Any:
        """One of MEASURES, or a dotted path in a job's reply or in an estimate."""
        if "estimate" in check:
            return self._of_estimate(chapter["estimates"][check["estimate"]], check["measure"])
        job, name = self.job(chapter["jobs"][check["job"]]), check["measure"]
        if name in MEASURES:
            return MEASURES[name](self, job)
        value = at(job, name)
        return math.inf if value is None else value

    def _of_estimate(self, definition: dict[str, Any], name: str) -> Any:
        if name == "status_of_post":
            data = {"dataset": "patterns", "parameters": {"channels": 1, "size": 1000, "rows": 10}}
            return self.client.post("/v1/jobs", json=definition | {"data": data}).status_code
        times = []
        for _ in range(5):
            started = time.perf_counter()
            reply = self.client.post("/v1/estimates", json=definition)
            times.append(time.perf_counter() - started)
        reply.raise_for_status()
        if name == "milliseconds":
            return 1000 * sorted(times)[2]
        if name == "warnings":
            return " ".join(f"{warning['code']}: {warning['detail']}" for warning in reply.json()["warnings"])
        return at(reply.json(), name)

    def gains(self, job: dict[str, Any]) -> list[float]:
        """Of the hidden layers but the last, at the first sampled step."""
        values: list[float] = self.get(f"/v1/jobs/{job['id']}/gradients", statistic="gain")["values"][0]
        return values[:-1]

    def time_norms(self, job: dict[str, Any], sample: int) -> list[float]:
        """||dL/dh_t|| of the first recurrent layer, by time step."""
        norms: list[float] = self.get(f"/v1/jobs/{job['id']}/gradients/time")["values"][sample][0]
        return norms

    def weight_norms(self, job: dict[str, Any]) -> list[list[float | None]]:
        reply = self.get(f"/v1/jobs/{job['id']}/gradients", statistic="norm")
        kept = [place for place, column in enumerate(reply["layers"]) if column["kind"] == "weight"]
        return [[row[place] for place in kept] for row in reply["values"]]


def at(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document[part]
    return document


def mean_gain(textbook: Textbook, job: dict[str, Any]) -> float:
    gains = textbook.gains(job)
    return math.exp(sum(math.log(max(gain, 1e-300)) for gain in gains) / len(gains))


def gradient_share(textbook: Textbook, job: dict[str, Any]) -> float:
    first, *_, last = textbook.weight_norms(job)[0]
    return (first or 0.0) / (last or math.inf)


def largest_norm(textbook: Textbook, job: dict[str, Any]) -> float:
    norms = [norm for row in textbook.weight_norms(job) for norm in row]
    return math.inf if None in norms else max(norm for norm in norms if norm is not None)


def time_ratio(textbook: Textbook, job: dict[str, Any], sample: int) -> float:
    norms = textbook.time_norms(job, sample)
    return norms[0] / norms[-1]


def time_decay(textbook: Textbook, job: dict[str, Any], sample: int) -> float:
    """Geometric mean of ||dL/dh_t|| / ||dL/dh_t+1||."""
    norms = textbook.time_norms(job, sample)
    return float((max(norms[0], 1e-300) / norms[-1]) ** (1 / (len(norms) - 1)))


def parameters(textbook: Textbook, job: dict[str, Any]) -> int:
    return sum(layer["parameters"] for layer in textbook.get(f"/v1/jobs/{job['id']}/layers")["items"])


MEASURES: dict[str, Callable[[Textbook, dict[str, Any]], Any]] = {
    "gain_min": lambda textbook, job: min(textbook.gains(job)),
    "gain_max": lambda textbook, job: max(textbook.gains(job)),
    "gain_mean": mean_gain,
    "gradient_share": gradient_share,
    "largest_norm": largest_norm,
    "time_ratio": lambda textbook, job: time_ratio(textbook, job, 0),
    "time_decay": lambda textbook, job: time_decay(textbook, job, 0),
    "time_ratio_end": lambda textbook, job: time_ratio(textbook, job, -1),
    "parameters": parameters,
    "diverged": lambda textbook, job: float(job["metrics"]["train_loss"] is None),
    "runs": lambda textbook, job: len(job["runs"]),
    "worst_run": lambda textbook, job: max(run["best"]["validation_loss"] for run in job["runs"]),
}


if __name__ == "__main__":
    main()
