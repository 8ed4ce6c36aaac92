"""The rows to train on, or those kept for validation, and the batches they give: (x, y) on the device.

    for x, y in part.batches(torch.randperm(len(part)), size=64, steps=20): ...
    for x, y in part.in_order(256): ...

A `Resident` part holds x on the device; a `Mapped` one leaves x where it is and reads ahead. Both give the same bits.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.training.read_ahead import read_ahead
from workers.training.scale import Scale, fill
from workers.training.split import Indices
from workers.training.transfer import sent

BLOCK_VALUES = 2**18
"""Values of x that a mapped part reads at once, 1 MB in float32; or one batch, where that is larger."""

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Part(ABC):
    """Rows of a data set, ready to train on."""

    y: Tensor
    """int64 [rows] for classes; float32 [rows, outputs] or [rows, time, outputs], scaled, for a regression."""
    rows: Indices | None = None
    """Where its rows are in the data set, if that is known."""

    def __len__(self) -> int:
        return len(self.y)

    @property
    def device(self) -> torch.device:
        return self.y.device

    @abstractmethod
    def batches(self, order: Tensor, size: int, steps: int) -> Iterator[Batch]:
        """The first `steps` slices of `order`, `size` rows each. `order`: int64 on the CPU, indices of this part."""

    def in_order(self, size: int) -> Iterator[Batch]:
        """All rows, from the first to the last."""
        return self.batches(torch.arange(len(self)), size, math.ceil(len(self) / size))


@dataclass(frozen=True, kw_only=True)
class Resident(Part):
    """All rows are on the device."""

    x: Tensor
    """float32 [rows, *input_shape], scaled; int64 [rows, time] for tokens."""

    def batches(self, order: Tensor, size: int, steps: int) -> Iterator[Batch]:
        for rows in torch.split(sent(order, self.device), size)[:steps]:
            yield self.x.index_select(0, rows), self.y.index_select(0, rows)


@dataclass(frozen=True, kw_only=True)
class Mapped(Part):
    """x stays where it is, scaled anew whenever it is read."""

    source: NDArray[Any]
    """All rows of the data set, in their own units."""
    rows: Indices
    scale: Scale | None

    def batches(self, order: Tensor, size: int, steps: int) -> Iterator[Batch]:
        batches_at_once = max(1, BLOCK_VALUES // (size * math.prod(self.source.shape[1:])))
        blocks = torch.split(order[: size * steps], size * batches_at_once)
        with closing(read_ahead(self._read, blocks)) as read:
            for block in read:
                x, *indices = (sent(tensor, self.device) for tensor in block)
                # A batch is copied out of the block: the same alignment in memory as a resident one's, the same bits.
                for places, rows in zip(*(torch.split(index, size) for index in indices), strict=True):
                    yield x.index_select(0, places), self.y.index_select(0, rows)

    def _read(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x of these rows in ascending order, as they lie in the file; the place of each row in it; the rows."""
        ascending, came_from = rows.sort()
        places = torch.empty_like(rows)
        places[came_from] = torch.arange(len(rows))
        x = rows_of(self.source, self.rows[ascending.numpy()], self.scale, pinned=self.device.type == "cuda")
        return x, places, rows


def rows_of(
    source: NDArray[Any],
    rows: Indices,
    scale: Scale | None,
    pinned: bool = False,
    told: Callable[[], None] = lambda: None,
) -> Tensor:
    """These rows on the CPU: int64 as they are (tokens, classes), all else float32, scaled."""
    out = torch.empty((len(rows), *source.shape[1:]), dtype=dtype_of(source, scale), pin_memory=pinned)
    fill(out, source, rows, scale, told)
    return out


def dtype_of(source: NDArray[Any], scale: Scale | None) -> torch.dtype:
    return torch.int64 if source.dtype == np.int64 and scale is None else torch.float32
