"""The networks of the workloads as an engineer writes them for this one purpose: no module that does nothing.

Their parameters come in the order of Descent's.
"""

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn


def dense(widths: list[int], activation: Callable[[], nn.Module]) -> nn.Module:
    """From the first width to the last, with the activation between."""
    *hidden, last = pairwise(widths)
    layers = [(nn.Linear(before, after), activation()) for before, after in hidden]
    return nn.Sequential(*(module for layer in layers for module in layer), nn.Linear(*last))


def convolutional() -> nn.Module:
    """For images of 1x28x28."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


class LastState(nn.Module):
    """An LSTM that is read at its last step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(28, 64, batch_first=True)
        self.output = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.output(self.lstm(x)[0][:, -1])
        return output


STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))
"""Of ResNet-18 for small images: filters and the stride of the first convolution; four 3x3 convolutions each."""


class Branches(nn.Module):
    """x + convolutions(x), x projected by a kernel of 1 where shapes differ."""

    def __init__(self, before: int, after: int, stride: int, convolutions: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(convolutions):
            shape = (before, after, 3, stride) if index == 0 else (after, after, 3, 1)
            layers += [nn.Conv2d(*shape, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers)
        differs = before != after or stride > 1
        self.projection = nn.Conv2d(before, after, 1, stride, bias=False) if differs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x) + self.projection(x)
        return y


def resnet() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    before = 64
    for after, stride in STAGES:
        if stride == 1:
            layers.append(Branches(before, after, 1, 2))
        else:
            layers += [Branches(before, after, stride, 1), Branches(after, after, 1, 1)]
        layers.append(Branches(after, after, 1, 2))
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
