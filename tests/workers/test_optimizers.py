"""Each optimizer is torch's: the same weights after 20 steps. Clipping is torch's too."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from models.definitions.training import Clip, Training
from workers.training.optimizers import build_optimizer, clip_gradients
from workers.training.parameters import FlatParameters

TWINS: dict[str, tuple[dict[str, Any], Any]] = {
    "sgd": ({"kind": "sgd", "learning_rate": 0.1}, lambda p, decay: torch.optim.SGD(p, 0.1, weight_decay=decay)),
    "momentum": ({"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9},
                 lambda p, decay: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=decay)),
    "nesterov": ({"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
                 lambda p, decay: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=decay, nesterov=True)),
    "adam": ({"kind": "adam", "learning_rate": 0.02}, lambda p, decay: torch.optim.Adam(p, 0.02, weight_decay=decay)),
    "adamw": ({"kind": "adamw", "learning_rate": 0.02},
              lambda p, decay: torch.optim.AdamW(p, 0.02, weight_decay=decay)),
    "rmsprop": ({"kind": "rmsprop", "learning_rate": 0.02, "alpha": 0.9, "momentum": 0.5},
                lambda p, decay: torch.optim.RMSprop(p, 0.02, 0.9, momentum=0.5, weight_decay=decay)),
    "adagrad": ({"kind": "adagrad", "learning_rate": 0.02},
                lambda p, decay: torch.optim.Adagrad(p, 0.02, weight_decay=decay)),
}  # fmt: skip


def a_network() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """With a few rows to train on."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    return network, torch.randn(32, 5), torch.randn(32, 1)


def plainly_trained(optimizer_of: Any) -> list[torch.Tensor]:
    """With torch's own optimizer, tensor by tensor."""
    network, x, y = a_network()
    optimizer = optimizer_of(network.parameters())
    for _ in range(20):
        loss = nn.functional.mse_loss(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [parameter.detach() for parameter in network.parameters()]


def trained(training: Training) -> list[torch.Tensor]:
    """On flat vectors."""
    network, x, y = a_network()
    parameters = FlatParameters(network)
    optimizer = build_optimizer(training, parameters)
    for _ in range(20):
        loss = nn.functional.mse_loss(network(x), y)
        parameters.zero_gradients()
        loss.backward()
        optimizer.step()
    return [parameter.detach() for parameter in network.parameters()]


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("name", TWINS)
def test_an_optimizer_is_torchs(name: str, decay: float) -> None:
    plain, twin = TWINS[name]
    training = Training.model_validate({"optimizer": plain, "weight_decay": decay})
    for mine, torchs in zip(trained(training), plainly_trained(partial(twin, decay=decay)), strict=True):
        torch.testing.assert_close(mine, torchs, rtol=1e-6, atol=1e-7)


def test_clipping_by_norm_scales_and_by_value_cuts() -> None:
    gradients = torch.tensor([3.0, -4.0])
    clip_gradients(Clip(norm=10.0), gradients)
    assert gradients.tolist() == [3, -4]
    clip_gradients(Clip(norm=2.5), gradients)
    torch.testing.assert_close(gradients, torch.tensor([1.5, -2.0]), rtol=1e-5, atol=0)
    clip_gradients(Clip(value=1.6), gradients)
    torch.testing.assert_close(gradients, torch.tensor([1.5, -1.6]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("scale", [1.0, 1e-24, 1e30])
def test_clipping_is_torchs_where_torch_can_still_add_up_squares(scale: float) -> None:
    gradients = torch.randn(1000, generator=torch.Generator().manual_seed(0)).mul(scale)
    length = gradients.double().norm().item()
    clip_gradients(Clip(norm=0.5), gradients)
    assert gradients.double().norm().item() == pytest.approx(min(0.5, length), rel=1e-5)
    if scale == 1.0:
        weight = nn.Parameter(torch.zeros(1000))
        weight.grad = torch.randn(1000, generator=torch.Generator().manual_seed(0))
        nn.utils.clip_grad_norm_([weight], 0.5)
        torch.testing.assert_close(gradients, weight.grad, rtol=1e-6, atol=0)
