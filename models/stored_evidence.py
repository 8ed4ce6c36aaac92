"""The evidence of a job out of the database: what its runner gathered while it trained, number by number.

So a job can be diagnosed again by newer rules, or where its runner came to no end.
"""

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from models.budget import steps_of, steps_per_epoch
from models.catalogue import shape_of_data
from models.definitions.job import JobDefinition
from models.diagnosis.evidence import Evidence, Gathering
from models.expansion import has_batch_norm
from models.metrics import METRICS
from models.reports import BEGAN_ANEW, EpochEnded, Facts, Incident, Sampled
from models.series import SERIES
from models.states import TERMINAL, Status
from models.tables import Job, Statistics, epochs

COLUMNS = (
    *(Job.id, Job.status, Job.definition, Job.facts, Job.incident),
    *(Job.best, Job.runs, Job.epoch, Job.step),
)
"""Of the row that `evidence_of` takes."""


def evidence_of(connection: Connection, job: Row[Any]) -> Evidence:
    """Of the run with the best result, since it was taken back for a finding if it was, like that of a `Gathering` that
    saw its reports. `job` has COLUMNS.

    Raises:
        ValidationError: this version does not understand the definition any more.
    """
    definition = JobDefinition.model_validate(job.definition)
    gathering = Gathering(definition, planned_steps(definition))
    if job.facts is not None:
        gathering.see(Facts(job.facts))
    rows = connection.execute(select(epochs).where(epochs.c.job_id == job.id).order_by(epochs.c.epoch)).all()
    run = _best_run(job, rows)
    first, end = _steps_of(job, rows, run)
    anew = (step for step in (job.facts or {}).get(BEGAN_ANEW, ()) if first < step <= end)
    since = max(anew, default=-1)
    first, gathering.is_midway = max(first, since), since >= 0
    if job.incident is not None and first <= job.incident["step"] < end:
        gathering.see(Incident(**job.incident))
    for row in rows:
        if row.run == run and _step(job, row) > since:
            gathering.see(EpochEnded(row.epoch, _step(job, row), _metrics(row), False, row.seconds, run=run))
    for chunk in _chunks(connection, job, first, end):
        gathering.see(Sampled(chunk.first_step, chunk.last_step, chunk.samples, chunk.data, chunk.series))
    return gathering.evidence(job.status in TERMINAL, is_abandoned=job.status == Status.CANCELLED)


def planned_steps(definition: JobDefinition) -> int:
    """Of one run, without pre-training."""
    rows = definition.data.training_rows(shape_of_data(definition.data).rows)
    of_epoch = steps_per_epoch(rows, definition.training, has_batch_norm(definition.network))
    return steps_of(definition.training, of_epoch)


def _best_run(job: Row[Any], rows: Sequence[Row[Any]]) -> int:
    """The one with the best epoch; without any, the first."""
    best: int = (job.best or {}).get("epoch", 0)
    runs: dict[int, int] = {row.epoch: row.run for row in rows}
    return runs.get(best, min(runs.values(), default=0))


def _step(job: Row[Any], row: Row[Any]) -> int:
    """Of old rows it is not known; all epochs of a job have the same number of steps."""
    return int(row.step if row.step is not None else round(row.epoch * job.step / max(job.epoch, 1)))


def _metrics(row: Row[Any]) -> dict[str, float | None]:
    """As they were reported, what is not finite too."""
    return {name: float(row.nonfinite[name]) if name in row.nonfinite else getattr(row, name) for name in METRICS}


def _steps_of(job: Row[Any], rows: Sequence[Row[Any]], run: int) -> tuple[int, float]:
    """Where a run begins, and where the next one does."""
    before = [_step(job, row) for row in rows if row.run < run]
    within = [_step(job, row) for row in rows if row.run == run]
    is_last = not within or not (any(row.run > run for row in rows) or len(job.runs or ()) > run + 1)
    return max(before, default=0), math.inf if is_last else max(within)


def _chunks(connection: Connection, job: Row[Any], first: int, end: float) -> Sequence[Row[Any]]:
    """The statistics of a run, of which no chunk reaches into another."""
    query = select(Statistics.__table__).where(Statistics.job_id == job.id, Statistics.series.in_(SERIES))
    query = query.where(Statistics.first_step >= first)
    if math.isfinite(end):
        query = query.where(Statistics.first_step < end)
    return connection.execute(query.order_by(Statistics.series, Statistics.first_step)).all()
