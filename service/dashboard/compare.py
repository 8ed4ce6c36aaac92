"""`/compare?jobs=a,b`: two to six jobs beside each other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, g, render_template, request
from sqlalchemy import Connection, Row

from models import queries
from models.cures import shown
from models.diagnosed import diagnosed
from models.errors import InvalidDefinition, NotFound, Problem
from models.ids import is_id
from models.keys import Scope
from models.separation import Separation, separation
from models.series import Series, assemble
from models.shapes import HIDDEN_KINDS
from service.api.series import COLUMNS
from service.auth import require_scope
from service.context import context
from service.dashboard.changes import differences
from service.resource import show_job

FEWEST, MOST = 2, 6
MEASURES = ("gradient_rms", "norm")
"""What is compared: the first that all have."""


@dataclass(frozen=True)
class Compared:
    """One of the jobs."""

    job: dict[str, Any]
    said: dict[str, Any]
    repair: dict[str, Any] | None
    layers: Sequence[Row[Any]]


def add_to(pages: Blueprint) -> None:
    pages.add_url_rule("/compare", "compare", show_page)


def show_page() -> str:
    """
    Raises:
        InvalidDefinition, NotFound
    """
    require_scope(Scope.READ)
    ids = list(dict.fromkeys(part.strip() for part in request.args.get("jobs", "").split(",") if part.strip()))
    if not FEWEST <= len(ids) <= MOST:
        detail = f"{len(ids)} jobs were chosen; {FEWEST} to {MOST} can be compared."
        raise InvalidDefinition([Problem("/jobs", "number_of_jobs", detail, "Choose some in the list of jobs.")])
    with context().database.read() as connection:
        compared = [_read(connection, job_id) for job_id in ids]
        parted = [_parted(connection, compared[0], other) for other in compared[1:]]
    return render_template(
        "compare.html",
        compared=compared,
        labels=labels_of([one.job for one in compared]),
        parted=parted,
        differing=differences([one.job["definition"] for one in compared]),
        metrics=_metrics(compared),
    )


def labels_of(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Their names; with the end of the id where a name alone would not tell which one it is."""
    names = [job["name"] or "unnamed" for job in jobs]
    return [
        name if names.count(name) == 1 else f"{name} …{job['id'][-6:]}" for name, job in zip(names, jobs, strict=True)
    ]


def _read(connection: Connection, job_id: str) -> Compared:
    if not is_id(job_id):
        raise NotFound(f"There is no job {job_id[:100]}.")
    row = queries.find_job(connection, job_id, g.sees)
    found = diagnosed(connection, job_id, g.sees)
    layers = queries.layer_rows(connection, job_id)
    job = show_job(row, None, context().settings.max_attempts)
    return Compared(job, found.said, found.job.repair and shown(found.job.repair), layers)


def _metrics(compared: list[Compared]) -> list[tuple[str, list[float | None]]]:
    """Of the best epochs, in the order of the first that has each."""
    best = [one.job["best"] or {} for one in compared]
    names = list(dict.fromkeys(name for row in best for name in row if name != "nonfinite"))
    return [(name, [row.get(name) for row in best]) for name in names]


def _parted(connection: Connection, one: Compared, other: Compared) -> dict[str, Any]:
    """Where the gradients of a job part from those of the first; in words where that cannot be said."""
    if not (one.layers and other.layers):
        return {"why_not": "One of them has no samples yet."}
    hidden = [sum(layer.kind in HIDDEN_KINDS for layer in job.layers) for job in (one, other)]
    if hidden[0] != hidden[1]:
        return {"why_not": "Their networks have different numbers of hidden layers."}
    for statistic in MEASURES:
        series = [_series(connection, job, statistic) for job in (one, other)]
        if all(len(part.steps) for part in series) and series[0].values.shape[1] == series[1].values.shape[1]:
            found = separation(*series)
            return {"statistic": statistic, **(_told(found, one, statistic) if found else {"never": True})}
    return {"why_not": "One of them has no samples yet, or their tensors are not the same ones."}


def _told(found: Separation, one: Compared, statistic: str) -> dict[str, Any]:
    _, columns = COLUMNS[statistic]
    layer = columns(one.layers)[found.layer]["name"]
    factor = found.factor if math.isfinite(found.factor) else None
    return {"step": found.step, "layer": layer, "values": found.values, "factor": factor}


def _series(connection: Connection, job: Compared, statistic: str) -> Series:
    kind, _ = COLUMNS[statistic]
    return assemble(queries.pieces(connection, job.job["id"], kind, statistic, 0, None))
