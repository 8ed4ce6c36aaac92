"""Gradient statistics of every parameter tensor at a sampled step, in double.

    statistics.before_clipping()
    clip()
    statistics.after_clipping()
    optimizer.step()
    statistics.promised()
    statistics.after_step(step)

Squares of float32 gradients underflow: 4096 gradients of 1e-24 have a norm of exactly 0 in float32, not in double.
Samples gather in a ring of CHUNK_SAMPLES rows where they were computed, and `take` moves them to the host at once.
There are two ways to compute a row: a compiled pass over memory for the CPU, and torch for everything else. Nothing in
the second waits for the device.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.series import STATISTICS, Chunk
from workers.training import native
from workers.training.native import Addresses
from workers.training.parameters import FlatParameters

CHUNK_SAMPLES = 100

OF_GRADIENTS, OF_UPDATES, CLIPPED = slice(0, 6), slice(6, 8), 8
"""Where in a row of the ring [STATISTICS, tensors] each pass writes: norm to nonfinite, weight_norm and update_ratio,
norm_clipped."""


class Ring(Protocol):
    """Rows of statistics, [STATISTICS, tensors] each."""

    def read_gradients(self, row: int) -> None: ...
    def read_clipped(self, row: int) -> None: ...
    def keep_weights(self) -> None: ...
    def read_updates(self, row: int) -> None: ...
    def kept_weights(self) -> Tensor: ...
    def norms(self, row: int) -> Tensor:
        """float64 [before and after clipping, tensors], on the device."""
        ...

    def rows(self, count: int) -> NDArray[np.float64]: ...


class GradientStatistics:
    """Measures the parameters of a network; columns are in the order of `parameters.names`."""

    def __init__(self, parameters: FlatParameters, keeps_gradients: bool = False) -> None:
        """`keeps_gradients`: whether clipping turns them, so that the direction before it has to be kept."""
        self.names = parameters.names
        self._parameters = parameters
        self._kept_gradients = torch.empty_like(parameters.gradients) if keeps_gradients else None
        self._steps: list[int] = []
        self._ring: Ring = (CompiledRing if native.takes(parameters.values) else TorchRing)(parameters)

    def before_clipping(self) -> None:
        """Reads the gradients, and keeps the weights."""
        self._ring.read_gradients(len(self))
        self._ring.keep_weights()
        if self._kept_gradients is not None:
            self._kept_gradients.copy_(self._parameters.gradients)

    def after_clipping(self) -> None:
        """Reads the norms again, for clipping has changed them."""
        self._ring.read_clipped(len(self))

    @torch.no_grad()
    def promised(self) -> Tensor:
        """The change of the loss that the gradient promised for the step taken, g.dw: float64, on the device.

        g is the gradient before clipping. Where clipping made it shorter, that is undone by the ratio of the norms.
        """
        parameters, kept = self._parameters, self._kept_gradients
        gradients = parameters.gradients if kept is None else kept
        total = inner_product(gradients, self._ring.kept_weights(), parameters.values)
        return total if kept is not None else total * self._shortened()

    def _shortened(self) -> Tensor:
        """Norm of the gradient before / after clipping; 1 where it is 0."""
        norms = self._ring.norms(len(self)).square().sum(1).sqrt()
        return torch.where(norms[0] == norms[1], 1.0, norms[0] / norms[1])

    def after_step(self, step: int) -> None:
        """Compares the weights with what they were. The sample is complete."""
        self._ring.read_updates(len(self))
        self._steps.append(step)

    def __len__(self) -> int:
        """Samples in the ring; it has to be taken when there are CHUNK_SAMPLES."""
        return len(self._steps)

    def take(self) -> Chunk:
        """All samples since the last call, in one transfer."""
        chunk = self.chunk()
        self._steps = []
        return chunk

    def chunk(self) -> Chunk:
        """The same, and they stay."""
        with np.errstate(over="ignore"):
            values = self._ring.rows(len(self)).astype(np.float32)
        return Chunk(np.array(self._steps, np.int64), values)


DOT_VALUES = 2**15
"""Values at once of an inner product on a CPU: in double 256 kB, which the allocator has at hand. Twice as many are new
pages each time, and take five times as long."""
DOT_VALUES_ON_DEVICE = 2**24


def inner_product(gradients: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """gradients . (after - before) in double, of flat vectors in float32."""
    at_once = DOT_VALUES if gradients.device.type == "cpu" else DOT_VALUES_ON_DEVICE
    stretches = zip(*(torch.split(vector, at_once) for vector in (gradients, before, after)), strict=True)
    return torch.stack([g.double() @ (new.double() - old.double()) for g, old, new in stretches]).sum()


class CompiledRing:
    """One pass of `statistics.c` over the memory of all tensors for the gradients, and one for the weights."""

    def __init__(self, parameters: FlatParameters) -> None:
        assert native.LIBRARY is not None
        self._library = native.LIBRARY
        self._values = parameters.values
        self._before = torch.empty_like(parameters.values)
        self._parameters = parameters  # keeps the memory that the addresses are of
        self._weights = Addresses(parameters.tensors)
        self._kept_weights = Addresses(torch.split(self._before, parameters.sizes))
        self._gradients = Addresses([parameter.grad for parameter in parameters.tensors if parameter.grad is not None])
        self._samples = np.empty((CHUNK_SAMPLES, len(STATISTICS), len(parameters.tensors)))
        self._at = self._samples.ctypes.data
        self._row_bytes, self._statistic_bytes, _ = self._samples.strides

    def read_gradients(self, row: int) -> None:
        of = self._gradients
        self._library.gradient_statistics(of.pointers, of.sizes, of.count, self._place(row, OF_GRADIENTS.start))
        self._samples[row, CLIPPED] = self._samples[row, 0]

    def read_clipped(self, row: int) -> None:
        of = self._gradients
        self._library.norms(of.pointers, of.sizes, of.count, self._place(row, CLIPPED))

    def keep_weights(self) -> None:
        self._before.copy_(self._values)

    def read_updates(self, row: int) -> None:
        of, place = self._weights, self._place(row, OF_UPDATES.start)
        self._library.update_statistics(of.pointers, self._kept_weights.pointers, of.sizes, of.count, place)

    def kept_weights(self) -> Tensor:
        return self._before

    def norms(self, row: int) -> Tensor:
        return torch.from_numpy(self._samples[row, [0, CLIPPED]])

    def rows(self, count: int) -> NDArray[np.float64]:
        return self._samples[:count]

    def _place(self, row: int, statistic: int) -> int:
        return self._at + row * self._row_bytes + statistic * self._statistic_bytes


class TorchRing:
    """The same with torch, on any device: a fixed number of operations over the flat vectors, whatever the tensors."""

    def __init__(self, parameters: FlatParameters) -> None:
        self._parameters = parameters
        device, sizes = parameters.values.device, parameters.sizes
        self._sizes = torch.tensor(sizes, device=device)
        self._tensor_of = torch.repeat_interleave(torch.arange(len(sizes), device=device), self._sizes)
        """Of each element of the flat vectors."""
        self._before = torch.empty_like(parameters.values)
        shape = (CHUNK_SAMPLES, len(STATISTICS), len(sizes))
        self._samples = torch.empty(shape, dtype=torch.float64, device=device)

    @torch.no_grad()
    def read_gradients(self, row: int) -> None:
        g = self._parameters.gradients.double()
        mean = self._sums(g) / self._sizes
        norm = self._sums(g * g).sqrt()
        found = [
            norm,
            mean,
            (self._sums((g - mean[self._tensor_of]).square()) / self._sizes).sqrt(),
            torch.segment_reduce(g.abs(), "max", lengths=self._sizes, unsafe=True),
            self._sums((g == 0).double()) / self._sizes,
            self._sums((~g.isfinite()).double()),
        ]
        self._samples[row, OF_GRADIENTS] = torch.stack(found)
        self._samples[row, CLIPPED] = norm

    @torch.no_grad()
    def read_clipped(self, row: int) -> None:
        self._samples[row, CLIPPED] = self._sums(self._parameters.gradients.double().square()).sqrt()

    @torch.no_grad()
    def keep_weights(self) -> None:
        self._before.copy_(self._parameters.values)

    @torch.no_grad()
    def read_updates(self, row: int) -> None:
        before, after = self._before.double(), self._parameters.values.double()
        moved, length = (self._sums(of.square()).sqrt() for of in (after - before, before))
        ratio = torch.where(moved == 0, torch.zeros_like(moved), moved / length)
        self._samples[row, OF_UPDATES] = torch.stack([self._sums(after.square()).sqrt(), ratio])

    def kept_weights(self) -> Tensor:
        return self._before

    def norms(self, row: int) -> Tensor:
        return self._samples[row, ::CLIPPED]

    def rows(self, count: int) -> NDArray[np.float64]:
        values: NDArray[np.float64] = self._samples[:count].cpu().numpy()
        return values

    def _sums(self, values: Tensor) -> Tensor:
        """Of each tensor's elements; `unsafe` leaves out checks that would wait for the device."""
        return torch.segment_reduce(values, "sum", lengths=self._sizes, unsafe=True)
