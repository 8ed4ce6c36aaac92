"""What passes through the hidden layers at a sampled step: the signal forward, the gradient backward, and its gain.

    with HiddenLayers(network, architecture).watching() as watched:
        loss = ...; loss.backward()
    watched.take()  # float64 [LAYER_STATISTICS, hidden layers]

Watching keeps references and the gradients of some activations; it computes nothing and changes no number.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from models.shapes import Architecture
from workers.training.networks import Convolution, Dense, Output, Residual


class HiddenLayers:
    """The dense layers, convolutions and residual blocks of a network, in order."""

    def __init__(self, network: nn.Module, architecture: Architecture) -> None:
        modules = dict(network.named_children())
        self._hidden = [modules[layer.name] for layer in architecture.hidden]
        self._watched = [*self._hidden, modules["output"]] if self._hidden else []
        self._seen: list[dict[str, Tensor]] = []

    def __len__(self) -> int:
        return len(self._hidden)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Forward and backward within it are seen by `take`."""
        self._seen = [{} for _ in self._watched]
        handles = [
            source.register_forward_hook(partial(_keep, seen, name))
            for module, seen in zip(self._watched, self._seen, strict=True)
            for name, source in _sources(module).items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def take(self) -> Tensor:
        """float64 [LAYER_STATISTICS, hidden layers]; what was seen is let go."""
        measured = [_gradient(module, seen) for module, seen in zip(self._watched, self._seen, strict=True)]
        norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in measured])
        rows = [
            torch.stack([_rms(gradient), _rms(seen["z"]), _rms(seen["a"])])
            for gradient, seen in zip(measured[:-1], self._seen[:-1], strict=True)
        ]
        self._seen = []
        return torch.cat([torch.stack(rows, dim=1), (norms[:-1] / norms[1:])[None]])


def _sources(module: nn.Module) -> dict[str, Any]:
    """Which modules give the pre-activation z, the activation a, and y, what the layer hands on."""
    match module:
        case Dense():
            return {"z": module.linear, "a": module.activation, "y": module}
        case Convolution():
            return {"z": module.convolution, "a": module.activation, "y": module}
        case Output():
            return {"z": module.linear}
        case _:
            return {"z": module, "a": module, "y": module}


def _keep(seen: dict[str, Tensor], name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
    if output.requires_grad and name != "a":
        output.retain_grad()
    seen[name] = output


def _gradient(module: nn.Module, seen: dict[str, Tensor]) -> Tensor:
    """dL/dz; of a residual layer dL/dy, for there the gradient has a way past z."""
    kept = seen["y"] if isinstance(module, Residual) or getattr(module, "residual", False) else seen["z"]
    return (torch.zeros_like(kept) if kept.grad is None else kept.grad).double()


def _rms(values: Tensor) -> Tensor:
    return values.detach().double().square().mean().sqrt()
