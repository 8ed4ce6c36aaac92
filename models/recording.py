"""Writes what a running attempt reports. One transaction for all that came in, fenced by the attempt."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, update
from sqlalchemy.dialects import postgresql, sqlite

from models.lifecycle import Claim, LeaseLost, emit, fenced, finish
from models.reports import Built, Ended, EpochEnded, FirstStep, Progress, Report, Sampled
from models.series import nonfinite_name
from models.states import Status
from models.tables import Job, Layer, Statistics, epochs, layer_summaries

INSERT: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def record(connection: Connection, claim: Claim, reports: Sequence[Report], claimed_monotonic: float) -> None:
    """Writes reports in their order. `claimed_monotonic`: this machine's monotonic clock when the job was claimed.

    Raises:
        LeaseLost: the attempt does not hold the job; nothing is written.
    """
    values: dict[Any, Any] = {}
    for report in reports:
        values |= _progress(report, claim, claimed_monotonic)
    if any(isinstance(report, EpochEnded) for report in reports):
        values["version"] = Job.version + 1
    # Taking the row first makes the fence the first statement of the transaction.
    move = update(Job).where(*fenced(claim.job_id, claim.attempt)).values(values or {"attempt": claim.attempt})
    if connection.execute(move).rowcount == 0 and not (reports and isinstance(reports[-1], Ended)):
        raise LeaseLost(claim.job_id)
    _insert_rows(connection, claim, reports)
    for report in reports:
        if isinstance(report, Ended):
            _finish(connection, claim, report)


def _progress(report: Report, claim: Claim, claimed_monotonic: float) -> dict[str, Any]:
    """What a report changes in the job's own row."""
    match report:
        case Built(steps=steps):
            return {"steps": steps}
        case FirstStep(monotonic=monotonic):
            return {"first_step_at": claim.claimed_at + monotonic - claimed_monotonic}
        case Progress(step=step):
            return {"step": step}
        case EpochEnded():
            finite, nonfinite = split_nonfinite(report.metrics)
            flat = {"epoch": report.epoch, **finite} | ({"nonfinite": nonfinite} if nonfinite else {})
            best = {"best": flat} if report.best else {}
            return {"epoch": report.epoch, "step": report.step, "metrics": flat, **best}
    return {}


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
    for report in ended:
        emit(connection, claim.job_id, "job.epoch", claim.attempt, **_epoch_data(report))


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
    return {"epoch": report.epoch, "run": report.run, **finite, "nonfinite": nonfinite, "seconds": report.seconds}


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


def _finish(connection: Connection, claim: Claim, report: Ended) -> None:
    values: dict[str, Any] = {"timings": report.timings, "statistics_cost": report.statistics_cost}
    values |= {"runs": [_run(run) for run in report.runs]} | ({"status_reason": report.reason} if report.reason else {})
    finish(connection, claim.job_id, claim.attempt, Status(report.outcome), report.error, **values)


def _run(run: dict[str, Any]) -> dict[str, Any]:
    """A run's result, with None for what is not finite."""
    best, pretraining = run["best"], run["pretraining"]
    return run | {
        "best": best and _finite(best),
        "pretraining": pretraining and [_finite(layer) for layer in pretraining],
    }
