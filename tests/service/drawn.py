"""Jobs with numbers that a test makes up, and an SVG read back: what places on it stand for."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from models.architecture import architecture_of
from models.definitions.job import JobDefinition
from models.recording import record
from models.reports import Built, Ended, EpochEnded, Report, Sampled
from models.series import SERIES, Chunk
from tests.factories import a_claim
from tests.service.conftest import Api

SVG = "{http://www.w3.org/2000/svg}"
DEEP: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [8] * 6, "activation": "sigmoid"},
    "data": {"dataset": "digits"},
}
RNN: dict[str, Any] = {
    "network": {"family": "rnn", "cell": "lstm", "hidden": 4, "embedding": {"size": 3}},
    "data": {"dataset": "copy_memory", "parameters": {"length": 10, "rows": 200}},
}


def a_job(api: Api, *reports: Report, is_built: bool = True, **definition: Any) -> str:
    """Its id, once it has reported this; with a network as its definition says."""
    job: str = api.post(**definition).json["id"]
    shown = JobDefinition.model_validate(api.get(f"/{job}").json["definition"])
    built = [Built(built_layers(shown), 100)] if is_built else []
    while (mine := a_claim(api.database)).job_id != job:
        continue  # left waiting by another test
    with api.database.write() as connection:
        record(connection, mine, [*built, *reports], 0.0)
    return job


def built_layers(definition: JobDefinition) -> list[dict[str, Any]]:
    """As a worker reports them, which knows torch."""
    architecture = architecture_of(definition)
    columns = {tensor.name: index for index, tensor in enumerate(architecture.tensors)}
    return [
        {name: getattr(layer, name) for name in ("index", "name", "kind", "parameters", "init")}
        | {"input_shape": list(layer.input_shape), "output_shape": list(layer.output_shape)}
        | {"tensors": [{"index": columns[t.name], "name": t.name, "shape": list(t.shape)} for t in layer.tensors]}
        for layer in architecture.layers
    ]


def an_epoch(epoch: int, train: float, validation: float, best: bool = False, run: int = 0) -> EpochEnded:
    metrics: dict[str, float | None] = {"train_loss": train, "validation_loss": validation}
    return EpochEnded(epoch, epoch * 10, metrics, best, 0.1, run=run)


def sampled(series: str, statistic: str, steps: Sequence[int], values: Any) -> Sampled:
    """`values` [samples][columns]; what else the series has is zero."""
    given = np.asarray(values, np.float32)
    data = np.zeros((len(given), len(SERIES[series]), given.shape[1]), np.float32)
    data[:, SERIES[series].index(statistic)] = given
    return Sampled(steps[0], steps[-1], len(steps), Chunk(np.array(steps), data).encode(), series)


def succeeded() -> Ended:
    return Ended("succeeded", {}, 0.0)


@dataclass
class Axis:
    """Of two ticks, places and numbers."""

    place: float
    number: float
    scale: float
    is_log: bool

    def value(self, at: float) -> float:
        number = self.number + (at - self.place) * self.scale
        return 10**number if self.is_log else number


class Drawn:
    """A picture, as somebody reads it who knows no more than its ticks."""

    def __init__(self, data: bytes) -> None:
        self.root = ET.fromstring(data)
        self.text = data.decode()

    def texts(self, look: str | None = None) -> list[str]:
        return [found.text or "" for found in self._texts(look)]

    def _texts(self, look: str | None = None) -> list[ET.Element]:
        texts = self.root.findall(f".//{SVG}text")
        return [found for found in texts if look is None or found.get("class") == f"text-{look}"]

    def axis(self, is_x: bool) -> Axis:
        """By its ticks, that are numbers."""
        anchor, at = ("middle", "x") if is_x else ("end", "y")
        ticks = [tick for tick in self._texts("tick") if tick.get("text-anchor") == anchor]
        places = [float(tick.get(at, "")) - (0 if is_x else 4) for tick in ticks]
        numbers = [float(tick.text or "") for tick in ticks]
        is_log = not is_x and ("loss, logarithmic" in self.texts("label") or "Gradient flow" in self.text)
        if is_log:
            numbers = [math.log10(number) for number in numbers]
        return Axis(places[0], numbers[0], (numbers[-1] - numbers[0]) / (places[-1] - places[0]), is_log)

    def lines(self, look: str) -> list[list[tuple[float, float]]]:
        """Without those of the legend: in the numbers of the axes."""
        x, y = self.axis(is_x=True), self.axis(is_x=False)
        found = [line for line in self.root.findall(f"{SVG}polyline") if line.get("class") == f"line-{look}"]
        points = [[tuple(map(float, point.split(","))) for point in line.get("points", "").split()] for line in found]
        return [[(x.value(a), y.value(b)) for a, b in line] for line in points if max(a for a, _ in line) <= 641]

    def count(self, kind: str, look: str) -> int:
        return sum(found.get("class") == look for found in self.root.findall(f".//{SVG}{kind}"))

    def cells(self) -> list[list[list[int]]]:
        """Levels by row and column of each heat map, keys left out (they have one column)."""
        return [grid for grid in map(_grid, self.root.findall(f"{SVG}g")) if len(grid[0]) > 1]


def _grid(group: ET.Element) -> list[list[int]]:
    found: dict[tuple[int, int], int] = {}
    for path in group:
        level = int(path.get("class", "").removeprefix("level-"))
        for column, row, length in re.findall(r"M(\d+) (\d+)\.5h(\d+)", path.get("d", "")):
            found |= {(int(row), int(column) + more): level for more in range(int(length))}
    rows, columns = max(row for row, _ in found) + 1, max(column for _, column in found) + 1
    return [[found[row, column] for column in range(columns)] for row in range(rows)]
