"""The claims of the textbook, and the jobs that show them, as a client of the API sees them.

textbook = Textbook(client)
textbook.submit(chapters := textbook.chapters())
for check in chapters[0]["checks"]: print(textbook.check(chapters[0], check))
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

Chapter = dict[str, Any]


@dataclass(frozen=True)
class Checked:
    """What was measured, measured, what it has to be, and whether it is."""

    says: str
    measured: str
    bound: str
    holds: bool

    def __str__(self) -> str:
        return f"{self.says:<62} {self.measured:>12}   {self.bound}"

    def cells(self) -> tuple[str, ...]:
        """Of a table."""
        return self.says, self.measured, self.bound


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
        return self.ended(self.jobs[json.dumps(definition, sort_keys=True)])

    def ended(self, job_id: str) -> dict[str, Any]:
        """A job, once it has."""
        while True:
            job: dict[str, Any] = self.get(f"/v1/jobs/{job_id}")
            if job["terminal"]:
                assert job["status"] == "succeeded", job["error"]
                return job
            self.get(f"/v1/jobs/{job_id}", wait=30)

    def check(self, chapter: Chapter, check: dict[str, Any]) -> Checked:
        measured = self.measure(chapter, check)
        if "contains" in check:
            bound = f"contains '{check['contains']}'"
            return Checked(check["says"], str(measured), bound, check["contains"] in str(measured))
        bound, holds = self.compare(chapter, check, measured)
        return Checked(check["says"], f"{measured:.4g}", bound, holds)

    def compare(self, chapter: Chapter, check: dict[str, Any], measured: float) -> tuple[str, bool]:
        """What it has to be, and whether it is."""
        relation = "at_most" if "at_most" in check else "at_least"
        given = check[relation]
        bound = given if isinstance(given, int | float) else self._relative(chapter, given)
        if relation == "at_most":
            return f"≤ {bound:.4g}", measured <= bound
        return f"≥ {bound:.4g}", measured >= bound

    def _relative(self, chapter: Chapter, given: dict[str, Any]) -> float:
        """A bound that another job sets."""
        other, times, plus = self.measure(chapter, given), given.get("times", 1), given.get("plus", 0)
        return float(other * times + plus)

    def measure(self, chapter: Chapter, check: dict[str, Any]) -> Any:
        """One of MEASURES, or a dotted path in a job's reply or in an estimate."""
        if "estimate" in check:
            return self._of_estimate(chapter["estimates"][check["estimate"]], check["measure"])
        return self.of_job(self.job(chapter["jobs"][check["job"]]), check["measure"])

    def of_job(self, job: dict[str, Any], name: str) -> Any:
        if name in MEASURES:
            return MEASURES[name](self, job)
        value = at(job, name)
        return math.nan if value is None else value

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
    """None where it ends before the path does: a job that diverged has no best epoch."""
    for part in path.split("."):
        document = document[part] if document is not None else None
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
