"""Gradient statistics against a plain, slow twin in exact sums, down to 1e-24 and up to what is not finite."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.series import STATISTICS, Chunk, assemble
from workers.training.statistics import GradientStatistics


class OneTensor(nn.Module):
    """A network of one parameter tensor whose gradient the test decides."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights)


def measured(gradient: torch.Tensor, weights: torch.Tensor | None = None, step: float = 0.0) -> dict[str, float]:
    """All statistics of one step, through the chunk that is stored. `step`: subtracted times the gradient."""
    network = OneTensor(torch.ones_like(gradient) if weights is None else weights)
    statistics = GradientStatistics(network)
    network.weight.grad = gradient
    statistics.before_clipping()
    statistics.before_step()
    with torch.no_grad():
        network.weight.sub_(gradient, alpha=step)
    statistics.after_step(0)
    stored = Chunk.decode(statistics.take().encode())
    return dict(zip(STATISTICS, stored.values[0, :, 0].astype(float).tolist(), strict=True))


def twin(gradient: list[float], before: list[float], after: list[float]) -> dict[str, float]:
    """The same by the textbook, one number at a time, with exact sums."""
    n = len(gradient)
    mean = math.fsum(gradient) / n

    def norm(values: list[float]) -> float:
        # Scaled, so that no square is lost even in double.
        largest = max(map(abs, values), default=0.0)
        return largest * math.sqrt(math.fsum((v / largest) ** 2 for v in values)) if largest else 0.0

    return {
        "norm": norm(gradient),
        "mean": mean,
        "std": math.sqrt(math.fsum((g - mean) ** 2 for g in gradient) / n),
        "max_abs": max(map(abs, gradient)),
        "zeros": sum(g == 0 for g in gradient) / n,
        "nonfinite": 0.0,
        "norm_clipped": norm(gradient),
        "weight_norm": norm(after),
        "update_ratio": norm([a - b for a, b in zip(after, before, strict=True)]) / norm(before),
    }


@pytest.mark.parametrize("scale", [1e-30, 1e-24, 1e-12, 1e-3, 1.0, 1e6, 1e18, 1e30])
@pytest.mark.parametrize("shape", [(1,), (7,), (64, 64), (16, 4, 3, 3)])
def test_statistics_are_those_of_the_slow_twin(scale: float, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(len(shape))
    gradient = torch.randn(shape, generator=generator).mul(scale)
    gradient.view(-1)[::5] = 0
    weights = torch.randn(shape, generator=generator)
    after = weights.clone().sub_(gradient, alpha=0.1)
    found = measured(gradient, weights.clone(), step=0.1)
    expected = twin(*(t.double().flatten().tolist() for t in (gradient, weights, after)))
    for name, value in expected.items():
        # They are stored as float32: six digits and a half.
        assert found[name] == pytest.approx(float(np.float32(value)), rel=2e-7, abs=0), name


def test_a_gradient_of_1e_24_is_measured_to_a_millionth() -> None:
    found = measured(torch.full((4096,), 1e-24))
    exact = 64 * float(np.float32(1e-24))
    assert found["norm"] == pytest.approx(exact, rel=1e-6, abs=0)
    assert found["max_abs"] == pytest.approx(1e-24, rel=1e-6, abs=0)
    assert found["mean"] == pytest.approx(1e-24, rel=1e-6, abs=0)
    # What single precision would have said.
    assert torch.full((4096,), 1e-24).square().sum().sqrt() == 0


def test_a_sum_that_cancels_keeps_its_digits() -> None:
    gradient = torch.tensor([1e8, 1.0, -1e8, 1.0] * 1000)
    assert measured(gradient)["mean"] == pytest.approx(0.5, rel=1e-6)


WEIRD: dict[str, tuple[list[float], dict[str, Any]]] = {
    "nan": ([1.0, math.nan], {"norm": math.nan, "mean": math.nan, "nonfinite": 1}),
    "inf": ([math.inf, 2.0, 0.0], {"norm": math.inf, "max_abs": math.inf, "nonfinite": 1, "zeros": 1 / 3}),
    "-inf": ([-math.inf, 1.0], {"norm": math.inf, "mean": -math.inf, "nonfinite": 1}),
    "both": ([math.inf, -math.inf, math.nan], {"mean": math.nan, "nonfinite": 3}),
    "zeros": ([0.0, 0.0], {"norm": 0, "mean": 0, "std": 0, "max_abs": 0, "zeros": 1, "nonfinite": 0,
                           "update_ratio": 0}),
}  # fmt: skip


@pytest.mark.parametrize("name", WEIRD)
def test_what_is_not_finite_stays_what_it_is(name: str) -> None:
    gradient, expected = WEIRD[name]
    found = measured(torch.tensor(gradient))
    assert {key: found[key] for key in expected} == pytest.approx(expected, nan_ok=True)


def test_in_an_answer_it_is_null_with_its_place() -> None:
    network = OneTensor(torch.ones(2))
    statistics = GradientStatistics(network)
    for step, values in enumerate([[1.0, 1.0], [math.nan, 1.0], [math.inf, 0.0], [-math.inf, 0.0]]):
        network.weight.grad = torch.tensor(values)
        statistics.before_clipping()
        statistics.before_step()
        statistics.after_step(step)
    shown = assemble([statistics.take().encode()], "mean").plain()
    assert shown["steps"] == [0, 1, 2, 3]
    assert shown["values"] == [[1.0], [None], [None], [None]]
    assert shown["nonfinite"] == [[1, 0, "nan"], [2, 0, "+inf"], [3, 0, "-inf"]]


def test_a_parameter_that_took_no_part_has_a_gradient_of_zeros() -> None:
    statistics = GradientStatistics(OneTensor(torch.ones(3)))
    statistics.before_clipping()
    statistics.before_step()
    statistics.after_step(0)
    values = dict(zip(STATISTICS, statistics.take().values[0, :, 0].tolist(), strict=True))
    assert (values["norm"], values["zeros"], values["update_ratio"]) == (0, 1, 0)


def test_the_norm_is_read_before_and_after_clipping() -> None:
    network = OneTensor(torch.ones(4))
    statistics = GradientStatistics(network)
    network.weight.grad = torch.full((4,), 3.0)
    statistics.before_clipping()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.5)
    statistics.after_clipping()
    statistics.before_step()
    statistics.after_step(0)
    values = dict(zip(STATISTICS, statistics.take().values[0, :, 0].tolist(), strict=True))
    assert (values["norm"], values["max_abs"]) == (6, 3)
    assert values["norm_clipped"] == pytest.approx(1.5, rel=1e-5)
