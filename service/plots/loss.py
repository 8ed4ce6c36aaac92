"""`loss`: the losses of training and validation by epoch, with the best epoch marked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row

from models import queries
from models.series import nonfinite_name, thin
from service.plots.axes import Area, Scale, cross, frame, legend, pieces, scale_of, short
from service.plots.picture import Dot, Line, Picture, Shape, Text, message, picture

TITLE = "Loss by epoch"
NAMES = {"train": "train_loss", "validation": "validation_loss"}
MOST_EPOCHS = 400
SPREAD = 20
"""Losses that differ by more than this factor are drawn by their logarithms."""
AREA: Area = (80, 90, 640, 390)


@dataclass(frozen=True)
class Losses:
    epochs: list[int]
    runs: list[int]
    """Which restart each is of."""
    values: dict[str, list[float]]
    """By look; NaN and infinities as they were; only those that the job has."""
    best: int | None
    """Epoch."""


def of(connection: Connection, job: Row[Any]) -> Picture:
    name = job.name or job.id
    losses = losses_of(queries.epoch_rows(connection, job.id, 0), job.best)
    if not losses.epochs:
        return message(TITLE, name, f"No epoch has ended yet: the job is {job.status}.")
    return draw(name, losses)


def losses_of(rows: Sequence[Row[Any]], best: dict[str, Any] | None) -> Losses:
    """Of the rows of epochs, about MOST_EPOCHS of them, extremes and the best among them."""
    names = {look: name for look, name in NAMES.items() if _has(rows, name)}
    best_epoch = (best or {}).get("epoch")
    shown = {place for place, row in enumerate(rows) if row.epoch == best_epoch}
    for name in names.values():
        # Each by itself: the extremes of one are not those of another.
        shown |= set(thin(np.array([[_value(row, name)] for row in rows]), MOST_EPOCHS // 2).tolist())
    kept = [rows[place] for place in sorted(shown)]
    values = {look: [_value(row, name) for row in kept] for look, name in names.items()}
    return Losses([row.epoch for row in kept], [row.run for row in kept], values, best_epoch)


def _has(rows: Sequence[Row[Any]], name: str) -> bool:
    return any(getattr(row, name) is not None or name in row.nonfinite for row in rows)


def _value(row: Row[Any], name: str) -> float:
    value = getattr(row, name)
    return float(row.nonfinite.get(name, "nan")) if value is None else float(value)


def draw(name: str, losses: Losses) -> Picture:
    left, top, right, bottom = AREA
    finite = [value for values in losses.values.values() for value in values if math.isfinite(value)]
    is_log = bool(finite) and min(finite) > 0 and max(finite) / min(finite) > SPREAD
    x = scale_of(losses.epochs, left, right, is_log=False, is_whole=True)
    y = scale_of([_placed(value, is_log) for value in finite] or [0, 1], bottom, top, is_log)
    shapes = frame(AREA, x, y, "epoch", "loss, logarithmic" if is_log else "loss")
    for look, values in losses.values.items():
        shapes += _curve(look, losses, values, x, y)
    shapes += _best(losses, x, y) + _legend(losses)
    return picture(TITLE, name, said(losses), shapes)


def _placed(value: float, is_log: bool) -> float:
    return math.log10(value) if is_log else value


def _curve(look: str, losses: Losses, values: list[float], x: Scale, y: Scale) -> list[Shape]:
    """A line that is broken where a number is not finite, and between restarts."""
    shapes: list[Shape] = []
    points: list[tuple[float, float] | None] = []
    for place, (epoch, value) in enumerate(zip(losses.epochs, values, strict=True)):
        if place and losses.runs[place] != losses.runs[place - 1]:
            points.append(None)
        if math.isfinite(value):
            points.append((x.at(epoch), y.at(_placed(value, y.is_log))))
        else:
            points.append(None)
            shapes += cross(x.at(epoch), AREA[1])
    for piece in pieces(points):
        shapes.append(Line(look, piece) if len(piece) > 1 else Dot(look, *piece[0], 3))
    return shapes


def _best(losses: Losses, x: Scale, y: Scale) -> list[Shape]:
    value = best_value(losses)
    if value is None or losses.best is None:
        return []
    _, top, _, bottom = AREA
    at, height = x.at(losses.best), y.at(_placed(value, y.is_log))
    return [Line("best", ((at, top), (at, bottom))), Dot("best", at, height)]


def best_value(losses: Losses) -> float | None:
    """The loss that the best epoch is chosen by."""
    if losses.best not in losses.epochs:
        return None
    values = losses.values.get("validation") or losses.values.get("train")
    value = values[losses.epochs.index(losses.best)] if values else math.nan
    return value if math.isfinite(value) else None


def _legend(losses: Losses) -> list[Shape]:
    x, y = AREA[2] + 16, AREA[1] + 10
    names = [(look, look) for look in losses.values]
    if best_value(losses) is not None:
        names.append(("best", f"best: epoch {losses.best}"))
    shapes = legend(names, x, y)
    if kinds := _nonfinite(losses):
        at = y + 18 * len(names)
        shapes += [*cross(x + 11, at), Text("alarm", x + 28, at + 4, ", ".join(kinds))]
    return shapes


def _nonfinite(losses: Losses) -> list[str]:
    wild = {nonfinite_name(value) for values in losses.values.values() for value in values if not math.isfinite(value)}
    return sorted(wild)


def said(losses: Losses) -> str:
    """In words."""
    last = {look: values[-1] for look, values in losses.values.items()}
    words = [f"{look} {short(value)}" for look, value in last.items()]
    text = f"Epoch {losses.epochs[-1]}: {', '.join(words)}."
    value = best_value(losses)
    if value is not None:
        text += f" Best epoch {losses.best}: {short(value)}."
    if kinds := _nonfinite(losses):
        text += f" Not finite at crosses: {', '.join(kinds)}."
    return text
