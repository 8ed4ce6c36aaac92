"""`flow`: how much of the gradient at the output comes back to each hidden layer, beside what mean field theory expects
of the network at init."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row

from models import queries
from models.series import assemble
from models.shapes import HIDDEN_KINDS
from service.plots.axes import Area, Scale, amount_of, cross, frame, legend, pieces, scale_of
from service.plots.gradients import weights_of
from service.plots.picture import Dot, Line, Picture, Shape, message, picture
from service.theory import expected_gains

TITLE = "Gradient flow"
AREA: Area = (90, 90, 640, 390)
STEPS = 4
"""Lines: the first step, the last, and two between."""
SHARE = "gradient of the layer / that of the output"
Powers = NDArray[np.float64]
"""Of ten. NaN where a number is unknown or not finite, -inf where it is zero."""


@dataclass(frozen=True)
class Flow:
    labels: list[str]
    """Of layers or tensors, from the input on."""
    steps: list[int]
    measured: list[Powers]
    """For each step."""
    theory: Powers | None
    meaning: str
    noun: str


def of(connection: Connection, job: Row[Any]) -> Picture:
    name, layers = job.name or job.id, queries.layer_rows(connection, job.id)
    flow = _shares(connection, job, layers) or _norms(connection, job, layers)
    if flow is None:
        return message(TITLE, name, f"No step has been sampled yet: the job is {job.status}.")
    return draw(name, flow)


def _shares(connection: Connection, job: Row[Any], layers: Any) -> Flow | None:
    """Of hidden layers, from their measured gains. None where there are none."""
    hidden = [layer for layer in layers if layer.kind in HIDDEN_KINDS]
    series = assemble(queries.pieces(connection, job.id, "layers", "gain", 0, None))
    if not hidden or not len(series.steps) or not np.isfinite(series.values[:, -1]).any():
        return None
    rows = _chosen(np.isfinite(series.values[:, -1]))
    measured = [shares(series.values[row].astype(np.float64)) for row in rows]
    gains = expected_gains(job.definition)
    theory = shares(np.array([gains.get(layer.index, math.nan) for layer in hidden])) if gains else None
    steps = [int(series.steps[row]) for row in rows]
    return Flow([layer.name for layer in hidden], steps, measured, theory, SHARE, "hidden layer")


def shares(gains: NDArray[np.float64]) -> Powers:
    """From the gain of each layer over the next the share of the output's gradient that comes to it, as powers of
    ten."""
    found: Powers = np.cumsum(_powers(gains)[::-1])[::-1]
    return found


def _powers(values: NDArray[np.float64]) -> Powers:
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: Powers = np.log10(values)
    logs[np.isposinf(logs)] = math.nan
    return logs


def _norms(connection: Connection, job: Row[Any], layers: Any) -> Flow | None:
    """The gradient norm of each weight, where there are no gains of hidden layers."""
    tensors = weights_of(layers)
    places = [tensor["index"] for tensor in tensors]
    series = assemble(queries.pieces(connection, job.id, "tensors", "norm", 0, None), places)
    if not tensors or not len(series.steps):
        return None
    rows = _chosen(np.ones(len(series.steps), bool))
    measured = [_powers(series.values[row].astype(np.float64)) for row in rows]
    labels = [tensor["name"] for tensor in tensors]
    return Flow(labels, [int(series.steps[row]) for row in rows], measured, None, "gradient norm", "weight")


def _chosen(usable: NDArray[np.bool_]) -> list[int]:
    """Places of the first, the last, and some between."""
    places = np.flatnonzero(usable)
    spread = np.linspace(0, len(places) - 1, min(STEPS, len(places))).round().astype(int)
    return [int(places[at]) for at in np.unique(spread)]


def draw(name: str, flow: Flow) -> Picture:
    left, top, right, bottom = AREA
    lines = [*flow.measured, *([] if flow.theory is None else [flow.theory])]
    finite = [float(value) for line in lines for value in line[np.isfinite(line)]]
    x = scale_of(range(1, len(flow.labels) + 1), left, right, is_log=False, is_whole=True)
    y = scale_of(finite or [0], bottom, top, is_log=True)
    shapes = frame(AREA, x, y, f"{flow.noun}, from the input to the output", flow.meaning)
    looks = [f"step{place}" for place in range(len(flow.measured))]
    for look, powers in zip(looks, flow.measured, strict=True):
        shapes += _line(look, powers, x, y)
    if flow.theory is not None:
        shapes += [Line("theory", piece) for piece in pieces(_points(flow.theory, x, y)) if len(piece) > 1]
    names = [*zip(looks, [f"step {step}" for step in flow.steps], strict=True)]
    names += [("theory", "theory at init")] if flow.theory is not None else []
    return picture(TITLE, name, said(flow), shapes + legend(names, right + 16, top + 10))


def _points(powers: Powers, x: Scale, y: Scale) -> list[tuple[float, float] | None]:
    placed = enumerate(powers.tolist(), start=1)
    return [(x.at(place), y.at(power)) if math.isfinite(power) else None for place, power in placed]


def _line(look: str, powers: Powers, x: Scale, y: Scale) -> list[Shape]:
    """With a cross where it breaks off: at the top where a number is not finite, at the bottom where it is zero."""
    shapes: list[Shape] = []
    for piece in pieces(_points(powers, x, y)):
        shapes.append(Line(look, piece) if len(piece) > 1 else Dot(look, *piece[0]))
    values = powers.tolist()
    for place, (value, nearer) in enumerate(zip(values, [*values[1:], 0.0], strict=True), start=1):
        if not math.isfinite(value) and math.isfinite(nearer):
            shapes += cross(x.at(place), AREA[3] if value < 0 else AREA[1])
    return shapes


def said(flow: Flow) -> str:
    """In words, of the first layer at the last step."""
    first = float(flow.measured[-1][0])
    amount = "zero" if first == -math.inf else "not finite" if math.isnan(first) else amount_of(first)
    nouns = f"{len(flow.labels)} {flow.noun}{'s' if len(flow.labels) > 1 else ''}"
    text = f"{nouns}; {flow.meaning} is {amount} at the first one at step {flow.steps[-1]}."
    if flow.theory is not None and math.isfinite(flow.theory[0]):
        text += f" Theory expects {amount_of(flow.theory[0])}."
    return text
