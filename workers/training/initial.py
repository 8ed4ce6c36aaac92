"""Initial weights, drawn anew from torch's global generator; what each init means is said in its definition."""

import torch
from torch import Tensor, nn

from models.definitions.initial import (
    ConstantInit,
    GainInit,
    Initial,
    NormalInit,
    RecurrentInitial,
    UniformInit,
    ZerosInit,
)
from models.definitions.layers import Recurrent


def draw_weights(weight: Tensor, init: Initial) -> None:
    """Draws a weight [fan_out, fan_in, *kernel] in place, with torch's own functions."""
    match init:
        case GainInit(kind="orthogonal", gain=gain):
            nn.init.orthogonal_(weight, gain or 1.0)
        case GainInit(kind=kind, gain=gain):
            fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
            fan = (fan_in + fan_out) / 2 if kind == "xavier" else fan_in
            nn.init.normal_(weight, 0.0, (gain or 1.0) / fan**0.5)
        case ZerosInit():
            nn.init.zeros_(weight)
        case ConstantInit(value=value):
            nn.init.constant_(weight, value)
        case NormalInit(std=std):
            nn.init.normal_(weight, 0.0, std)
        case UniformInit(bound=bound):
            nn.init.uniform_(weight, -bound, bound)
        case _:
            raise AssertionError(f"{init} draws nothing")


def draw_recurrent(cell: nn.RNNBase, layer: Recurrent, recurrent: RecurrentInitial, inputs: Initial | None) -> None:
    """Input weights (None: they stay), recurrent weights and biases of a cell, gate by gate."""
    named = dict(cell.named_parameters())
    for name, parameter in named.items():
        if name.startswith("weight_ih") and inputs is not None:
            for gate in torch.split(parameter, layer.hidden):
                draw_weights(gate, inputs)
    for name, parameter in named.items():
        if name.startswith("weight_hh") and recurrent.kind != "default":
            for gate in torch.split(parameter, layer.hidden):
                _draw_square(gate, recurrent)
    constants = [(name, inputs.bias) for name in named if inputs is not None and inputs.bias is not None]
    for name, bias in constants:
        if name.startswith("bias"):
            named[name].fill_(bias if "_ih_" in name else 0.0)
    if layer.forget_bias is not None:
        for name in named:
            if name.startswith("bias"):
                # torch's order of gates: input, forget, cell, output.
                torch.split(named[name], layer.hidden)[1].fill_(layer.forget_bias if "_ih_" in name else 0.0)


def _draw_square(gate: Tensor, init: RecurrentInitial) -> None:
    if init.kind == "orthogonal":
        nn.init.orthogonal_(gate, init.gain)
    else:
        nn.init.eye_(gate).mul_(init.gain)
