"""What the diagnoses of the textbook's jobs say, and whether their repairs come to what the textbook's cures do.

cures = Cures(textbook)
cures.begin(chapter)                                    queues the first repairs
for judged in cures.judged(chapter): print(judged)      follows them
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from claims import Chapter, Textbook

MOST_REPAIRS = 2
"""In a row: a repair that still has a fault is repaired once more."""
Job = dict[str, Any]


@dataclass(frozen=True)
class Cured:
    """What became of a job by repair."""

    remedies: str = ""
    measured: str = ""
    """Before, after, and what it has to be."""
    holds: bool = True


@dataclass(frozen=True)
class Judged:
    """What the diagnosis of a job has to say first, what it says, and what became of the job."""

    job: str
    expected: str
    found: str
    is_right: bool
    cured: Cured

    @property
    def holds(self) -> bool:
        return self.is_right and self.cured.holds

    def __str__(self) -> str:
        found = self.found if self.is_right else f"{self.found}, should be {self.expected}"
        return f"{self.job + ': ' + found:<62} {self.cured.remedies:<24} {self.cured.measured}".rstrip()

    def cells(self) -> tuple[str, ...]:
        """Of a table."""
        return self.job, self.expected, self.found, self.cured.remedies, self.cured.measured


class Cures:
    """The repairs of a textbook's jobs. A job of two chapters is repaired once."""

    def __init__(self, textbook: Textbook) -> None:
        self.textbook = textbook
        self.repairs: dict[str, list[str]] = {}
        """By job: its repair, and the repair of that."""

    @property
    def count(self) -> int:
        return sum(map(len, self.repairs.values()))

    def begin(self, chapter: Chapter) -> None:
        for name in chapter["repairs"]:
            job_id = self.textbook.job(chapter["jobs"][name])["id"]
            if job_id not in self.repairs:
                self.repairs[job_id] = self._repair(job_id)

    def judged(self, chapter: Chapter) -> Iterator[Judged]:
        """Each job of a chapter, once its repairs have ended."""
        for name, definition in chapter["jobs"].items():
            job, wanted = self.textbook.job(definition), chapter["diagnoses"].get(name, [])
            said = self._diagnosis(job)
            first = said["findings"][0]["code"] if said["findings"] else said["verdict"]
            is_right = first in wanted if wanted else not has_fault(said)
            bound = chapter["repairs"].get(name)
            cured = self._cured(chapter, job, bound) if bound else Cured()
            yield Judged(name, " or ".join(wanted) or "no fault", first, is_right, cured)

    def _cured(self, chapter: Chapter, job: Job, check: dict[str, Any]) -> Cured:
        children = list(self._followed(job))
        if not children:
            return Cured("no remedy", holds=False)
        remedies = ", ".join(self._diagnosis(child)["repair"]["remedy"] for child in children)
        before, after = (self.textbook.of_job(of, check["measure"]) for of in (job, children[-1]))
        bound, holds = self.textbook.compare(chapter, check, after)
        what = check["measure"].split(".")[-1].replace("_", " ")
        return Cured(remedies, f"{what} {shown(before)} → {shown(after)} ({bound})", holds)

    def _followed(self, job: Job) -> Iterator[Job]:
        """The repairs of a job in a row, until one has no fault."""
        repairs = self.repairs[job["id"]]
        for place in range(MOST_REPAIRS):
            if place == len(repairs):
                repairs += self._repair(repairs[-1]) if repairs else []
            if place == len(repairs):
                return
            child = self.textbook.ended(repairs[place])
            yield child
            if not has_fault(self._diagnosis(child)):
                return

    def _repair(self, job_id: str) -> list[str]:
        """By the first remedy of its diagnosis; empty where there is none."""
        reply = self.textbook.client.post(f"/v1/jobs/{job_id}/repairs")
        if reply.status_code == 409:
            return []
        assert reply.status_code == 202, reply.text
        return [reply.json()["id"]]

    def _diagnosis(self, job: Job) -> dict[str, Any]:
        said: dict[str, Any] = self.textbook.get(f"/v1/jobs/{job['id']}/diagnosis")
        return said


def has_fault(diagnosis: dict[str, Any]) -> bool:
    return bool(diagnosis["verdict"] == "unhealthy")


def shown(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "none"
