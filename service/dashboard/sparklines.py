"""Small curves for tables: the course of the loss in a line of text."""

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from models.queries import losses_at

POINTS = 24
WIDTH, HEIGHT = 96.0, 20.0


def sparklines(connection: Connection, rows: Sequence[Row[Any]]) -> dict[str, str]:
    """Of each job the path of its training loss, for an SVG of WIDTH and HEIGHT; however many epochs it has, some
    are asked for."""
    found = losses_at(connection, [(row.id, epoch) for row in rows for epoch in spread(row.epoch)])
    return {job_id: path_of(losses) for job_id, losses in found.items()}


def spread(epochs: int, most: int = POINTS) -> list[int]:
    """Numbers of epochs from the first to the last, evenly spaced."""
    if epochs <= most:
        return list(range(1, epochs + 1))
    return sorted({1 + round(index * (epochs - 1) / (most - 1)) for index in range(most)})


def path_of(losses: Sequence[float | None]) -> str:
    """Of the logarithms where all are positive. What is not finite is a gap."""
    finite = [loss for loss in losses if loss is not None]
    if not finite:
        return ""
    is_positive = min(finite) > 0
    heights = [None if loss is None else math.log(loss) if is_positive else loss for loss in losses]
    known = [height for height in heights if height is not None]
    low, extent = min(known), max(known) - min(known)
    step = WIDTH / max(len(heights) - 1, 1)
    path, begins = [], True
    for index, height in enumerate(heights):
        if height is not None:
            y = 1 + (HEIGHT - 2) * (1 - (height - low) / extent if extent else 0.5)
            path.append(f"{'M' if begins else 'L'}{index * step:.1f} {y:.1f}")
        begins = height is None
    return "".join(path)
