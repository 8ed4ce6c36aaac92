"""`/jobs/{id}`: one job, its diagnosis first."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, g, render_template
from sqlalchemy import Connection, Row

from models import artifacts, queries, tasks
from models.artifacts import ONNX, State
from models.cures import shown
from models.diagnosed import diagnosed
from models.diagnosis.explained import meaning_of
from models.diagnosis.finding import Code, Severity
from models.errors import NotFound
from models.ids import is_id
from models.keys import Scope
from models.tasks import Kind
from service.api.plots import PICTURES
from service.api.tasks import show_task
from service.auth import require_scope
from service.context import context
from service.dashboard.changes import changes_of
from service.dashboard.confusion import confusion_of
from service.dashboard.trial import trial_of
from service.dashboard.words import spoken
from service.resource import show_job
from service.theory import expected_gains

SEEN_IN = {
    Code.CONSTANT_INIT: "norm",
    Code.DEAD_AT_INIT: "dead",
    Code.DYING_UNITS: "dead",
    Code.SATURATED: "saturation",
    Code.LEARNING_RATE_TOO_LOW: "update_ratio",
    Code.LEARNING_RATE_TOO_HIGH: "update_ratio",
    Code.STALLED: "update_ratio",
    Code.NONFINITE: "norm",
}
"""The statistic whose map shows a finding; of all others `gradient_rms` does."""
MOST_EVALUATIONS = 100


def add_to(pages: Blueprint) -> None:
    pages.add_url_rule("/jobs/<job_id>", "job", show_page)


def show_page(job_id: str) -> str:
    """
    Raises:
        NotFound
    """
    require_scope(Scope.READ)
    if not is_id(job_id):
        raise NotFound("There is no such job.")
    shared = context()
    with shared.database.read() as connection:
        row = queries.find_job(connection, job_id, g.sees)
        [place] = shared.queue.places(connection, [row])
        found = diagnosed(connection, job_id, g.sees)
        layers = queries.layer_rows(connection, job_id)
        files = artifacts.artifacts_of(connection, job_id, g.sees)
        evaluation = _own_evaluation(connection, job_id)
    findings = [_explained(finding, row.definition) for finding in found.said["findings"]]
    return render_template(
        "job.html",
        job=show_job(row, place, shared.settings.max_attempts),
        said=found.said, findings=findings, incident=found.job.incident,
        repair=found.job.repair and shown(found.job.repair),
        layers=[_layer(layer, findings) for layer in layers],
        gains={index: float(f"{gain:.4g}") for index, gain in expected_gains(row.definition).items()},
        pictures=[name for name in PICTURES if name != "time" or row.family == "rnn"] if layers else [],
        files=files, has_model=any(file.name == ONNX and file.state == State.READY for file in files),
        evaluation=evaluation, confusion=confusion_of(evaluation), trial=trial_of(row.definition, layers),
    )  # fmt: skip


def _own_evaluation(connection: Connection, job_id: str) -> dict[str, Any] | None:
    """What the job measured itself, on its validation part."""
    rows = tasks.tasks_of(connection, job_id, g.sees, Kind.EVALUATION, None, MOST_EVALUATIONS)
    own = next((row for row in rows if row.request == artifacts.VALIDATION and row.result is not None), None)
    return own and show_task(own)


def _explained(finding: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, Any]:
    """A finding with what a page says of it."""
    remedies = [remedy | {"changes": changes_of(remedy["patch"], definition)} for remedy in finding["remedies"]]
    code = Code(finding["code"])
    levels = {item["statistic"]: item["threshold"] for item in finding["evidence"]}
    seen_in = {"statistic": SEEN_IN.get(code, "gradient_rms"), "levels": levels}
    return dict(finding) | {"remedies": remedies, "meaning": meaning_of(code)} | seen_in


def _layer(layer: Row[Any], findings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A link of the chain, and the worst that was found in it."""
    of_layer = [finding for finding in findings if layer.index in finding["layers"]]
    worst = min((finding["severity"] for finding in of_layer), default="", key=lambda said: said != Severity.FAULT)
    said = ", ".join(spoken(finding["code"]) for finding in of_layer)
    return dict(layer._mapping) | {"health": str(worst), "said": said}
