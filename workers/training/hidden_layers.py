"""What passes through the hidden layers at a sampled step: the signal forward, the gradient backward, and its gain.

    with HiddenLayers(network, architecture).watching() as watched:
        loss = ...; loss.backward()
    watched.take()  # float64 [LAYER_STATISTICS, hidden layers]

Watching keeps references and the gradients of some activations; it computes nothing and changes no number. Where a step
has several batches, the last one is seen.
"""

from collections.abc import Iterator, Sequence
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


class HiddenLayers:
    """The dense layers, convolutions and residual blocks of a network, in order."""

    def __init__(self, network: nn.Module, architecture: Architecture, ranks: Ranks = ALONE) -> None:
        self._ranks = ranks
        modules = dict(network.named_children())
        self._hidden = [modules[layer.name] for layer in architecture.hidden]
        watched = [*self._hidden, modules["output"]] if self._hidden else []
        self._seen: list[dict[str, Tensor]] = [{} for _ in watched]
        self._hooks = [
            (source, partial(KEEPERS[name], seen))
            for module, seen in zip(watched, self._seen, strict=True)
            for name, source in _sources(module).items()
        ]

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
    def take(self) -> Tensor:
        """float64 [LAYER_STATISTICS, hidden layers], on the device, of the rows of all ranks; what was seen is let
        go."""
        layers = self._seen[:-1]
        gradients = [_gradient(seen["measured"]) for seen in self._seen]
        signals = [*gradients[:-1], *(seen["z"] for seen in layers), *(seen["a"] for seen in layers)]
        measured = self._ranks.norms(norms([*signals, gradients[-1]]))
        sizes = torch.tensor([signal.numel() for signal in signals], dtype=torch.float64)
        roots = self._ranks.sum(sent(sizes, measured.device)).sqrt_()
        rms = (measured[:-1] / roots).view(3, len(layers))
        backward = torch.cat([measured[: len(layers)], measured[-1:]])
        for seen in self._seen:
            seen.clear()
        return torch.cat([rms, (backward[:-1] / backward[1:])[None]])


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
