"""All trainable parameters of a network as one vector, and their gradients as another.

Every parameter becomes a view of a stretch of `values`, every gradient one of `gradients`. So an optimizer's step, the
zeroing of the gradients and clipping are one operation each, however many layers there are.
"""

import torch
from torch import Tensor, nn


class FlatParameters:
    """The trainable parameters of a network, in the order of `named_parameters`."""

    def __init__(self, network: nn.Module) -> None:
        """Moves the parameters; the network computes what it did before."""
        named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
        self.names = [name for name, _ in named]
        self.tensors = [parameter for _, parameter in named]
        self.sizes = [parameter.numel() for parameter in self.tensors]
        self.values = torch.empty(sum(self.sizes), device=self.tensors[0].device, dtype=self.tensors[0].dtype)
        self.gradients = torch.zeros_like(self.values)
        stretches = zip(torch.split(self.values, self.sizes), torch.split(self.gradients, self.sizes), strict=True)
        for parameter, (values, gradient) in zip(self.tensors, stretches, strict=True):
            view = _as(parameter, values)
            view.copy_(parameter.detach())
            parameter.data, parameter.grad = view, _as(parameter, gradient)

    def zero_gradients(self) -> None:
        """Backward adds to the gradients, in place."""
        self.gradients.zero_()


def _as(parameter: Tensor, stretch: Tensor) -> Tensor:
    """A stretch in the shape of a parameter, and in its order in memory."""
    if parameter.is_contiguous():
        return stretch.view(parameter.shape)
    rows, channels, height, width = parameter.shape  # channels last
    return stretch.view(rows, height, width, channels).permute(0, 3, 1, 2)
