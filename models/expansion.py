"""The families written out: every network as a list of typed layers, each with its name and its pointer."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from models.definitions.initial import Initial, InitName
from models.definitions.layers import (
    AnyLayer,
    Convolution,
    Dense,
    EmbeddingLayer,
    Output,
    Pooling,
    Readout,
    Recurrent,
    Residual,
)
from models.definitions.network import Block, Cnn, Dnn, Network, Rnn, Sequential


@dataclass(frozen=True)
class Placed:
    """A layer, what it is called, and where the definition says so."""

    name: str
    layer: AnyLayer
    pointer: str
    flattens: bool = False
    """Whether it takes its input as one vector, whatever its shape."""


def expand(network: Network) -> list[Placed]:
    """All layers, input first, the output last."""
    return list(EXPANSIONS[network.family](network))


def branch_scale(placed: list[Placed]) -> float:
    """What `init: auto` scales residual branches by, so that their sum stays of the input's size: 1/sqrt(number)."""
    branches = sum(is_residual(item.layer) for item in placed)
    return 1 / math.sqrt(branches) if branches else 1.0


def is_residual(layer: AnyLayer) -> bool:
    return isinstance(layer, Residual) or (isinstance(layer, Dense | Convolution) and layer.residual)


def has_batch_norm(network: Network) -> bool:
    """Whether a layer of the network normalises over the rows of a batch."""
    layers = [item.layer for item in expand(network)]
    inner = [within for layer in layers if isinstance(layer, Residual) for within in layer.layers]
    return any(isinstance(layer, Dense | Convolution) and layer.norm == "batch" for layer in [*layers, *inner])


def _embedding(network: Dnn | Rnn) -> Iterator[Placed]:
    if network.embedding is not None:
        yield Placed("embedding", EmbeddingLayer(kind="embedding", size=network.embedding.size), "/network/embedding")


def _dnn(network: Dnn) -> Iterator[Placed]:
    yield from _embedding(network)
    for index, width in enumerate(network.hidden):
        layer = Dense(
            kind="dense",
            width=width,
            activation=network.activation,
            norm=network.norm,
            dropout=network.dropout,
            bias=network.bias,
            residual=network.residual,
            init=network.init,
        )
        yield Placed(f"hidden_{index}", layer, f"/network/hidden/{index}", flattens=index == 0)
    output = Output(ends=network.output, bias=network.bias, init=network.init)
    yield Placed("output", output, "/network", flattens=not network.hidden)


def _cnn(network: Cnn) -> Iterator[Placed]:
    for index, block in enumerate(network.blocks):
        yield Placed(f"block_{index}", _convolution(network, block), f"/network/blocks/{index}")
    yield Placed("pooling", Pooling(kind="pooling", mode=network.pooling), "/network/pooling")
    for index, width in enumerate(network.hidden):
        layer = Dense(
            kind="dense",
            width=width,
            activation=network.activation,
            dropout=network.dropout,
            bias=network.bias,
            init=network.init,
        )
        yield Placed(f"hidden_{index}", layer, f"/network/hidden/{index}")
    yield Placed("output", Output(ends=network.output, bias=network.bias, init=network.init), "/network")


def _convolution(network: Cnn, block: Block) -> Convolution:
    """The block with the network's values where it has none of its own."""
    own = {name: value for name, value in block if value is not None}
    shared = {name: getattr(network, name) for name in ("activation", "norm", "dropout", "residual", "bias", "init")}
    return Convolution.model_construct(kind="convolution", **shared | own)


def _rnn(network: Rnn) -> Iterator[Placed]:
    yield from _embedding(network)
    layer = Recurrent(
        kind="recurrent",
        cell=network.cell,
        hidden=network.hidden,
        bidirectional=network.bidirectional,
        nonlinearity=network.nonlinearity,
        dropout=network.dropout,
        init=network.init,
        recurrent_init=network.recurrent_init,
        forget_bias=network.forget_bias,
    )
    for index in range(network.layers):
        yield Placed(f"recurrent_{index}", layer, "/network/hidden")
    yield Placed("readout", Readout(kind="readout", mode=network.readout), "/network/readout")
    for index, width in enumerate(network.head):
        head = Dense(kind="dense", width=width, activation=network.activation, init=network.init)
        yield Placed(f"head_{index}", head, f"/network/head/{index}")
    yield Placed("output", Output(ends=network.output, init=network.init), "/network")


def _sequential(network: Sequential) -> Iterator[Placed]:
    for index, layer in enumerate(network.layers):
        yield Placed(f"{layer.kind}_{index}", layer, f"/network/layers/{index}")
    yield Placed("output", Output(ends=network.output, init=_init_of_last(network)), "/network")


def _init_of_last(network: Sequential) -> InitName | Initial:
    """The output of a sequential network begins as the last layer that has an init does."""
    chosen = [layer.init for layer in network.layers if isinstance(layer, Dense | Convolution | Recurrent)]
    return chosen[-1] if chosen else "auto"


def inner(placed: Placed) -> list[Placed]:
    """The layers within a residual one."""
    assert isinstance(placed.layer, Residual)
    return [
        Placed(f"{layer.kind}_{index}", layer, f"{placed.pointer}/layers/{index}")
        for index, layer in enumerate(placed.layer.layers)
    ]


EXPANSIONS: dict[str, Callable[[Any], Iterator[Placed]]] = {
    "dnn": _dnn,
    "cnn": _cnn,
    "rnn": _rnn,
    "sequential": _sequential,
}
