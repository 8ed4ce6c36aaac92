"""What passes through the hidden layers at a sampled step: the signal forward, the gradient backward, and its gain.

    with HiddenLayers(network, architecture).watching() as watched:
        loss = ...; loss.backward()
    watched.take(dead)  # float64 [LAYER_STATISTICS, hidden layers]

Watching keeps references and the gradients of some activations; it computes nothing and changes no number. Where a step
has several batches, the last one is seen.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from models.shapes import Architecture
from workers.training import native
from workers.training.networks import Convolution, Dense, Output, Residual
from workers.training.ranks import ALONE, Ranks
from workers.training.transfer import sent

SATURATING: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {nn.Tanh: lambda a: a, nn.Sigmoid: lambda a: 2 * a - 1}
"""Activations with two flat ends, and from their output a value t with phi'(z) / phi'(0) = 1 - t**2: tanh' = 1 - a**2,
and sigmoid' = a (1 - a), of which 1/4 is the most."""


class HiddenLayers:
    """The dense layers, convolutions and residual blocks of a network, in order."""

    def __init__(self, network: nn.Module, architecture: Architecture, ranks: Ranks = ALONE) -> None:
        self._ranks = ranks
        self._hidden = hidden_modules(network, architecture)
        watched = [*self._hidden, network.get_submodule("output")] if self._hidden else []
        self._seen: list[dict[str, Tensor]] = [{} for _ in watched]
        self._hooks: list[tuple[nn.Module, Callable[..., None]]] = [
            (source, partial(KEEPERS[name], seen))
            for module, seen in zip(watched, self._seen, strict=True)
            for name, source in _sources(module).items()
        ]
        saturating = [[layer.activation for layer in _saturating(module)] for module in self._hidden]
        self._within = [len(activations) for activations in saturating]
        """How many saturating activations there are in each layer."""
        self._slopes: dict[nn.Module, Tensor] = {}
        self._hooks += [(activation, self._keep_slope) for layer in saturating for activation in layer]

    def __len__(self) -> int:
        return len(self._hidden)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Forward and backward within it are seen by `take`."""
        handles = [source.register_forward_hook(hook) for source, hook in self._hooks]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def take(self, dead: Tensor | None = None) -> Tensor:
        """float64 [LAYER_STATISTICS, hidden layers], on the device, of the rows of all ranks; what was seen is let
        go. `dead`: that row, which is not of the batch; None: it has no meaning for any layer."""
        layers = self._seen[:-1]
        gradients = [_gradient(seen["measured"]) for seen in self._seen]
        slopes = list(self._slopes.values())
        signals = [*gradients[:-1], *(seen["z"] for seen in layers), *(seen["a"] for seen in layers), *slopes]
        measured = self._ranks.norms(norms([*signals, gradients[-1]]))
        sizes = torch.tensor([signal.numel() for signal in signals], dtype=torch.float64)
        roots = self._ranks.sum(sent(sizes, measured.device)).sqrt_()
        rms = measured[:-1] / roots
        signal_rms, slope_rms = rms[: 3 * len(layers)].view(3, len(layers)), rms[3 * len(layers) :]
        backward = torch.cat([measured[: len(layers)], measured[-1:]])
        gain = backward[:-1] / backward[1:]
        for seen in self._seen:
            seen.clear()
        self._slopes.clear()
        dead = torch.full_like(gain, torch.nan) if dead is None else dead
        return torch.cat([signal_rms, torch.stack([gain, dead, self._saturation(slope_rms)])])

    def _keep_slope(self, activation: nn.Module, inputs: Any, output: Tensor) -> None:
        self._slopes[activation] = SATURATING[type(activation)](output.detach())

    def _saturation(self, slope_rms: Tensor) -> Tensor:
        """The mean of phi'(z) / phi'(0) of each layer; of a block the least within."""
        means = 1 - slope_rms.square()
        if all(within == 1 for within in self._within):
            return means
        nan = torch.full((1,), torch.nan, dtype=means.dtype, device=means.device)
        if not len(means):
            return nan.expand(len(self))
        return torch.stack([(within if len(within) else nan).amin() for within in torch.split(means, self._within)])


def hidden_modules(network: nn.Module, architecture: Architecture) -> list[nn.Module]:
    return [network.get_submodule(layer.name) for layer in architecture.hidden]


def affine_layers(module: nn.Module) -> list[Dense | Convolution]:
    """The layer itself, or those within a residual block."""
    return [within for within in module.modules() if isinstance(within, Dense | Convolution)]


def _saturating(module: nn.Module) -> list[Dense | Convolution]:
    return [layer for layer in affine_layers(module) if type(layer.activation) in SATURATING]


def _sources(module: nn.Module) -> dict[str, Any]:
    """Which modules give the pre-activation z, the activation a, and the value whose gradient is measured: z, or of a
    residual layer its output, for there the gradient has a way past z."""
    match module:
        case Dense() | Convolution():
            affine = module.linear if isinstance(module, Dense) else module.convolution
            if module.residual:
                return {"z": affine, "a": module.activation, "measured": module}
            return {"z and measured": affine, "a": module.activation}
        case Output():
            return {"measured": module.linear}
        case Residual() | _:
            return {"z and a and measured": module}


def _keep(names: Sequence[str], seen: dict[str, Tensor], module: nn.Module, inputs: Any, output: Tensor) -> None:
    if "measured" in names and output.requires_grad:
        output.retain_grad()
    for name in names:
        seen[name] = output


KEEPERS = {
    names: partial(_keep, names.split(" and "))
    for names in ("z", "a", "measured", "z and measured", "z and a and measured")
}


def _gradient(measured: Tensor) -> Tensor:
    return torch.zeros_like(measured) if measured.grad is None else measured.grad


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """The L2 norm of each tensor, summed in double: float64 [tensors], on their device."""
    if all(map(native.takes, tensors)):
        return torch.from_numpy(native.norms(tensors))
    plain = [tensor.detach() for tensor in tensors]
    return torch.stack(torch._foreach_norm(plain, 2, dtype=torch.float64))
