"""Stands before every update: one whose loss or gradient is not finite is never applied.

    guard.begin()
    ...  # forward and backward; guard.add(loss, share) for each batch
    if guard.passes(): guard.update(optimizer)
    guard.record()

Such a step leaves weights, moments, step counters and the running statistics of batch norm as they were. On the CPU,
with the compiled library, the host decides, in one pass over the flat gradients. Elsewhere the device does, by a flag
that masks the update, and nobody waits for it: `look()` reads it back at the end of an epoch.
"""

import math
from collections import deque
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.series import FLIGHT_STATISTICS, FLIGHT_STEPS
from workers.training import native
from workers.training.optimizers import Optimizer
from workers.training.parameters import FlatParameters
from workers.training.state import State

Flight = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Numbers of the last steps, and their [steps, FLIGHT_STATISTICS]."""


class Guard(Protocol):
    """What a step asks, and what the loop learns of it. Steps are counted from 0 by run."""

    tripped: bool
    """Whether a step was found that was not finite; the loop puts it back."""
    first: int | None
    """Of those since the last `clear`, as far as the host knows."""
    count: int
    """Steps that were not finite since then."""

    def begin(self) -> None:
        """A step begins."""

    def add(self, loss: Tensor, share: Tensor | None) -> None:
        """A batch's loss, and its share in that of the step."""

    def passes(self) -> bool:
        """Whether to go on to clipping and the update; where the device decides, it is always true."""

    def update(self, optimizer: Optimizer) -> None:
        """The update, unless it is masked."""

    def record(self) -> None:
        """The step is over."""

    def look(self) -> None:
        """Waits for the device, where that has decided something."""

    def clear(self) -> None:
        """Forgets what was found: the weights are others now."""

    def flight(self) -> Flight: ...

    def tensors(self) -> list[Tensor]:
        """What a step writes on the device."""

    def state(self) -> State: ...

    def restore(self, state: State) -> None: ...


def guard_of(network: nn.Module, parameters: FlatParameters, goes_on: bool) -> Guard:
    """`goes_on`: whether only the steps that are not finite are masked, and not all after the first."""
    buffers = flat_buffers(network)
    if native.takes(parameters.values):
        return HostGuard(parameters, buffers)
    return DeviceGuard(parameters, buffers, goes_on)


def flat_buffers(network: nn.Module) -> Tensor | None:
    """The running statistics of all batch norms, moved into one vector: to keep them is one copy."""
    moved = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    if not moved:
        return None
    flat = torch.cat([buffer.flatten() for buffer in moved])
    for buffer, stretch in zip(moved, torch.split(flat, [buffer.numel() for buffer in moved]), strict=True):
        buffer.data = stretch.view(buffer.shape)
    return flat


LEAST_SQUARES = 1e-20
"""Sum of squares in float32 above which those that underflow do not count, and it is right to six digits."""


class HostGuard:
    """Decides on the CPU, at once."""

    def __init__(self, parameters: FlatParameters, buffers: Tensor | None) -> None:
        assert native.LIBRARY is not None
        self._norms = native.LIBRARY.norms
        self._gradients = parameters.gradients
        self._at = native.Addresses([self._gradients])
        self._norm = np.empty(1)
        self._norm_at: int = self._norm.ctypes.data
        self._buffers = buffers
        self._kept = None if buffers is None else buffers.clone()
        self._loss, self._gradient, self._bad = 0.0, 0.0, False
        self._ring: deque[tuple[float, float, bool]] = deque(maxlen=FLIGHT_STEPS)
        self._steps = 0
        self.tripped, self.first, self.count = False, None, 0  # type: bool, int | None, int

    def begin(self) -> None:
        self._loss = 0.0
        if self._kept is not None and self._buffers is not None:
            self._kept.copy_(self._buffers)

    def add(self, loss: Tensor, share: Tensor | None) -> None:
        self._loss += loss.item() if share is None else loss.item() * share.item()

    def passes(self) -> bool:
        self._gradient = self._gradient_norm()
        self._bad = not (math.isfinite(self._gradient) and math.isfinite(self._loss))
        if self._bad and self._kept is not None and self._buffers is not None:
            self._buffers.copy_(self._kept)
        return not self._bad

    def _gradient_norm(self) -> float:
        """In float32, which takes half the time, where that is enough; else in double."""
        squares = torch.dot(self._gradients, self._gradients).item()
        if LEAST_SQUARES < squares < math.inf:
            return math.sqrt(squares)
        self._norms(self._at.pointers, self._at.sizes, 1, self._norm_at)
        return float(self._norm[0])

    def update(self, optimizer: Optimizer) -> None:
        optimizer.step()

    def record(self) -> None:
        self._ring.append((self._loss, self._gradient, self._bad))
        if self._bad:
            self.tripped = True
            self.first = self._steps if self.first is None else self.first
            self.count += 1
        self._steps += 1

    def look(self) -> None: ...

    def clear(self) -> None:
        self.tripped, self.first, self.count = False, None, 0

    def flight(self) -> Flight:
        steps = np.arange(self._steps - len(self._ring), self._steps)
        return steps, _float32(np.array(self._ring, np.float64).reshape(-1, len(FLIGHT_STATISTICS)))

    def tensors(self) -> list[Tensor]:
        return []

    def state(self) -> State:
        ring = torch.tensor(self._ring, dtype=torch.float64).reshape(-1, len(FLIGHT_STATISTICS))
        return {"ring": ring, "steps": self._steps, "first": self.first, "count": self.count, "tripped": self.tripped}

    def restore(self, state: State) -> None:
        self._ring.extend((loss, norm, bool(bad)) for loss, norm, bad in state["ring"].tolist())
        self._steps, self.first, self.count = state["steps"], state["first"], state["count"]
        self.tripped = state["tripped"]


class DeviceGuard:
    """Decides on the device. Nothing here waits for it but `look`, `flight` and `state`; all of a step can be recorded
    as a CUDA graph."""

    def __init__(self, parameters: FlatParameters, buffers: Tensor | None, goes_on: bool) -> None:
        self._gradients, self._buffers, self._goes_on = parameters.gradients, buffers, goes_on
        self._kept = None if buffers is None else buffers.clone()
        device = parameters.values.device
        self._masked = torch.zeros((), device=device)
        """float32, as the fused kernels want it: 1 where the update is left out."""
        self._steps = torch.zeros((), dtype=torch.int64, device=device)
        self._first = torch.full_like(self._steps, -1)
        self._count = torch.zeros_like(self._steps)
        self._ring = torch.zeros((FLIGHT_STEPS, len(FLIGHT_STATISTICS)), dtype=torch.float64, device=device)
        """The place of a step is its number modulo FLIGHT_STEPS; it rests after the first that was not finite."""
        self._loss: list[Tensor] = []
        self.tripped, self.first, self.count = False, None, 0  # type: bool, int | None, int
        self._known = 0

    def begin(self) -> None:
        self._loss = []
        if self._kept is not None and self._buffers is not None:
            self._kept.copy_(self._buffers)

    @torch.no_grad()
    def add(self, loss: Tensor, share: Tensor | None) -> None:
        self._loss.append(loss.detach() if share is None else loss.detach() * share)

    @torch.no_grad()
    def passes(self) -> bool:
        norm = torch.linalg.vector_norm(self._gradients, dtype=torch.float64)
        loss = self._loss[0].double() if len(self._loss) == 1 else torch.stack(self._loss).double().sum()
        bad = ~(loss.isfinite() & norm.isfinite())
        rests = self._first >= 0
        self._masked.copy_(bad if self._goes_on else bad | rests)
        place = (self._steps % FLIGHT_STEPS).view(1)
        row = torch.stack([loss, norm, bad.double()]).view(1, -1)
        self._ring.index_copy_(0, place, torch.where(rests, self._ring.index_select(0, place), row))
        self._first.copy_(torch.where(bad & ~rests, self._steps, self._first))
        self._count += bad
        self._steps += 1
        if self._kept is not None and self._buffers is not None:
            self._buffers.copy_(torch.where(self._masked > 0, self._kept, self._buffers))
        return True

    def update(self, optimizer: Optimizer) -> None:
        optimizer.step_unless(self._masked)

    def record(self) -> None: ...

    def look(self) -> None:
        first, self.count = torch.stack([self._first, self._count]).tolist()
        self.first = None if first < 0 else first
        self.tripped = self.count > self._known
        self._known = self.count

    def clear(self) -> None:
        self._first.fill_(-1)
        self._count.zero_()
        self.tripped, self.first, self.count, self._known = False, None, 0, 0

    def flight(self) -> Flight:
        steps, first = torch.stack([self._steps, self._first]).tolist()
        end = steps if first < 0 else first + 1
        numbers = np.arange(max(0, end - FLIGHT_STEPS), end)
        return numbers, _float32(self._ring.cpu().numpy()[numbers % FLIGHT_STEPS])

    def tensors(self) -> list[Tensor]:
        return [self._masked, self._steps, self._first, self._count, self._ring]

    def state(self) -> State:
        return {"tensors": self.tensors(), "known": self._known, "first": self.first, "count": self.count}

    def restore(self, state: State) -> None:
        for mine, saved in zip(self.tensors(), state["tensors"], strict=True):
            mine.copy_(saved)
        self._known, self.first, self.count = state["known"], state["first"], state["count"]


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
