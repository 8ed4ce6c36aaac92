"""The statistics of hidden layers equal those of a network written by hand, in double."""

import torch
from torch import nn

from models.catalogue import DataShape
from models.definitions.job import JobDefinition
from models.shapes import trace
from workers.training.hidden_layers import HiddenLayers
from workers.training.networks import build

TABLE = DataShape("table", "classification", 100, (5,), 3, ("a", "b", "c"))


def rms(values: torch.Tensor) -> float:
    return values.square().mean().sqrt().item()


def test_a_plain_twin_measures_the_same() -> None:
    definition = JobDefinition.model_validate(
        {"network": {"family": "dnn", "hidden": [7, 6], "activation": "tanh"}, "data": {"dataset": "iris"}}
    )
    torch.manual_seed(0)
    network = build(definition.network, TABLE).double()
    hidden = HiddenLayers(network, trace(definition.network, TABLE))
    x, y = torch.randn(20, 5).double(), torch.randint(0, 3, (20,))
    with hidden.watching():
        nn.functional.cross_entropy(network(x), y).backward()
    measured = hidden.take()

    weights = [parameter.detach() for parameter in network.parameters()]
    z1 = (x @ weights[0].T + weights[1]).requires_grad_()
    a1 = z1.tanh()
    z2 = a1 @ weights[2].T + weights[3]
    z2.retain_grad()
    a2 = z2.tanh()
    z3 = a2 @ weights[4].T + weights[5]
    z3.retain_grad()
    nn.functional.cross_entropy(z3, y).backward()
    grads = [z.grad for z in (z1, z2, z3)]
    expected = torch.tensor(
        [
            [rms(grads[0]), rms(grads[1])],
            [rms(z1.detach()), rms(z2.detach())],
            [rms(a1.detach()), rms(a2.detach())],
            [(grads[0].norm() / grads[1].norm()).item(), (grads[1].norm() / grads[2].norm()).item()],
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(measured, expected, rtol=1e-9, atol=0)


def test_watching_changes_no_gradient() -> None:
    definition = JobDefinition.model_validate(
        {
            "network": {"family": "dnn", "hidden": [5] * 3, "residual": True, "norm": "layer"},
            "data": {"dataset": "iris"},
        }
    )
    x, y = torch.randn(20, 5), torch.randint(0, 3, (20,))
    gradients = []
    for watched in (False, True):
        torch.manual_seed(0)
        network = build(definition.network, TABLE)
        hidden = HiddenLayers(network, trace(definition.network, TABLE))
        if watched:
            with hidden.watching():
                nn.functional.cross_entropy(network(x), y).backward()
            assert hidden.take().isfinite().all()
        else:
            nn.functional.cross_entropy(network(x), y).backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for alone, seen in zip(*gradients, strict=True):
        assert torch.equal(alone, seen)
