"""`gradients`: the gradient norm of each weight, from the first layer to the last, at the sampled steps."""

from typing import Any

import numpy as np
from sqlalchemy import Connection, Row

from models import queries
from models.series import Series, assemble
from service.plots.heat_map import MOST_COLUMNS, Shades, heat_map, height_of, key, pooled
from service.plots.picture import Picture, Text, message, picture

TITLE = "Gradient norm by layer and step"
X, Y, WIDTH = 170, 80, 530


def of(connection: Connection, job: Row[Any]) -> Picture:
    name, tensors = job.name or job.id, weights_of(queries.layer_rows(connection, job.id))
    read = queries.pieces(connection, job.id, "tensors", "norm", 0, None)
    series = assemble(read, [tensor["index"] for tensor in tensors], points=MOST_COLUMNS)
    if not tensors or not len(series.steps):
        return message(TITLE, name, f"No step has been sampled yet: the job is {job.status}.")
    return draw(name, [tensor["name"] for tensor in tensors], series)


def weights_of(layers: Any) -> list[dict[str, Any]]:
    """The parameter tensors that are no biases: `{index, name}`, where the name of the layer says enough just that."""
    tensors = [tensor for layer in layers for tensor in layer.tensors if "bias" not in tensor["name"]]
    return [tensor | {"name": tensor["name"].removesuffix(".weight").removesuffix(".linear")} for tensor in tensors]


def draw(name: str, labels: list[str], series: Series) -> Picture:
    values = series.values.astype(np.float64).T
    rows, shades = pooled(labels, values), Shades.of(values)
    height = height_of(len(rows.labels))
    shapes = [
        *heat_map(rows, series.steps.tolist(), shades, X, Y, WIDTH),
        Text("label", X + WIDTH / 2, Y + height + 38, "step", "middle"),
        *key(shades, values, X + WIDTH + 24, Y),
    ]
    return picture(TITLE, name, said(labels, series, rows.pooled), shapes, max(Y + height + 60, Y + 260))


def said(labels: list[str], series: Series, size: int) -> str:
    """In words."""
    noun = "weight" if len(labels) == 1 else "weights"
    text = f"{len(labels)} {noun}, steps {series.steps[0]} to {series.steps[-1]}, colours by logarithm."
    if size > 1:
        text += f" Each row is the largest of {size} neighbours."
    if wild := int((~np.isfinite(series.values)).sum()):
        text += f" {wild} numbers are not finite."
    return text
