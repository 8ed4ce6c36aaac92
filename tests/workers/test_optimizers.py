"""Each optimizer is torch's: the same weights after 20 steps. Clipping is torch's too."""

from typing import Any

import pytest
import torch
from torch import nn

from models.definitions.training import Clip, Training
from workers.training.optimizers import build_optimizer, clip_gradients

TWINS: dict[str, tuple[dict[str, Any], Any]] = {
    "sgd": ({"kind": "sgd", "learning_rate": 0.1}, lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.01)),
    "momentum": ({"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9},
                 lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01)),
    "nesterov": ({"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
                 lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01, nesterov=True)),
    "adam": ({"kind": "adam", "learning_rate": 0.02}, lambda p: torch.optim.Adam(p, 0.02, weight_decay=0.01)),
    "adamw": ({"kind": "adamw", "learning_rate": 0.02}, lambda p: torch.optim.AdamW(p, 0.02, weight_decay=0.01)),
    "rmsprop": ({"kind": "rmsprop", "learning_rate": 0.02, "alpha": 0.9, "momentum": 0.5},
                lambda p: torch.optim.RMSprop(p, 0.02, 0.9, momentum=0.5, weight_decay=0.01)),
    "adagrad": ({"kind": "adagrad", "learning_rate": 0.02},
                lambda p: torch.optim.Adagrad(p, 0.02, weight_decay=0.01)),
}  # fmt: skip


def trained(optimizer_of: Any) -> list[torch.Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    x, y = torch.randn(32, 5), torch.randn(32, 1)
    optimizer = optimizer_of(network.parameters())
    for _ in range(20):
        loss = nn.functional.mse_loss(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [parameter.detach() for parameter in network.parameters()]


@pytest.mark.parametrize("name", TWINS)
def test_an_optimizer_is_torchs(name: str) -> None:
    plain, twin = TWINS[name]
    training = Training.model_validate({"optimizer": plain, "weight_decay": 0.01})
    ours = trained(lambda parameters: build_optimizer(training, parameters))
    for mine, torchs in zip(ours, trained(twin), strict=True):
        torch.testing.assert_close(mine, torchs, rtol=1e-6, atol=1e-8)


def test_clipping_by_norm_scales_and_by_value_cuts() -> None:
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([3.0, -4.0])
    clip_gradients(Clip(norm=10.0), [weight])
    assert weight.grad.tolist() == [3, -4]
    clip_gradients(Clip(norm=2.5), [weight])
    torch.testing.assert_close(weight.grad, torch.tensor([1.5, -2.0]), rtol=1e-5, atol=0)
    clip_gradients(Clip(value=1.6), [weight])
    torch.testing.assert_close(weight.grad, torch.tensor([1.5, -1.6]), rtol=1e-5, atol=0)
