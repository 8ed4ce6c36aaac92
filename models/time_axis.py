"""The columns of gradients over time: which layers, directions and time steps are stored."""

from dataclasses import dataclass
from typing import Any

from models.definitions.layers import Recurrent
from models.shapes import Architecture

MOST_TIME_STEPS = 64
SAMPLED_STATES = 200_000
"""States walked back over for a job's samples: what bounds the cost of long sequences."""
FEWEST_SAMPLES, MOST_SAMPLES = 20, 400


@dataclass(frozen=True)
class TimeAxis:
    """A column is a direction of a recurrent layer at a time step: columns [layers, time_steps], row by row."""

    layers: tuple[dict[str, Any], ...]
    """`{index, layer, name, kind}` of each direction; `layer` is its place in the network."""
    time_steps: tuple[int, ...]
    """Ascending, from 0."""
    length: int
    """Of the sequence."""

    @property
    def samples(self) -> int:
        """How many steps of a job are measured, about."""
        states = max(self.length * len(self.layers), 1)
        return min(max(SAMPLED_STATES // states, FEWEST_SAMPLES), MOST_SAMPLES)


def time_axis(architecture: Architecture) -> TimeAxis | None:
    """Of a network; None if it has no recurrent layer."""
    directions = []
    top = {inside.name: layer.index for layer in architecture.layers for inside in (layer.inner or (layer,))}
    for layer in architecture.recurrent:
        assert isinstance(layer.placed.layer, Recurrent)
        for suffix in ("", " (reverse)")[: 2 if layer.placed.layer.bidirectional else 1]:
            directions.append({"layer": top[layer.name], "name": f"{layer.name}{suffix}", "kind": layer.kind})
    if not directions:
        return None
    length = architecture.recurrent[0].input_shape[0]
    columns = tuple({"index": index} | direction for index, direction in enumerate(directions))
    return TimeAxis(columns, tuple(shown_time_steps(length)), length)


def shown_time_steps(length: int) -> list[int]:
    """All of a short sequence; of a long one both ends whole and log-spaced steps between, seen from the last."""
    if length <= MOST_TIME_STEPS:
        return list(range(length))
    ratio = length ** (1 / (MOST_TIME_STEPS - 1))
    back = {min(round(ratio**power), length) for power in range(MOST_TIME_STEPS)}
    return sorted(length - distance for distance in back)
