"""Gradient statistics as compact chunks, and back as series that an answer can show. Numpy only.

A chunk holds about 100 sampled steps: a header, the steps, then float32 values [statistics][samples][columns], so that
one statistic is one contiguous slice. Values that are not finite stay what they are, bit for bit.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import DescentError

STATISTICS = ("norm", "mean", "std", "max_abs", "zeros", "nonfinite", "weight_norm", "update_ratio", "norm_clipped")
"""Per parameter tensor and sampled step, of the final gradient before clipping: `norm` its L2 norm; `mean`, `std`
(population) and `max_abs` of its elements; `zeros` the share of exact zeros; `nonfinite` the count of NaN and
infinities; `weight_norm` the L2 norm of the weights after the step; `update_ratio` ||w_after - w_before|| /
||w_before||; `norm_clipped` the L2 norm after clipping."""
LAYER_STATISTICS = ("gradient_rms", "preactivation_rms", "activation_rms", "gain", "dead", "saturation")
"""Per hidden layer and sampled step, over the batch: root mean squares of dL/dz (of a residual layer dL/dy, its
output), of the pre-activation z and of the activation; `gain` ||dL/dz of this layer|| / ||dL/dz of the next||; `dead`
the share of units (channels of a convolution) whose slope is nearly 0 on every row of the fixed probe batch;
`saturation` the mean of phi'(z) / phi'(0). The last two are NaN where they have no meaning: `dead` is of relu, elu,
selu, gelu and silu, `saturation` of sigmoid and tanh."""
STEP_STATISTICS = ("loss", "rho", "loss_after", "predicted", "probe_gradient")
"""Per sampled step: `loss` of its batch; `loss_after` on the same batch with the same dropout masks after the step;
`predicted` the change that the gradient promised, g.dw; `rho` = (loss_after - loss) / predicted; `probe_gradient` the
norm of the gradient on the probe batch, NaN where it is not measured."""
FLIGHT_STATISTICS = ("loss", "gradient_norm", "nonfinite")
"""Per step, sampled or not, of the last FLIGHT_STEPS before a fault: loss, norm of the whole gradient, and 1 where any
of it was not finite."""
FLIGHT_STEPS = 100
SERIES: dict[str, tuple[str, ...]] = {
    "tensors": STATISTICS,
    "layers": LAYER_STATISTICS,
    "time": ("norm",),
    "steps": STEP_STATISTICS,
    "flight": FLIGHT_STATISTICS,
}
"""What is stored, and the statistics of each. A column is a parameter tensor, a hidden layer, or a time step of a
direction of a recurrent layer (`time`: the norm of dL/dh_t); `steps` and `flight` have one."""
QUANTILES = ("p5", "median", "p95")

MAGIC = b"DSC1"
HEADER = struct.Struct("<4sIII")
"""Magic and version, samples, statistics, columns; then one byte for each statistic: its place in the SERIES."""

Steps = NDArray[np.int64]
Values = NDArray[np.float32]


class CorruptChunk(DescentError):
    """A chunk of statistics cannot be read."""


@dataclass(frozen=True)
class Chunk:
    """Some sampled steps of a job."""

    steps: Steps
    """[samples], ascending."""
    values: Values
    """[samples, statistics, columns]; a column is a parameter tensor."""

    def encode(self) -> bytes:
        samples, statistics, columns = self.values.shape
        header = HEADER.pack(MAGIC, samples, statistics, columns) + bytes(range(statistics))
        by_statistic = np.ascontiguousarray(self.values.transpose(1, 0, 2), dtype="<f4")
        return header + self.steps.astype("<i8").tobytes() + by_statistic.tobytes()

    @staticmethod
    def decode(data: bytes) -> "Chunk":
        """Raises CorruptChunk."""
        layout = Layout.of(data)
        if len(data) != layout.size:
            raise CorruptChunk("Its length is not what its header says.")
        shape = len(layout.statistics), layout.samples, layout.columns
        by_statistic = np.frombuffer(data, "<f4", offset=layout.values_at).reshape(shape)
        return Chunk(layout.steps(data), by_statistic.transpose(1, 0, 2))


HEAD_BYTES = HEADER.size + 255
"""From the first so many bytes of a chunk its layout can be told, whatever its statistics."""


@dataclass(frozen=True)
class Place:
    """Where one statistic lies in chunks of one layout, in bytes, for a database to cut it out: the steps end `head`
    + 8 x samples from the start, the statistic begins at `head` + `before` x samples and has `width` x samples."""

    head: int
    before: int
    width: int
    """0 where the chunk is older than the statistic."""


@dataclass(frozen=True)
class Layout:
    """Where things are in a chunk's bytes."""

    samples: int
    statistics: tuple[int, ...]
    columns: int

    @classmethod
    def of(cls, head: bytes) -> "Layout":
        """Of a chunk that begins like this.

        Raises:
            CorruptChunk
        """
        if len(head) < HEADER.size or not head.startswith(MAGIC):
            raise CorruptChunk("It does not begin as a chunk of statistics does.")
        _, samples, statistics, columns = HEADER.unpack_from(head)
        return cls(samples, tuple(head[HEADER.size : HEADER.size + statistics]), columns)

    @property
    def steps_at(self) -> int:
        return HEADER.size + len(self.statistics)

    @property
    def values_at(self) -> int:
        return self.steps_at + 8 * self.samples

    @property
    def size(self) -> int:
        """Of a whole chunk."""
        return self.values_at + 4 * self.samples * len(self.statistics) * self.columns

    def steps(self, data: bytes) -> Steps:
        return np.frombuffer(data, "<i8", self.samples, self.steps_at)

    def place_of(self, series: str, statistic: str) -> Place:
        number = SERIES[series].index(statistic)
        if number not in self.statistics:
            return Place(self.steps_at, 8, 0)
        width = 4 * self.columns
        return Place(self.steps_at, 8 + width * self.statistics.index(number), width)


@dataclass(frozen=True)
class Piece:
    """A chunk's part of one statistic."""

    head: bytes
    """All that comes before the chunk's values."""
    values: bytes
    """Those of the statistic; none where the chunk is older than it."""

    @classmethod
    def of(cls, data: bytes, statistic: str, series: str = "tensors") -> "Piece":
        """From a whole chunk, as the database cuts it out."""
        layout = Layout.of(data)
        place = layout.place_of(series, statistic)
        start = place.head + place.before * layout.samples
        return cls(data[: layout.values_at], data[start : start + place.width * layout.samples])

    def decode(self) -> tuple[Steps, Values]:
        """Steps, and values [samples, columns]; NaN where the chunk is older than the statistic.

        Raises:
            CorruptChunk
        """
        layout = Layout.of(self.head)
        shape = layout.samples, layout.columns
        if len(self.head) != layout.values_at or len(self.values) not in (0, 4 * layout.samples * layout.columns):
            raise CorruptChunk("Its length is not what its header says.")
        steps = layout.steps(self.head)
        if not self.values:
            return steps, np.full(shape, np.nan, np.float32)
        return steps, np.frombuffer(self.values, "<f4").reshape(shape)


@dataclass(frozen=True)
class Series:
    """One statistic over sampled steps."""

    steps: Steps
    values: NDArray[np.float64 | np.float32]
    """[samples, columns]"""

    def plain(self) -> dict[str, Any]:
        """As JSON types: what is not finite is None, and named in `nonfinite` as [step, column, name]."""
        places = np.argwhere(~np.isfinite(self.values))
        named = [[int(self.steps[r]), int(c), nonfinite_name(float(self.values[r, c]))] for r, c in places]
        values: list[list[float | None]] = self.values.astype(np.float64).tolist()
        for row, column in places:
            values[row][column] = None
        return {"steps": self.steps.tolist(), "values": values, "nonfinite": named}

    def rounded(self, digits: int) -> "Series":
        """With so many significant digits: each the double nearest to its decimal, so that JSON has no more of them."""
        rounded = [float(f"{value:.{digits}g}") for value in self.values.ravel().tolist()]
        return Series(self.steps, np.array(rounded, np.float64).reshape(self.values.shape))


def assemble(
    pieces: Iterable[Piece],
    columns: Sequence[int] | None = None,
    from_step: int = 0,
    to_step: int | None = None,
    points: int | None = None,
) -> Series:
    """One statistic of a series from its pieces: some columns (None: all), a range of steps (both ends included),
    thinned.

    Raises:
        CorruptChunk
    """
    decoded = [piece.decode() for piece in pieces]
    if not decoded:
        return Series(np.empty(0, np.int64), np.empty((0, len(columns or ())), np.float32))
    steps = np.concatenate([part for part, _ in decoded])
    chosen = slice(None) if columns is None else list(columns)
    values = np.concatenate([part[:, chosen] for _, part in decoded])
    inside = (steps >= from_step) & (steps <= (steps.max() if to_step is None else to_step))
    steps, values = steps[inside], values[inside]
    kept = thin(values, points)
    return Series(steps[kept], values[kept])


def thin(values: NDArray[Any], points: int | None) -> NDArray[np.intp]:
    """Which rows of [rows, columns] to show when at most `points` may be: the first, the last, and of each stretch
    between them the rows where the largest magnitude is smallest and largest. A row that is not finite is extreme.
    """
    rows = len(values)
    if points is None or rows <= points:
        return np.arange(rows)
    if points < 4:
        return np.unique(np.linspace(0, rows - 1, points).astype(np.intp))
    magnitude = np.where(np.isfinite(values), np.abs(values), np.inf).max(axis=1, initial=0)
    stretches = np.array_split(np.arange(1, rows - 1), (points - 2) // 2)
    extremes = [stretch[[magnitude[stretch].argmin(), magnitude[stretch].argmax()]] for stretch in stretches]
    return np.unique(np.concatenate([[0], *extremes, [rows - 1]]))


def nonfinite_name(value: float) -> str:
    """`nan`, `+inf` or `-inf`."""
    return "nan" if math.isnan(value) else "+inf" if value > 0 else "-inf"


@dataclass(frozen=True)
class Summary:
    """The statistics of each tensor over the samples of an epoch."""

    names: list[str]
    """Of the tensors."""
    samples: int
    quantiles: NDArray[np.float64]
    """[QUANTILES, statistics, tensors]"""

    def rows(self) -> list[dict[str, Any]]:
        """Rows of `layer_summaries`, without job and epoch; None for what is not finite."""
        flat = self.quantiles.transpose(2, 1, 0).reshape(len(self.names), -1)
        return [
            {"tensor_index": index, "layer": name.split(".")[0], "tensor": name, "samples": self.samples}
            | {column: value if math.isfinite(value) else None for column, value in zip(SUMMARIES, row, strict=True)}
            for index, (name, row) in enumerate(zip(self.names, flat.tolist(), strict=True))
        ]


SUMMARIES = [f"{statistic}_{quantile}" for statistic in STATISTICS for quantile in QUANTILES]
"""Columns of `layer_summaries`."""


def summarise(names: list[str], values: NDArray[Any]) -> Summary:
    """Of [samples, statistics, tensors]: linear between the samples, as `np.quantile`; NaN where any is NaN."""
    ordered = np.sort(values, axis=0)
    places = np.array([0.05, 0.5, 0.95]) * (len(ordered) - 1)
    below = places.astype(np.int64)
    low, high = (ordered[np.minimum(at, len(ordered) - 1)].astype(np.float64) for at in (below, below + 1))
    with np.errstate(invalid="ignore"):
        between = np.where(low == high, low, low + (high - low) * (places - below)[:, None, None])
    return Summary(names, len(values), np.where(np.isnan(ordered[-1]), np.nan, between))
