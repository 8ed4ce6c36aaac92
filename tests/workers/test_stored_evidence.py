"""What is read out of the database is what the runner saw, number by number; on both databases."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import Connection, select

from models.database import Database
from models.definitions.job import JobDefinition
from models.diagnosis.diagnose import diagnose
from models.diagnosis.evidence import Evidence, Gathering
from models.recording import record
from models.reports import BEGAN_ANEW, Built, Diagnosed, EpochEnded, Facts, Incident, Report, Sampled
from models.stored_evidence import COLUMNS, evidence_of, planned_steps
from models.tables import Job, epochs
from tests.factories import a_claim, a_queued_job
from workers.training.job import train_job

JOBS: dict[str, dict[str, Any]] = {
    "dnn": {"network": {"family": "dnn", "hidden": [8, 8]}, "training": {"epochs": 30, "batch_size": 16}},
    "restarts": {"training": {"epochs": 4, "restarts": 3, "batch_size": 16}},
    "restarts with pre-training": {
        "network": {"family": "dnn", "hidden": [8, 8], "activation": "sigmoid"},
        "training": {"epochs": 4, "restarts": 2, "pretraining": {"kind": "autoencoder", "epochs": 2}},
    },
    "rnn": {
        "network": {"family": "rnn", "cell": "rnn", "hidden": 4},
        "data": {"dataset": "adding", "parameters": {"rows": 200, "length": 10}},
    },
    "by steps": {"training": {"max_steps": 37, "batch_size": 16}},
    "diverging": {
        "policies": {"nonfinite": "continue"},
        "training": {"epochs": 6, "optimizer": {"kind": "sgd", "learning_rate": 1e6, "momentum": 0.9}},
    },
}


def reports_of(definition: JobDefinition, folder: Path) -> list[Report]:
    reports: list[Report] = []
    train_job(definition, folder, torch.device("cpu"), reports.append, lambda: None)
    return reports


def gathered(definition: JobDefinition, reports: list[Report], run: int, complete: bool) -> Evidence:
    """As the runner would, beginning anew with each run."""
    gathering = Gathering(definition, planned_steps(definition))
    ends = {report.run: report.step for report in reports if isinstance(report, EpochEnded)}
    first, last = ends.get(run - 1, 0), ends[run]
    for report in reports:
        if isinstance(report, Sampled) and not first <= report.first_step < last:
            continue
        if isinstance(report, Incident) and not first <= report.step < last:
            continue
        if not isinstance(report, EpochEnded) or report.run == run:
            gathering.see(report)
    return gathering.evidence(complete)


def stored(connection: Connection, job: str) -> Evidence:
    return evidence_of(connection, connection.execute(select(*COLUMNS).where(Job.id == job)).one())


def same(left: Evidence, right: Evidence) -> None:
    for name in (
        "definition",
        "facts",
        "incident",
        "complete",
        "planned_steps",
        "is_abandoned",
        "is_midway",
        "is_cut_short",
    ):
        assert getattr(left, name) == getattr(right, name), name
    assert left.epochs.keys() == right.epochs.keys()
    for name in left.epochs:
        np.testing.assert_array_equal(left.epochs[name], right.epochs[name], err_msg=name)
    assert left.samples.keys() == right.samples.keys()
    for name, samples in left.samples.items():
        np.testing.assert_array_equal(samples.steps, right.samples[name].steps, err_msg=name)
        np.testing.assert_array_equal(samples.values, right.samples[name].values, err_msg=name)


@pytest.mark.parametrize("name", JOBS)
def test_the_database_gives_the_evidence_that_the_runner_gathered(database: Database, folder: Path, name: str) -> None:
    plain = {"data": {"dataset": "iris", "parameters": {}}} | JOBS[name]
    job = a_queued_job(database, **plain)
    mine = a_claim(database)
    reports = reports_of(mine.definition, folder)
    reports[1:1] = [Facts({"rows": 120, "input_rms": 1.0}), Facts({"input_rms": None, "class_counts": [1, 2]})]
    reports.insert(-1, Incident(1, 1, "loss", None, None, "nan", [1, 2], "continue"))
    for at in range(0, len(reports), 7):
        with database.write() as connection:
            record(connection, mine, reports[at : at + 7], 0.0)
    best = max((r for r in reports if isinstance(r, EpochEnded) and r.best), key=lambda r: r.epoch, default=None)
    with database.read() as connection:
        found = stored(connection, job)
    same(found, gathered(mine.definition, reports, best.run if best else 0, complete=True))
    assert len(found.epochs["step"])
    assert len(found.samples["tensors"])
    [built] = [report for report in reports if isinstance(report, Built)]
    assert found.planned_steps is not None
    assert found.planned_steps <= built.steps


TAKEN_BACK: dict[str, dict[str, Any]] = {
    "once": {"epochs": 30},
    "in the second run too": {"epochs": 30, "restarts": 2},
    "five times": {"epochs": 60, "optimizer": {"kind": "sgd", "learning_rate": 1e3}},
}


@pytest.mark.parametrize("name", TAKEN_BACK)
def test_a_run_that_was_taken_back_for_a_finding_is_judged_by_what_came_after(
    database: Database, folder: Path, name: str
) -> None:
    job = a_queued_job(
        database,
        network={"family": "dnn", "hidden": [32, 32]},
        data={"dataset": "digits", "parameters": {}, "rows": 400},
        training={"optimizer": {"kind": "sgd", "learning_rate": 8.0}} | TAKEN_BACK[name],
        policies={"learning_rate_too_high": "rollback_and_lower_rate"},
    )
    mine = a_claim(database)
    reports = reports_of(mine.definition, folder)
    with database.write() as connection:
        record(connection, mine, reports, 0.0)
    with database.read() as connection:
        again = diagnose(stored(connection, job))
    *_, facts = [report.values for report in reports if isinstance(report, Facts) and BEGAN_ANEW in report.values]
    assert facts[BEGAN_ANEW]
    assert again == [report for report in reports if isinstance(report, Diagnosed)][-1].diagnosis


def test_steps_that_were_not_recorded_are_counted(database: Database, folder: Path) -> None:
    job = a_queued_job(database, data={"dataset": "iris", "parameters": {}})
    mine = a_claim(database)
    with database.write() as connection:
        record(connection, mine, reports_of(mine.definition, folder), 0.0)
        before = stored(connection, job)
        connection.execute(epochs.update().values(step=None))
        same(stored(connection, job), before)


def test_what_was_not_finite_is_so_again(database: Database) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    losses: dict[str, float | None] = {"train_loss": float("inf"), "validation_loss": float("nan"), "skill": -np.inf}
    later = {"train_loss": 1.0, "validation_loss": None, "skill": None}
    reports: list[Report] = [EpochEnded(1, 4, losses, True, 0.1), EpochEnded(2, 8, later, False, 0.1)]
    with database.write() as connection:
        record(connection, mine, reports, 0.0)
    with database.read() as connection:
        found = stored(connection, job)
    same(found, gathered(mine.definition, reports, 0, complete=False))
    np.testing.assert_array_equal(found.epochs["train_loss"], [np.inf, 1.0])


@pytest.mark.parametrize(("best", "has_incident"), [(1, True), (2, False)])
def test_an_incident_is_evidence_of_the_run_that_it_befell(database: Database, best: int, has_incident: bool) -> None:
    job = a_queued_job(database, training={"epochs": 1, "restarts": 2})
    incident = Incident(2, 0, "gradient", 0, "hidden_0.weight", "nan", [4], "continue")
    ends = [EpochEnded(n, 3 * n, {"train_loss": 1.0}, n == best, 0.1, run=n - 1) for n in (1, 2)]
    mine = a_claim(database)
    with database.write() as connection:
        record(connection, mine, [incident, *ends], 0.0)
    with database.read() as connection:
        assert (stored(connection, job).incident is not None) == has_incident
