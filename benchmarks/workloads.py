"""What is trained in the benchmarks: each workload as a job's definition, as a network written by hand, and its data.

The data are the 1 797 digits of scikit-learn, enlarged where a network wants larger images; xor is Descent's own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import by_hand
from models.catalogue import DIGITS, DataShape, XorParameters
from models.definitions.job import JobDefinition
from models.losses import loss_name, with_logits
from workers.datasets.generated import xor
from workers.training.networks import build

SEED = 1


@dataclass(frozen=True)
class Workload:
    """One network and the data it learns."""

    name: str
    network: dict[str, Any]
    """As a definition has it."""
    by_hand: Callable[[], nn.Module]
    """The same of `benchmarks.by_hand`."""
    shape: DataShape
    x: Tensor
    """float32 [rows, *input_shape]."""
    y: Tensor
    """int64 [rows], the classes."""
    epochs: int
    """Of its job: what `auto` samples depends on how many steps a job has."""
    epochs_a_turn: int
    """So many that a turn takes as many steps as there are between two samples, or more."""
    batch_size: int = 64

    def definition(self, gradients: dict[str, Any] | None = None, **training: Any) -> JobDefinition:
        """The job. Its data set is named for completeness: the benchmark hands the rows over."""
        return JobDefinition.model_validate(
            {
                "network": self.network,
                "data": {"dataset": "xor" if self.name == "xor" else "digits", "validation": None},
                "training": {"epochs": self.epochs, "batch_size": self.batch_size, "seed": SEED}
                | ({"loss": "binary_cross_entropy"} if self.is_binary else {})
                | training,
                "gradients": gradients or {},
            }
        )

    @property
    def is_binary(self) -> bool:
        """One logit for two classes."""
        return len(self.shape.classes) == 2

    @cached_property
    def targets(self) -> Tensor:
        """As torch's loss wants them: float32 for one logit."""
        return self.y.float() if self.is_binary else self.y

    @property
    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Of the outputs and `targets`."""
        return binary_loss if self.is_binary else functional.cross_entropy

    def sized(self, count: int) -> "Workload":
        """With so many rows, the same ones over again where there are not enough; a turn is one epoch."""
        x, y = rows(count, self.x, self.y)
        return replace(self, x=x, y=y, epochs_a_turn=1)

    def plain_network(self) -> nn.Module:
        """The network by hand, with the weights that the engine's begins with."""
        definition = self.definition()
        torch.manual_seed(SEED)
        ours = build(definition.network, with_logits(self.shape, loss_name(definition.training, self.shape)))
        plain = self.by_hand()
        for theirs, own in zip(plain.parameters(), ours.parameters(), strict=True):
            assert theirs.shape == own.shape
            theirs.data.copy_(own.data)
        return plain


def binary_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(outputs.squeeze(-1), targets)


@cache
def digits(size: int = 8) -> tuple[Tensor, Tensor]:
    """float32 [1797, size, size] with mean 0 and deviation 1, and the classes."""
    from sklearn.datasets import load_digits

    images, y = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8)
    if size != 8:
        x = functional.interpolate(x, size=size, mode="bilinear")
    return ((x - x.mean()) / x.std()).squeeze(1), torch.tensor(y)


HALF = 896
"""Rows of the larger images: 14 steps an epoch, and 2 800 a job, of which every 100th is sampled."""


def rows(count: int, *tensors: Tensor) -> list[Tensor]:
    """So many rows of each, over again where there are not enough."""
    return [tensor.repeat(-(-count // len(tensor)), *[1] * (tensor.dim() - 1))[:count] for tensor in tensors]


def _xor() -> Workload:
    x, y = xor(XorParameters())
    return Workload(
        "xor",
        {"family": "dnn", "hidden": [8], "activation": "tanh"},
        partial(by_hand.dense, [2, 8, 1], nn.Tanh),
        XorParameters().shape(),
        torch.from_numpy(x),
        torch.from_numpy(y),
        epochs=50,  # 5 000 steps, of which every 100th is sampled
        epochs_a_turn=1,
        batch_size=4,
    )


def _table(name: str, hidden: list[int], activation: str, function: type[nn.Module]) -> Workload:
    x, y = digits()  # 29 steps an epoch, 2 900 a job, of which every 100th is sampled
    shape = DataShape("table", "classification", len(x), (64,), 10, DIGITS)
    network = {"family": "dnn", "hidden": hidden, "activation": activation}
    return Workload(
        name,
        network,
        partial(by_hand.dense, [64, *hidden, 10], function),
        shape,
        x.flatten(1),
        y,
        epochs=100,
        epochs_a_turn=4,
    )


def _cnn28() -> Workload:
    x, y = rows(HALF, *digits(28))
    blocks = [{"filters": filters, "kernel": 3, "pool": "max"} for filters in (16, 32)]
    return Workload(
        "cnn28",
        {"family": "cnn", "blocks": blocks, "hidden": [64]},
        by_hand.convolutional,
        DataShape("image", "classification", len(x), (1, 28, 28), 10, DIGITS),
        x.unsqueeze(1),
        y,
        epochs=200,
        epochs_a_turn=8,
    )


def _lstm() -> Workload:
    x, y = rows(HALF, *digits(28))
    shape = DataShape("sequence", "classification", len(x), (28, 28), 10, DIGITS)
    network = {"family": "rnn", "cell": "lstm", "hidden": 64}
    return Workload("lstm", network, by_hand.LastState, shape, x, y, epochs=200, epochs_a_turn=8)


def _resnet() -> Workload:
    """The convolutions of ResNet-18 as `sequential` can say them: a block adds x after its last ReLU instead of before
    it, and in the three blocks that halve the image each of the two convolutions is a branch of its own, with a
    projection that is not normalised."""

    def convolution(filters: int, **more: Any) -> dict[str, Any]:
        return {"kind": "convolution", "filters": filters, "padding": 1, "norm": "batch", "bias": False} | more

    def block(filters: int) -> dict[str, Any]:
        return {"kind": "residual", "layers": [convolution(filters), convolution(filters)]}

    layers = [convolution(64)]
    for filters, stride in by_hand.STAGES:
        halving = [convolution(filters, stride=stride, residual=True), convolution(filters, residual=True)]
        layers += [*([block(filters)] if stride == 1 else halving), block(filters)]
    layers.append({"kind": "pooling", "mode": "average"})
    x, y = rows(160, *digits(32))
    return Workload(
        "resnet",
        {"family": "sequential", "layers": layers},
        by_hand.resnet,
        DataShape("image", "classification", len(x), (3, 32, 32), 10, DIGITS),
        x.unsqueeze(1).expand(-1, 3, -1, -1).contiguous(),
        y,
        epochs=40,  # 200 steps, of which every 10th is sampled
        epochs_a_turn=1,
        batch_size=32,
    )


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "xor": _xor,
    "mlp": lambda: _table("mlp", [256, 256], "relu", nn.ReLU),
    "mlp20": lambda: _table("mlp20", [64] * 20, "sigmoid", nn.Sigmoid),
    "cnn28": _cnn28,
    "lstm": _lstm,
    "resnet": _resnet,
}


@cache
def workload(name: str, quick: bool = False) -> Workload:
    """By its name. In a quick run a turn is one epoch, and one of the larger images is of half the rows."""
    made = WORKLOADS[name]()
    return made.sized(len(made.x) if made.shape.kind == "table" else HALF // 2) if quick else made
