"""The numbers of a job: metrics by epoch, layers as built, gradient statistics by step and tensor."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
from flask import Response, g, jsonify
from pydantic import Field
from sqlalchemy import Row

from models import queries
from models.architecture import architecture_of
from models.definitions.job import JobDefinition
from models.errors import InvalidDefinition
from models.metrics import METRICS
from models.series import (
    FLIGHT_STATISTICS,
    LAYER_STATISTICS,
    STATISTICS,
    STEP_STATISTICS,
    Piece,
    Series,
    assemble,
    thin,
)
from models.shapes import HIDDEN_KINDS
from models.time_axis import time_axis
from service.api.jobs import JobPath
from service.context import context
from service.forms import accepted
from service.openapi import Query, answers, blueprint
from service.replies import FlightReply, GradientsReply, LayersReply, MetricsReply, TimeGradientsReply

api = blueprint("series", "What was measured while a job trained.")

Names = Annotated[str, Field(max_length=10_000, pattern=r"^[ -~]*$")]
"""In ASCII, as all of them are: others would take more bytes than a URL may have."""
Step = Annotated[int, Field(ge=0, lt=2**63)]
Points = Annotated[int, Field(ge=4, le=100_000)]


class MetricsQuery(Query):
    names: Names | None = None
    """Comma-separated; default: all that the job has."""
    after_epoch: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Epochs that are known already."""
    points: Points | None = None
    """At most so many epochs; thinning keeps extremes."""


class StepsQuery(Query):
    layers: Names | None = None
    """Names or indices of layers, comma-separated; default: all."""
    from_step: Step = 0
    """The first one."""
    to_step: Step | None = None
    """The last one."""
    points: Points | None = None
    """At most so many steps; thinning keeps extremes."""
    digits: Annotated[int, Field(ge=1, le=9)] | None = None
    """Significant digits of each value; default: all. Four are what a chart can show, in a quarter of the bytes."""


class GradientsQuery(StepsQuery):
    statistic: Annotated[str, Field(max_length=100)] = "norm"
    """Of each parameter tensor: norm mean std max_abs zeros nonfinite weight_norm update_ratio norm_clipped; of each
    hidden layer: gradient_rms preactivation_rms activation_rms gain dead saturation; of the step as a whole: loss rho
    loss_after predicted probe_gradient."""


@api.get(
    "/v1/jobs/<job_id>/metrics", summary="Loss and metrics by epoch", responses=answers(200, MetricsReply, 404, 422)
)
def get_metrics(path: JobPath, query: MetricsQuery) -> Response:
    """Columns of one length, as far as the job has come; null where a number was not finite, told in `nonfinite`."""
    wanted = _chosen(query.names, METRICS, "names", "metric")
    with context().database.read() as connection:
        queries.find_version(connection, path.job_id, g.sees)
        rows = queries.epoch_rows(connection, path.job_id, query.after_epoch)
    names = [name for name in METRICS if (name in wanted if query.names else _has(rows, name))]
    matrix = np.array([[_number(row, name) for name in names] for row in rows], float).reshape(len(rows), len(names))
    rows = [rows[index] for index in thin(matrix, query.points)]
    places = ("epoch", "run") if any(row.run for row in rows) else ("epoch",)
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in (*places, *names)}
    nonfinite = {name: [[row.epoch, row.nonfinite[name]] for row in rows if name in row.nonfinite] for name in names}
    return jsonify(columns | {"nonfinite": {name: places for name, places in nonfinite.items() if places}})


@api.get("/v1/jobs/<job_id>/layers", summary="The network as built", responses=answers(200, LayersReply, 404, 422))
def get_layers(path: JobPath, query: Query) -> Response:
    """Empty until a worker has built it. `latest` holds medians over the latest epoch that has samples."""
    with context().database.read() as connection:
        queries.find_version(connection, path.job_id, g.sees)
        rows = queries.layer_rows(connection, path.job_id)
        latest = queries.latest_summaries(connection, path.job_id)
    items = [dict(row._mapping) | {"tensors": _with_latest(row.tensors, latest)} for row in rows]
    for item in items:
        del item["job_id"]
    return jsonify(items=items, next=None)


@api.get(
    "/v1/jobs/<job_id>/gradients",
    summary="Gradient statistics by sampled step and tensor, hidden layer or step",
    responses=answers(200, GradientsReply, 404, 406, 422),
)
def get_gradients(path: JobPath, query: GradientsQuery) -> Response:
    """As `application/json`, or as `text/csv` where `Accept` prefers it: a row for each step, a column for each tensor
    or hidden layer, or one of the step as a whole, which no choice of layers leaves out."""
    _chosen(query.statistic, list(COLUMNS), "statistic", "statistic")
    series, columns_of = COLUMNS[query.statistic]
    form = accepted("application/json", "text/csv")
    with context().database.read() as connection:
        queries.find_version(connection, path.job_id, g.sees)
        layers = queries.layer_rows(connection, path.job_id)
        pieces = queries.pieces(connection, path.job_id, series, query.statistic, query.from_step, query.to_step)
    wanted = _wanted(layers, query.layers)
    columns = [column for column in columns_of(layers) if column["layer"] in wanted | {None}]
    values = _assembled(pieces, [column["index"] for column in columns], query)
    if form == "text/csv":
        return Response(_csv(columns, values), mimetype="text/csv")
    return jsonify({"statistic": query.statistic, "layers": columns} | values.plain())


@api.get(
    "/v1/jobs/<job_id>/gradients/time",
    summary="Gradients over time of a recurrent network",
    responses=answers(200, TimeGradientsReply, 404, 422),
)
def get_time_gradients(path: JobPath, query: StepsQuery) -> Response:
    """The norm over rows and units of dL/dh_t, exact, by sampled step, direction of a recurrent layer, and time step.
    Empty for networks without recurrence, and where `gradients.time` is false."""
    with context().database.read() as connection:
        row = queries.find_job(connection, path.job_id, g.sees)
        pieces = queries.pieces(connection, path.job_id, "time", "norm", query.from_step, query.to_step)
        wanted = _wanted(queries.layer_rows(connection, path.job_id), query.layers)
    axis = time_axis(architecture_of(JobDefinition.model_validate(row.definition)))
    if axis is None:
        return jsonify(layers=[], time_steps=[], steps=[], values=[], nonfinite=[])
    layers = [layer for layer in axis.layers if layer["layer"] in wanted]
    length = len(axis.time_steps)
    places = [layer["index"] * length + time for layer in layers for time in range(length)]
    flat = _assembled(pieces, places, query).plain()
    shown = {
        "values": [[row[at : at + length] for at in range(0, len(row), length)] for row in flat["values"]],
        "nonfinite": [[step, place // length, place % length, name] for step, place, name in flat["nonfinite"]],
    }
    return jsonify({"layers": layers, "time_steps": list(axis.time_steps), "steps": flat["steps"]} | shown)


@api.get(
    "/v1/jobs/<job_id>/gradients/flight",
    summary="The last steps before a fault",
    responses=answers(200, FlightReply, 404, 422),
)
def get_flight(path: JobPath, query: Query) -> Response:
    """Every step, sampled or not, of the last 100 before a job's first NaN or infinity, or before the end of one that
    is unhealthy. Empty otherwise. Of a job with restarts, those of each run that had a fault, one behind the other."""
    with context().database.read() as connection:
        queries.find_version(connection, path.job_id, g.sees)
        flight = {
            name: assemble(queries.pieces(connection, path.job_id, "flight", name, 0, None), [0])
            for name in FLIGHT_STATISTICS
        }
    measured = {name: series.plain() for name, series in flight.items() if name != "nonfinite"}
    columns = {name: [value for (value,) in found["values"]] for name, found in measured.items()}
    nonfinite = {name: [[step, kind] for step, _, kind in found["nonfinite"]] for name, found in measured.items()}
    return jsonify(
        {"step": flight["nonfinite"].steps.tolist()}
        | columns
        | {"applied": (flight["nonfinite"].values[:, 0] == 0).tolist()}
        | {"nonfinite": {name: places for name, places in nonfinite.items() if places}}
    )


def _assembled(pieces: list[Piece], places: list[int], query: StepsQuery) -> Series:
    series = assemble(pieces, places, query.from_step, query.to_step, query.points)
    return series if query.digits is None else series.rounded(query.digits)


def _chosen(text: str | None, known: Sequence[str], parameter: str, noun: str) -> list[str]:
    """The names in a parameter.

    Raises:
        InvalidDefinition: one of them is not known.
    """
    names = [name.strip() for name in text.split(",")] if text is not None else list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        detail = f"There is no {noun} {unknown[0][:100]!r}."
        hint = f"There are {', '.join(known)}."
        raise InvalidDefinition.at(f"/{parameter}", f"unknown_{noun}", detail, hint)
    return names


def _has(rows: Sequence[Row[Any]], name: str) -> bool:
    return any(getattr(row, name) is not None or name in row.nonfinite for row in rows)


def _number(row: Row[Any], name: str) -> float:
    value = getattr(row, name)
    return float(value) if value is not None else float("nan")


def _with_latest(tensors: list[dict[str, Any]], latest: dict[int, Row[Any]]) -> list[dict[str, Any]]:
    return [tensor | {"latest": _medians(latest.get(tensor["index"]))} for tensor in tensors]


def _medians(summary: Row[Any] | None) -> dict[str, float | None] | None:
    return {name: getattr(summary, f"{name}_median") for name in STATISTICS} if summary is not None else None


def _wanted(layers: Sequence[Row[Any]], chosen: str | None) -> set[Any]:
    """Indices of the layers chosen by name or index."""
    names = [layer.name for layer in layers] + [str(layer.index) for layer in layers]
    wanted = _chosen(chosen, names, "layers", "layer") if layers else names
    return {layer.index for layer in layers if layer.name in wanted or str(layer.index) in wanted}


def _tensors(layers: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """One column for each parameter tensor."""
    return [
        {
            "index": tensor["index"],
            "layer": layer.index,
            "name": tensor["name"],
            "kind": "bias" if "bias" in tensor["name"] else "weight",
        }
        for layer in layers
        for tensor in layer.tensors
    ]


def _hidden_layers(layers: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """One column for each hidden layer."""
    hidden = [layer for layer in layers if layer.kind in HIDDEN_KINDS]
    return [
        {"index": index, "layer": layer.index, "name": layer.name, "kind": layer.kind}
        for index, layer in enumerate(hidden)
    ]


def _step(layers: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """The one column of what is measured of a whole step."""
    return [{"index": 0, "layer": None, "name": "step", "kind": "step"}]


COLUMNS: dict[str, tuple[str, Callable[[Sequence[Row[Any]]], list[dict[str, Any]]]]] = {
    **dict.fromkeys(STATISTICS, ("tensors", _tensors)),
    **dict.fromkeys(LAYER_STATISTICS, ("layers", _hidden_layers)),
    **dict.fromkeys(STEP_STATISTICS, ("steps", _step)),
}
"""Of each statistic the series that has it, and what its columns are."""


def _csv(columns: list[dict[str, Any]], series: Series) -> str:
    """What is not finite is written nan, inf or -inf."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["step", *[column["name"] for column in columns]])
    for step, row in zip(series.steps.tolist(), series.values.astype(np.float64).tolist(), strict=True):
        writer.writerow([step, *row])
    return text.getvalue()
