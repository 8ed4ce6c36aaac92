"""Evaluations of a model on another data set than the one that was kept for validation."""

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from models.admission import fill_parameters, problems_of
from models.catalogue import DataShape, shape_of_data
from models.definitions.base import Strict
from models.definitions.data import Data, ValidationSet
from models.definitions.job import JobDefinition
from models.errors import InvalidDefinition, Problem
from models.shapes import same_weights
from models.uploads import Uploads, is_upload, validated_on


class EvaluationBody(Strict):
    """Which data."""

    dataset: str
    """Name of a built-in set, or id of an uploaded one; its rows are like those that were trained on."""
    parameters: dict[str, bool | int | float] = {}
    """Of a generated set."""


def admit_evaluation(stored: dict[str, Any], value: Any, uploads: Uploads) -> dict[str, Any]:
    """The request of a task: `dataset`, `parameters`, and all that a worker has to know of the `data`.

    Raises:
        InvalidDefinition: there is no such data set, or its rows are not like those that were trained on.
    """
    try:
        body = EvaluationBody.model_validate(value)
    except ValidationError as error:
        raise InvalidDefinition(problems_of(error, value)) from error
    job = JobDefinition.model_validate(stored)
    data = _uploaded(job.data, body, uploads) if is_upload(body.dataset) else _built_in(job, body)
    return body.plain() | {"data": data.plain()}


def _uploaded(trained: Data, body: EvaluationBody, uploads: Uploads) -> Data:
    """The data as the job was accepted with them, the other set for validation: what fits for that, fits here."""
    if trained.uploaded is None:
        detail = f"The job was trained on {trained.dataset!r}, which is built in, and its rows have no names."
        raise _refused("/dataset", "other_kind", detail, "Give a built-in set of the same shape.")
    try:
        return validated_on(trained, ValidationSet(dataset=body.dataset), uploads)
    except InvalidDefinition as error:
        told = [Problem("/dataset", p.code, p.detail, p.hint) for p in error.problems]
        raise InvalidDefinition(told) from error


def _built_in(job: JobDefinition, body: EvaluationBody) -> Data:
    update = {"dataset": body.dataset, "parameters": body.parameters, "uploaded": None, "validation": None}
    try:
        data = fill_parameters(job.data.model_copy(update=update))
        shape = shape_of_data(data)
    except InvalidDefinition as error:
        told = [Problem(p.pointer.removeprefix("/data"), p.code, p.detail, p.hint) for p in error.problems]
        raise InvalidDefinition(told) from error
    if not _takes(job, shape):
        own = shape_of_data(job.data)
        detail = f"{body.dataset!r} has {_told(shape)}; the job was trained on {_told(own)}."
        raise _refused("/dataset", "other_shape", detail, "Give a data set like the one that was trained on.")
    return data


def _takes(job: JobDefinition, other: DataShape) -> bool:
    """Whether the network of a job, as it was trained, takes these rows, and has their classes."""
    own = shape_of_data(job.data)
    if replace(other, rows=own.rows, input_shape=own.input_shape, vocabulary=own.vocabulary) != own:
        return False
    known = replace(other, vocabulary=own.vocabulary)
    return other.vocabulary <= own.vocabulary and same_weights(job.network, own, known)


def _told(shape: DataShape) -> str:
    outputs = f"classes {', '.join(shape.classes[:10])}" if shape.classes else f"{shape.outputs} value(s)"
    return f"rows of kind {shape.kind} and shape {list(shape.input_shape)}, with {outputs}"


def _refused(pointer: str, code: str, detail: str, hint: str) -> InvalidDefinition:
    return InvalidDefinition([Problem(pointer, code, detail, hint)])
