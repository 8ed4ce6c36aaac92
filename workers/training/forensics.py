"""Where a step that was not finite went wrong first: the step is taken once more, watched, and changes nothing.

    found = first_nonfinite(step, batches, architecture, ranks, drawn_from)
    found.words  # "the pre-activation of layer 3 (hidden_2) was +inf"

Its update was not applied, so the weights are those of the step. The order is that in which numbers come to be: input
and target, the weights that an earlier update left, pre-activation and activation of each layer, loss, gradients in the
order of the backward pass.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from models.series import nonfinite_name
from models.shapes import Architecture
from workers.training.parts import Batch
from workers.training.randomness import random_state, restore_random_state
from workers.training.ranks import Ranks
from workers.training.state import State
from workers.training.step import EagerStep

AFFINE = (nn.Linear, nn.Conv1d, nn.Conv2d)
WORDS = {
    "input": "the input",
    "target": "the target",
    "weight": "the weight {tensor}, after an update that overflowed,",
    "preactivation": "the pre-activation of layer {layer} ({name})",
    "activation": "the activation of layer {layer} ({name})",
    "loss": "the loss",
    "gradient": "the gradient of {tensor}",
}


@dataclass(frozen=True)
class Found:
    """The first tensor of a step that was not finite."""

    place: str
    """As `models.reports.Incident` has it."""
    kind: str
    layer: int | None = None
    name: str | None = None
    """Of the layer."""
    tensor: str | None = None

    @property
    def words(self) -> str:
        kind = {"nan": "not a number"}.get(self.kind, self.kind)
        words = WORDS[self.place].format(**vars(self) | {"tensor": self.tensor or "the network"})
        return f"{words} was {kind}"


Seen = list[tuple[int, Found]]
"""What was not finite, with its place in the order of the step."""


def first_nonfinite(
    step: EagerStep, batches: list[Batch], architecture: Architecture, ranks: Ranks, drawn_from: State | None = None
) -> Found | None:
    """None where it does not come again. `drawn_from`: the random state before the step, where it drew. All ranks call
    it together."""
    order = count()
    seen: Seen = []

    def look(tensor: Any, place: str, name: str | None = None, parameter: str | None = None) -> None:
        at = next(order)
        if isinstance(tensor, Tensor) and (kind := kind_of(tensor)) is not None:
            seen.append((at, Found(place, kind, layers.get(name or ""), name, parameter)))

    layers = {layer.name: layer.index for layer in architecture.layers}
    for x, y in batches:
        look(x, "input")
        look(y, "target")
    named = list(zip(step.parameters.names, step.parameters.tensors, strict=True))
    for name, parameter in named:
        look(parameter, "weight", name.split(".")[0], name)
    with _as_it_was(step.network, step.parameters.gradients.device, drawn_from), _watched(step.network, look):
        step.parameters.zero_gradients()
        step.guard.begin()
        step.backward(batches, lambda outputs, loss, y: look(loss, "loss"))
    for name, parameter in reversed(named):
        look(parameter.grad, "gradient", name.split(".")[0], name)
    every: list[Seen] = ranks.each([(at, vars(found)) for at, found in seen]) if ranks.size > 1 else []
    if ranks.size > 1:
        seen = [(at, Found(**plain)) for of_rank in every for at, plain in of_rank]  # type: ignore[arg-type]
    return min(seen, key=lambda one: one[0])[1] if seen else None


def kind_of(tensor: Tensor) -> str | None:
    """`nan`, `+inf` or `-inf`: what comes first in it; None where all is finite."""
    flat = tensor.detach().flatten()
    if not flat.is_floating_point() or bool(flat.isfinite().all()):
        return None
    return nonfinite_name(float(flat[~flat.isfinite()][0]))


@contextmanager
def _watched(network: nn.Module, look: Any) -> Iterator[None]:
    """Each child of the network, and each affine map within it, shows what it gives."""
    with ExitStack() as stack:
        for name, child in network.named_children():
            for inner in child.modules():
                if isinstance(inner, AFFINE):
                    handle = inner.register_forward_hook(partial(_show, look, "preactivation", name))
                    stack.callback(handle.remove)
            handle = child.register_forward_hook(partial(_show, look, "activation", name))
            stack.callback(handle.remove)
        yield


def _show(look: Any, place: str, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
    look(output, place, name)


@contextmanager
def _as_it_was(network: nn.Module, device: torch.device, drawn_from: State | None) -> Iterator[None]:
    """The step draws what it drew, and afterwards the generators and the buffers of the network are as before."""
    after, buffers = random_state(device), [buffer.clone() for buffer in network.buffers()]
    if drawn_from is not None:
        restore_random_state(drawn_from, device)
    try:
        yield
    finally:
        restore_random_state(after, device)
        with torch.no_grad():
            for buffer, kept in zip(network.buffers(), buffers, strict=True):
                buffer.copy_(kept)
