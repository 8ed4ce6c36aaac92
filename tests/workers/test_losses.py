"""Losses are torch's; the best constant is what a plain minimisation finds."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.definitions.training import Training
from workers.training.losses import Loss, build_loss, constant_loss

CLASSES = torch.tensor([0, 0, 0, 1, 1, 2, 0, 2, 1, 0])
BINARY = torch.tensor([0, 0, 1, 1, 1, 1, 0, 1, 1, 0])
WEIGHTS = [0.5, 2.0, 3.0]


def of(name: Any, y: Tensor, classes: int, **options: Any) -> Loss:
    return build_loss(Training(**options), name, y, classes)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, WEIGHTS, "balanced"])
def test_cross_entropy_is_torchs(weights: Any, smoothing: float) -> None:
    loss = of("cross_entropy", CLASSES, 3, class_weights=weights, label_smoothing=smoothing)
    torchs = {None: None, "balanced": torch.tensor([10 / 15, 10 / 9, 10 / 6])}
    expected_weights = torch.tensor(WEIGHTS) if isinstance(weights, list) else torchs[weights]
    logits = torch.randn(10, 3)
    expected = functional.cross_entropy(logits, CLASSES, weight=expected_weights, label_smoothing=smoothing)
    torch.testing.assert_close(loss(logits, CLASSES), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [0.5, 2.0]])
def test_binary_cross_entropy_is_cross_entropy_of_two_logits(weights: Any, smoothing: float) -> None:
    loss = of("binary_cross_entropy", BINARY, 2, class_weights=weights, label_smoothing=smoothing)
    logit = torch.randn(10, 1)
    soft = functional.one_hot(BINARY, 2) * (1 - smoothing) + smoothing / 2
    by_row = functional.cross_entropy(torch.cat([torch.zeros_like(logit), logit], 1), soft, reduction="none")
    weight = torch.ones(10) if weights is None else torch.tensor(weights)[BINARY]
    torch.testing.assert_close(loss(logit, BINARY), (by_row * weight).sum() / weight.sum())


@pytest.mark.parametrize(
    ("name", "torchs"),
    [("mse", functional.mse_loss), ("huber", functional.huber_loss), ("mae", functional.l1_loss)],
)
def test_losses_of_numbers_are_torchs(name: Any, torchs: Any) -> None:
    y, outputs = torch.randn(8, 5, 2) * 3, torch.randn(8, 5, 2)
    assert of(name, y, 0)(outputs, y) == torchs(outputs, y)


def test_a_loss_is_computed_in_float32_whatever_the_outputs_are() -> None:
    outputs = torch.randn(10, 3).bfloat16()
    assert of("cross_entropy", CLASSES, 3)(outputs, CLASSES).dtype == torch.float32


def minimised(loss: Loss, y: Tensor, outputs: int) -> float:
    """The slow twin: gradient descent on one prediction for all rows."""
    constant = torch.zeros(outputs, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([constant], 0.1)
    shape = (*y.shape, outputs) if loss.classes else y.shape
    for step in range(800):
        optimizer.param_groups[0]["lr"] = 0.1 * 0.99**step
        value = loss(constant.expand(shape), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return value.item()


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy"])
def test_the_best_constant_for_classes(name: Any, weighted: bool, smoothing: float) -> None:
    y, classes = (CLASSES, 3) if name == "cross_entropy" else (BINARY, 2)
    weights = WEIGHTS[:classes] if weighted else None
    loss = of(name, y, classes, class_weights=weights, label_smoothing=smoothing)
    outputs = 1 if name == "binary_cross_entropy" else classes
    assert constant_loss(loss, y) == pytest.approx(minimised(loss, y, outputs), rel=1e-5)


@pytest.mark.parametrize("name", ["mse", "huber", "mae"])
def test_the_best_constant_for_numbers(name: Any) -> None:
    torch.manual_seed(0)
    y = torch.cat([torch.randn(31, 2), torch.full((10, 2), 8.0)])
    loss = of(name, y, 0)
    assert constant_loss(loss, y) == pytest.approx(minimised(loss, y, 2), rel=1e-4)
