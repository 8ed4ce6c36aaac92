"""Rho is that of a twin in double, and of a quadratic what the formula says."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.definitions.job import JobDefinition
from models.reports import Report, Sampled
from models.series import STEP_STATISTICS, Chunk
from workers.training.descent import Descent
from workers.training.job import Trainer
from workers.training.losses import Loss
from workers.training.networks import build
from workers.training.parts import Resident
from workers.training.stopwatch import Stopwatch

Measured = dict[str, torch.Tensor]
"""By statistic, a number for each sampled step."""


def a_job(plain: dict[str, Any], folder: Path) -> tuple[Trainer, list[Report]]:
    reports: list[Report] = []
    definition = JobDefinition.model_validate({"gradients": {"every_steps": 1}} | plain)
    device = torch.device("cpu")
    return Trainer.prepare(definition, folder, device, reports.append, lambda: None, Stopwatch()), reports


def measured(reports: list[Report]) -> Measured:
    chunks = [Chunk.decode(one.data) for one in reports if isinstance(one, Sampled) and one.series == "steps"]
    values = torch.cat([torch.from_numpy(chunk.values.copy()) for chunk in chunks]).double()
    return {name: values[:, index, 0] for index, name in enumerate(STEP_STATISTICS)}


def part_of(trainer: Trainer) -> Resident:
    assert isinstance(trainer.data.training, Resident)
    return trainer.data.training


CLIPS: dict[str, Any] = {"not": None, "by norm": {"norm": 0.05}, "by value": {"value": 0.002}}
WEIGHTED = [*map(float, range(1, 11))]


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("class_weights", [None, WEIGHTED])
def test_it_is_that_of_a_twin_in_double(folder: Path, clip: str, accumulate: int, class_weights: Any) -> None:
    """The twin takes the step of plain gradient descent anew, from the weights of the job before it."""
    rate, training = 0.1, {"max_steps": 6, "batch_size": 20, "accumulate": accumulate, "clip": CLIPS[clip]}
    plain = {
        "network": {"family": "dnn", "hidden": [12, 8], "activation": "tanh"},
        "data": {"dataset": "digits", "validation": None},
        "training": training | {"class_weights": class_weights, "optimizer": {"kind": "sgd", "learning_rate": rate}},
    }
    trainer, reports = a_job(plain, folder)
    trainer.run_once(0)
    found, part = measured(reports), part_of(trainer)
    torch.manual_seed(0)
    network = build(trainer.definition.network, trainer.shape).double()
    weight = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float64)
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))
    for step, rows in enumerate(order.split(20 * accumulate)[:6]):
        x, y = part.x[rows].double(), part.y[rows]
        network.zero_grad()
        before = nn.functional.cross_entropy(network(x), y, weight=weight)
        before.backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
        if clip == "by norm":
            nn.utils.clip_grad_norm_(network.parameters(), 0.05)
        if clip == "by value":
            nn.utils.clip_grad_value_(network.parameters(), 0.002)
        kept = [parameter.detach().clone() for parameter in network.parameters()]
        torch.optim.SGD(network.parameters(), rate).step()
        after = nn.functional.cross_entropy(network(x), y, weight=weight)
        moved = [parameter.detach() - old for parameter, old in zip(network.parameters(), kept, strict=True)]
        predicted = sum(((g * dw).sum() for g, dw in zip(gradients, moved, strict=True)), torch.zeros(()))
        expected = {"loss": before, "loss_after": after, "predicted": predicted, "rho": (after - before) / predicted}
        for name, value in expected.items():
            assert found[name][step].item() == pytest.approx(value.item(), rel=1e-3 if name == "rho" else 1e-5), name


def linear_regression(rate: float, folder: Path) -> tuple[Measured, torch.Tensor, torch.Tensor]:
    """One step of gradient descent over all rows: what is measured, the Hessian in double, and the step."""
    plain = {
        "network": {"family": "dnn", "hidden": []},
        "data": {"dataset": "diabetes", "validation": None},
        "training": {"max_steps": 1, "batch_size": 442, "optimizer": {"kind": "sgd", "learning_rate": rate}},
    }
    trainer, reports = a_job(plain, folder)
    torch.manual_seed(0)
    before = nn.utils.parameters_to_vector(build(trainer.definition.network, trainer.shape).parameters()).double()
    trainer.run_once(0)
    assert trainer.network is not None
    x = part_of(trainer).x.double()
    x = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], 1)
    after = nn.utils.parameters_to_vector(trainer.network.parameters()).double()
    return measured(reports), 2 * x.T @ x / len(x), (after - before).detach()


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.15])
def test_of_a_quadratic_it_is_1_less_half_the_curvature_over_the_slope(folder: Path, rate: float) -> None:
    found, hessian, moved = linear_regression(rate, folder)
    predicted = found["predicted"].item()
    expected = 1 - (moved @ hessian @ moved).item() / (2 * abs(predicted))
    assert found["rho"].item() == pytest.approx(expected, abs=1e-3)
    assert predicted == pytest.approx(-moved.square().sum().item() / rate, rel=1e-4)


def test_a_rate_beyond_2_over_the_largest_curvature_along_it_gives_less_than_0(folder: Path) -> None:
    _, hessian, moved = linear_regression(0.001, folder)
    sharpness = (moved @ hessian @ moved / moved.square().sum()).item()
    for share, is_positive in ((0.9, True), (1.1, False)):
        found, *_ = linear_regression(share * 2 / sharpness, folder)
        assert (found["rho"].item() > 0) is is_positive
        assert (found["loss_after"] < found["loss"]).item() is is_positive


def test_a_step_that_promises_nothing_has_none() -> None:
    network, batches = nn.Linear(3, 1), [(torch.randn(5, 3), torch.randn(5, 1))]
    descent = Descent(network, Loss("mse"), nullcontext)
    with descent.watching():
        network(batches[0][0])
    found = descent.take(batches, torch.zeros((), dtype=torch.float64))
    assert found[1].isnan()
    assert found[0] == found[2] > 0


def test_the_second_pass_has_the_dropout_masks_of_the_first(folder: Path) -> None:
    """At a rate of next to nothing the loss is the same, which it is not under other masks."""
    plain = {
        "network": {"family": "dnn", "hidden": [32], "dropout": 0.5},
        "data": {"dataset": "digits", "validation": None},
        "training": {"max_steps": 3, "optimizer": {"kind": "sgd", "learning_rate": 1e-12}, "accumulate": 2},
    }
    trainer, reports = a_job(plain, folder)
    trainer.run_once(0)
    found = measured(reports)
    torch.testing.assert_close(found["loss_after"], found["loss"], rtol=1e-6, atol=0)
