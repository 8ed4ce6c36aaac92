"""Batch norm over a batch that is spread over several processes; on the CPU torch has none."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from workers.training.networks import RowNorm
from workers.training.ranks import Ranks


def share_norms(network: nn.Module, ranks: Ranks) -> None:
    """Puts a `SharedNorm` in place of each batch norm, with its parameters under the same names."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(parent, name, SharedNorm(child, ranks))


class SharedNorm(nn.Module):
    """Normalises by the mean and the variance over the rows of all ranks."""

    def __init__(self, norm: _BatchNorm, ranks: Ranks) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)
        assert norm.momentum is not None
        self.eps, self.momentum = norm.eps, norm.momentum
        self.track_running_stats = True
        """As in torch: whether what training sees moves the kept mean and variance."""
        self._axis = -1 if isinstance(norm, RowNorm) else 1
        self.ranks = ranks

    def forward(self, x: Tensor) -> Tensor:
        axis = self._axis % x.dim()
        others = [dimension for dimension in range(x.dim()) if dimension != axis]
        shape = [-1 if dimension == axis else 1 for dimension in range(x.dim())]
        values = x.float()
        mean, variance = self._moments(values, others, shape) if self.training else self._kept()
        scale = (variance + self.eps).rsqrt() * self.weight
        return ((values - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)).to(x.dtype)

    def _kept(self) -> tuple[Tensor, Tensor]:
        return self.running_mean, self.running_var  # type: ignore[return-value]

    def _moments(self, x: Tensor, others: list[int], shape: list[int]) -> tuple[Tensor, Tensor]:
        """Two passes, for a mean of squares less the square of the mean cancels."""
        rows = x.new_full((1,), x.numel() // len(self.weight))
        total = _sum(torch.cat([x.sum(others), rows]), self.ranks)
        rows, mean = total[-1].detach(), total[:-1] / total[-1].detach()
        variance = _sum((x - mean.view(shape)).square().sum(others), self.ranks) / rows
        if self.track_running_stats:
            self._keep(mean.detach(), variance.detach() * rows / (rows - 1))
        return mean, variance

    @torch.no_grad()
    def _keep(self, mean: Tensor, variance: Tensor) -> None:
        for kept, seen in zip(self._kept(), (mean, variance), strict=True):
            kept.lerp_(seen, self.momentum)
        self.num_batches_tracked.add_(1)  # type: ignore[operator]


class _Sum(torch.autograd.Function):
    """Over the ranks, forward and backward: each rank's values move the sum that all ranks use."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.sum(values.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return ctx.ranks.sum(gradient.clone()), None


def _sum(values: Tensor, ranks: Ranks) -> Tensor:
    total: Tensor = _Sum.apply(values, ranks)  # type: ignore[no-untyped-call]
    return total
