"""The model of a job, or why there is none to work with."""

from typing import Any

from flask import g

from models import artifacts
from models.artifacts import CHECKPOINT, ONNX, State
from models.errors import ModelPending, NoModel, UnhealthyModel
from models.states import Status, Verdict
from service.context import context


def kept_checkpoint(job_id: str) -> Any:
    """The row of the weights of a job's best epoch, as `models.artifacts.find_file` gives it.

    Raises:
        NotFound, NoModel
    """
    row = _find(job_id, CHECKPOINT)
    if row.state != State.READY:
        raise NoModel(row.reason)
    return row


def usable_model(job_id: str, allow_unhealthy: bool) -> Any:
    """The row of a job's `model.onnx`, as `models.artifacts.find_file` gives it.

    Raises:
        NotFound, NoModel, ModelPending, UnhealthyModel
    """
    row = _find(job_id, ONNX)
    if row.state == State.FAILED:
        raise NoModel(f"The job has no model.onnx. {row.reason}")
    if row.verdict == Verdict.UNHEALTHY and not allow_unhealthy:
        detail = "The diagnosis says that the network has not learned what it should: GET .../diagnosis tells why."
        raise UnhealthyModel(f"{detail} To predict with it all the same, add ?allow_unhealthy=true.")
    if row.state == State.PENDING:
        raise ModelPending
    return row


def _find(job_id: str, name: str) -> Any:
    with context().database.read() as connection:
        row = artifacts.find_file(connection, job_id, g.sees, name)
    if row.status != Status.SUCCEEDED:
        raise NoModel(f"The job is {row.status}; only one that has succeeded has a model.")
    if row.state is None:
        raise NoModel("The job ended before models were kept; train it again with POST .../clones.")
    return row
