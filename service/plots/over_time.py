"""`time`: the norm of dL/dh_t of recurrent layers, by time step and sampled step."""

from typing import Any

import numpy as np
from pydantic import ValidationError
from sqlalchemy import Connection, Row

from models import queries
from models.architecture import architecture_of
from models.definitions.job import JobDefinition
from models.errors import InvalidDefinition
from models.series import Series, assemble
from models.time_axis import TimeAxis, time_axis
from service.plots.heat_map import MOST_COLUMNS, Rows, Shades, heat_map, height_of, key
from service.plots.picture import Picture, Shape, Text, message, picture

TITLE = "Gradient over time"
MOST_PANELS = 4
X, Y, WIDTH = 110, 100, 590


def of(connection: Connection, job: Row[Any]) -> Picture:
    name, axis = job.name or job.id, _axis(job)
    if axis is None:
        return message(TITLE, name, "The network has no recurrent layer, and so no gradient over time.")
    series = assemble(queries.pieces(connection, job.id, "time", "norm", 0, None), points=MOST_COLUMNS)
    if not len(series.steps):
        wanted = job.definition["gradients"].get("time", True)
        said = f"No step has been sampled yet: the job is {job.status}." if wanted else "`gradients.time` is false."
        return message(TITLE, name, said)
    return draw(name, axis, series)


def _axis(job: Row[Any]) -> TimeAxis | None:
    try:
        return time_axis(architecture_of(JobDefinition.model_validate(job.definition)))
    except (InvalidDefinition, ValidationError):  # of a job that older rules have accepted
        return None


def draw(name: str, axis: TimeAxis, series: Series) -> Picture:
    length = len(axis.time_steps)
    values = series.values.astype(np.float64).T.reshape(len(axis.layers), length, -1)[:MOST_PANELS]
    labels = [f"t {step}" for step in axis.time_steps]
    shades, at = Shades.of(values), float(Y)
    shapes: list[Shape] = key(shades, values, X + WIDTH + 24, Y)
    for layer, panel in zip(axis.layers, values, strict=False):
        shapes += [Text("label", X, at - 10, layer["name"])]
        shapes += heat_map(Rows(labels, panel), series.steps.tolist(), shades, X, at, WIDTH)
        at += height_of(length) + 60
    shapes.append(Text("label", X + WIDTH / 2, at - 22, "step", "middle"))
    return picture(TITLE, name, said(axis, series), shapes, max(at, Y + 260))


def said(axis: TimeAxis, series: Series) -> str:
    """In words."""
    text = f"Norm of dL/dh_t, sequences of {axis.length}, steps {series.steps[0]} to {series.steps[-1]}, by logarithm."
    if len(axis.layers) > MOST_PANELS:
        text += f" {MOST_PANELS} of {len(axis.layers)} directions."
    return text
