"""A trained network as its users meet it: the data's own units in, probabilities or the target's own units out."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.losses import LossName
from workers.training.scale import Scale, TargetScale


class Deployed(nn.Module):
    """[rows, *input_shape] to probabilities [rows, (time,) classes], or values [rows, (time,) outputs].

    Scales in double and rounds, as the training data were, so that the network sees the very same bits.
    """

    offset: Tensor
    factor: Tensor
    target_offset: Tensor
    target_factor: Tensor

    fill: Tensor

    def __init__(
        self,
        network: nn.Module,
        loss: LossName,
        inputs: Scale | None,
        targets: TargetScale,
        fill: Sequence[float | None] = (),
    ) -> None:
        """`fill`: what is taken for a missing value (NaN), by feature."""
        super().__init__()
        self.fills = any(value is not None for value in fill)
        if self.fills:
            known = [math.nan if value is None else value for value in fill]
            self.register_buffer("fill", torch.tensor(known))
        self.network = network
        self.loss = loss
        self.is_scaled = inputs is not None
        if inputs is not None:
            self.register_buffer("offset", torch.from_numpy(np.asarray(inputs.offset)))
            self.register_buffer("factor", torch.from_numpy(np.asarray(inputs.factor)))
        self.register_buffer("target_offset", targets.offset)
        self.register_buffer("target_factor", targets.factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(self.network(self.scaled(x)))

    def scaled(self, x: Tensor) -> Tensor:
        if self.fills:
            x = torch.where(x.isnan(), self.fill, x)
        return ((x.double() - self.offset) / self.factor).float() if self.is_scaled else x

    def finish(self, outputs: Tensor) -> Tensor:
        """What the network gives, as the loss took it. A softmax of its own is taken as logits too, as in training."""
        outputs = outputs.float()
        if self.loss == "cross_entropy":
            return outputs.softmax(-1)
        if self.loss == "binary_cross_entropy":
            second = outputs.sigmoid()
            return torch.cat([1 - second, second], -1)
        return self.restored(outputs).float()

    def restored(self, scaled: Tensor) -> Tensor:
        """Outputs or targets of a regression in their own units, in double."""
        return scaled.double() * self.target_factor + self.target_offset
