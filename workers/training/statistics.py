"""Gradient statistics of every parameter tensor at a sampled step, in double.

    statistics.before_clipping()
    clip()
    statistics.before_step()
    optimizer.step()
    statistics.after_step(step)

Squares of float32 gradients underflow: 4096 gradients of 1e-24 have a norm of exactly 0 in float32, not in double.
Nothing here waits for the device: samples stay there until `take` moves them to the host at once.
"""

import numpy as np
import torch
from torch import Tensor, nn

from models.series import STATISTICS, Chunk

CHUNK_SAMPLES = 100


class GradientStatistics:
    """Measures a network; columns are its trainable parameters in the order of `named_parameters`."""

    def __init__(self, network: nn.Module) -> None:
        named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
        self.names = [name for name, _ in named]
        self._parameters = [parameter for _, parameter in named]
        self._steps: list[int] = []
        self._samples: list[Tensor] = []
        self._before: list[Tensor] = []
        self._gradients: list[Tensor] = []
        self._clipped: list[Tensor] = []

    @torch.no_grad()
    def before_clipping(self) -> None:
        """Reads the gradients."""
        self._gradients = [gradient_statistics(gradient) for gradient in self._final_gradients()]
        self._clipped = []

    @torch.no_grad()
    def after_clipping(self) -> None:
        """Reads the norms again, for clipping has changed them."""
        self._clipped = [torch.linalg.vector_norm(gradient.double()) for gradient in self._final_gradients()]

    @torch.no_grad()
    def before_step(self) -> None:
        """Keeps the weights."""
        self._before = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Compares the weights with what they were, and keeps the sample."""
        updates = [update_statistics(b, a.detach()) for b, a in zip(self._before, self._parameters, strict=True)]
        clipped = self._clipped or [gradient[0] for gradient in self._gradients]
        parts = zip(self._gradients, updates, clipped, strict=True)
        columns = [torch.cat([gradient, update, norm[None]]) for gradient, update, norm in parts]
        self._samples.append(torch.stack(columns, dim=1))
        self._steps.append(step)

    def _final_gradients(self) -> list[Tensor]:
        return [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]

    def __len__(self) -> int:
        return len(self._steps)

    def take(self) -> Chunk:
        """All samples since the last call, in one transfer."""
        shape = (0, len(STATISTICS), len(self.names))
        values = torch.stack(self._samples).cpu().numpy() if self._samples else np.empty(shape)
        with np.errstate(over="ignore"):
            chunk = Chunk(np.array(self._steps, np.int64), values.astype(np.float32))
        self._steps, self._samples = [], []
        return chunk


def gradient_statistics(gradient: Tensor) -> Tensor:
    """norm, mean, std, max_abs, zeros, nonfinite: float64 [6]."""
    g = gradient.detach().double().flatten()
    mean = g.mean()
    return torch.stack(
        [
            torch.linalg.vector_norm(g),
            mean,
            (g - mean).square().mean().sqrt(),
            g.abs().max(),
            (g == 0).double().mean(),
            (~g.isfinite()).sum().double(),
        ]
    )


def update_statistics(before: Tensor, after: Tensor) -> Tensor:
    """weight_norm, update_ratio: float64 [2]. A tensor of zeros that moved has an infinite ratio, at rest 0."""
    old, new = before.double().flatten(), after.double().flatten()
    moved, length = torch.linalg.vector_norm(new - old), torch.linalg.vector_norm(old)
    ratio = torch.where(moved == 0, torch.zeros_like(moved), moved / length)
    return torch.stack([torch.linalg.vector_norm(new), ratio])
