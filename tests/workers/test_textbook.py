"""The jobs of the textbook: each that fails is named rightly by its diagnosis, and the others have no fault."""

from pathlib import Path
from typing import Any

import pytest

from service.textbook import chapters
from tests.workers.test_diagnosis import diagnosis_of

JOBS = [(chapter, job) for chapter, told in chapters().items() for job in told["jobs"]]
FAILING = [(chapter, job) for chapter, job in JOBS if job in chapters()[chapter]["diagnoses"]]
LEARNING = [place for place in JOBS if place not in FAILING]


def named(place: tuple[str, str]) -> str:
    return ", ".join(place)


def definition(chapter: str, job: str) -> dict[str, Any]:
    told: dict[str, Any] = chapters()[chapter]["jobs"][job]
    return {part: value for part, value in told.items() if part not in ("name", "tags")}


@pytest.mark.long
@pytest.mark.parametrize("place", FAILING, ids=named)
def test_a_failing_job_is_named_rightly(place: tuple[str, str], folder: Path) -> None:
    chapter, job = place
    diagnosis = diagnosis_of(folder=folder, **definition(chapter, job))
    first = diagnosis.findings[0].code if diagnosis.findings else None
    assert first in chapters()[chapter]["diagnoses"][job], diagnosis.findings


@pytest.mark.long
@pytest.mark.parametrize("place", LEARNING, ids=named)
def test_a_job_that_learns_has_no_fault(place: tuple[str, str], folder: Path) -> None:
    diagnosis = diagnosis_of(folder=folder, **definition(*place))
    assert diagnosis.verdict in ("healthy", "warning"), diagnosis.findings
