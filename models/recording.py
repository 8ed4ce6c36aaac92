"""Writes what a running attempt reports. One transaction for all that came in, fenced by the attempt."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from models import artifacts
from models.claims import Claim
from models.database import database_now
from models.findings import record_findings, take_back
from models.history import emit_all
from models.lifecycle import LeaseLost, fail, fenced, finish, give_back
from models.repairs import Limits, repair_by_itself
from models.reports import (
    Built,
    Checkpointed,
    CheckpointFailed,
    Ended,
    EpochEnded,
    FirstStep,
    Progress,
    Report,
    Resumed,
    Sampled,
    StatisticsLost,
)
from models.series import nonfinite_name
from models.states import Status
from models.tables import Job, Layer, Statistics, epochs, layer_summaries

DEFAULT_LIMITS = Limits()
INSERT: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def record(
    connection: Connection,
    claim: Claim,
    reports: Sequence[Report],
    claimed_monotonic: float,
    batch: int = 0,
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Writes reports in their order. `claimed_monotonic`: this machine's monotonic clock when the job was claimed;
    `limits` are those of repairs that come of it.

    Batches of an attempt are numbered from 1: writing one again (the reply to its commit was lost) changes nothing.

    Raises:
        LeaseLost: the attempt does not hold the job; nothing is written.
    """
    values: dict[Any, Any] = {"recorded": batch}
    for report in reports:
        values |= _progress(report, claim, claimed_monotonic)
    if any(isinstance(report, EpochEnded) for report in reports):
        values["version"] = Job.version + 1
    # Taking the row first makes the fence the first statement of the transaction.
    guard = fenced(claim.job_id, claim.attempt) + ((Job.recorded < batch,) if batch else ())
    if connection.execute(update(Job).where(*guard).values(values)).rowcount == 0:
        if not _is_recorded(connection, claim, batch):
            raise LeaseLost(claim.job_id)
        return
    for report in reports:
        if isinstance(report, Resumed):  # the first of its attempt
            _take_back(connection, claim, report)
            take_back(connection, claim, report)
    _insert_rows(connection, claim, reports)
    record_findings(connection, claim, reports)
    for report in reports:
        if isinstance(report, Ended):
            _end(connection, claim, report, limits)


def without_statistics(reports: Sequence[Report]) -> list[Report]:
    """The same reports, with the samples counted as lost."""
    lost = sum(report.samples for report in reports if isinstance(report, Sampled))
    kept = [report for report in reports if not isinstance(report, Sampled)]
    bare = [replace(report, summary=None) if isinstance(report, EpochEnded) else report for report in kept]
    return [StatisticsLost(lost), *bare]


def _is_recorded(connection: Connection, claim: Claim, batch: int) -> bool:
    row = connection.execute(select(Job.attempt, Job.recorded).where(Job.id == claim.job_id)).one_or_none()
    return batch > 0 and row is not None and row.attempt == claim.attempt and row.recorded >= batch


def _progress(report: Report, claim: Claim, claimed_monotonic: float) -> dict[str, Any]:
    """What a report changes in the job's own row."""
    values: dict[str, Any] = {}
    match report:
        case Built(steps=steps):
            values = {"steps": steps}
        case FirstStep(monotonic=monotonic):
            values = {"first_step_at": claim.claimed_at + monotonic - claimed_monotonic}
        case Resumed(step=step, epoch=epoch):
            values = {"step": step, "epoch": epoch, "metrics": report.metrics and _flat(report.metrics)}
            values["best"] = report.best and _flat(report.best)
        case Progress(step=step, seconds_per_step=seconds):
            values = {"step": step} | ({"seconds_per_step": seconds} if seconds is not None else {})
            if report.monotonic is not None:
                values["reported_at"] = claim.claimed_at + report.monotonic - claimed_monotonic
        case Checkpointed(name=name, step=step):
            # Attempts count from anew where one has come further than those before.
            further = case((Job.checkpoint_step < step, 0), else_=Job.fruitless)
            values = {"step": step, "checkpoint": name, "checkpoint_step": step, "fruitless": further}
            values["checkpoint_at"] = database_now()
        case StatisticsLost(samples=samples):
            values = {"statistics_lost": Job.statistics_lost + samples}
        case EpochEnded():
            flat = _flat({"epoch": report.epoch, **report.metrics})
            values = {"epoch": report.epoch, "step": report.step, "metrics": flat}
            values |= {"best": flat} if report.best else {}
    return values


def _flat(metrics: dict[str, float | None]) -> dict[str, Any]:
    """As a job shows them: None for what is not finite, which `nonfinite` names."""
    finite, nonfinite = split_nonfinite(metrics)
    return finite | ({"nonfinite": nonfinite} if nonfinite else {})


def _take_back(connection: Connection, claim: Claim, resumed: Resumed) -> None:
    """Deletes what an earlier attempt recorded beyond the place where this one goes on; it will come again."""
    chunks = Statistics.__table__.c
    beyond = (
        (Statistics.__table__, chunks.job_id, chunks.first_step >= resumed.step),
        (epochs, epochs.c.job_id, epochs.c.epoch > resumed.epoch),
        (layer_summaries, layer_summaries.c.job_id, layer_summaries.c.epoch > resumed.epoch),
    )
    for table, job_id, is_beyond in beyond:
        connection.execute(delete(table).where(job_id == claim.job_id, is_beyond))  # type: ignore[arg-type]


def _insert_rows(connection: Connection, claim: Claim, reports: Sequence[Report]) -> None:
    job = {"job_id": claim.job_id}
    ended = [report for report in reports if isinstance(report, EpochEnded)]
    built = [layer for report in reports if isinstance(report, Built) for layer in report.layers]
    chunks = [vars(report) for report in reports if isinstance(report, Sampled)]
    summarised = [({"epoch": report.epoch}, report.summary) for report in ended if report.summary]
    _upsert(connection, Layer.__table__, [job | layer for layer in built])
    _upsert(connection, epochs, [job | _epoch_row(report) for report in ended])
    _upsert(connection, Statistics.__table__, [job | chunk for chunk in chunks])
    _upsert(connection, layer_summaries, [job | epoch | row for epoch, summary in summarised for row in summary.rows()])
    emit_all(connection, claim.job_id, claim.attempt, [event for report in reports for event in _events(report)])


def _events(report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    match report:
        case EpochEnded():
            yield "job.epoch", _epoch_data(report)
        case Checkpointed(step=step, epoch=epoch, size=size):
            yield "job.checkpoint", {"step": step, "epoch": epoch, "bytes": size}
        case CheckpointFailed(step=step, detail=detail):
            yield "job.checkpoint", {"step": step, "failed": detail}


def _upsert(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    """Inserts rows; one whose key is there already is replaced (its first commit went through, the reply was lost)."""
    if rows:
        assert isinstance(table, Table)
        connection.execute(_upsert_statement(connection.dialect.name, table, frozenset(rows[0])), rows)


@cache
def _upsert_statement(dialect: str, table: Table, given: frozenset[str]) -> Any:
    """Kept, for to build it takes longer than to execute it."""
    insert = INSERT[dialect](table)
    keys = [column.name for column in table.primary_key]
    others = {column.name: insert.excluded[column.name] for column in table.columns if column.name in given}
    return insert.on_conflict_do_update(index_elements=keys, set_=others)


def _epoch_row(report: EpochEnded) -> dict[str, Any]:
    finite, nonfinite = split_nonfinite(report.metrics)
    place = {"epoch": report.epoch, "run": report.run, "step": report.step}
    return place | finite | {"nonfinite": nonfinite, "seconds": report.seconds}


def _epoch_data(report: EpochEnded) -> dict[str, Any]:
    finite, nonfinite = split_nonfinite(report.metrics)
    return {"epoch": report.epoch, **finite, "nonfinite": nonfinite}


def split_nonfinite(metrics: dict[str, float | None]) -> tuple[dict[str, float | None], dict[str, str]]:
    """The metrics with None for what is not finite, and the names of those with `nan`, `+inf` or `-inf`."""
    wrong = {
        name: nonfinite_name(value) for name, value in metrics.items() if value is not None and not math.isfinite(value)
    }
    return {name: None if name in wrong else value for name, value in metrics.items()}, wrong


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}


def _end(connection: Connection, claim: Claim, report: Ended, limits: Limits) -> None:
    values: dict[str, Any] = {"timings": report.timings, "statistics_cost": report.statistics_cost}
    values |= {"runs": [_run(run) for run in report.runs], "weights_sha256": report.weights_sha256}
    if report.reason:
        values["status_reason"] = report.reason
    is_numeric = report.error is not None and report.error["class"] == "numeric"
    if claim.stored.get("repair") and (report.outcome == Status.SUCCEEDED or is_numeric):
        # Before the end, which is the last event of a job.
        repair_by_itself(connection, claim.job_id, claim.attempt, report.outcome, report.error, limits)
    match report.outcome:
        case "paused" | "left":
            # Whichever was asked, the row knows what is to become of the job.
            give_back(connection, claim.job_id, claim.attempt, "its worker is shutting down", 1, counts=False)
        case "failed":
            assert report.error is not None
            fail(connection, claim.job_id, claim.attempt, report.error, **values)
        case _:
            finish(connection, claim.job_id, claim.attempt, Status(report.outcome), **values)
            if report.model is not None:
                artifacts.expect(connection, claim.job_id, report.model)


def _run(run: dict[str, Any]) -> dict[str, Any]:
    """A run's result, with None for what is not finite."""
    best, pretraining = run["best"], run["pretraining"]
    return run | {
        "best": best and _finite(best),
        "pretraining": pretraining and [_finite(layer) for layer in pretraining],
    }
