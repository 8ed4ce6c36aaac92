"""Gradient statistics against a plain, slow twin in exact sums, down to 1e-24 and up to what is not finite."""

import math
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.definitions.training import Clip, Training
from models.series import STATISTICS, Chunk, Piece, assemble
from workers.training import native
from workers.training.optimizers import build_optimizer, clip_gradients
from workers.training.parameters import FlatParameters
from workers.training.statistics import CompiledRing, GradientStatistics, TorchRing


class Tensors(nn.Module):
    """A network of parameter tensors whose gradients the test decides."""

    def __init__(self, *weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(weight.clone()) for weight in weights])


RINGS = {"compiled": CompiledRing, "torch": TorchRing}


@pytest.fixture(params=RINGS)
def ring(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each way to compute; where it is torch's, there is no compiled library."""
    if request.param == "torch":
        monkeypatch.setattr(native, "LIBRARY", None)
    return RINGS[request.param]


def parameters_of(weights: list[torch.Tensor], gradients: list[torch.Tensor]) -> FlatParameters:
    parameters = FlatParameters(Tensors(*weights))
    for tensor, gradient in zip(parameters.tensors, gradients, strict=True):
        assert tensor.grad is not None
        tensor.grad.copy_(gradient)
    return parameters


def measured(gradient: torch.Tensor) -> dict[str, float]:
    """All statistics of a step of one tensor, through the chunk that is stored."""
    parameters = parameters_of([torch.ones_like(gradient)], [gradient])
    statistics = GradientStatistics(parameters)
    statistics.before_clipping()
    statistics.after_step(0)
    return stored(statistics)


def stored(statistics: GradientStatistics) -> dict[str, float]:
    values = Chunk.decode(statistics.take().encode()).values
    return dict(zip(STATISTICS, values[0, :, 0].astype(float).tolist(), strict=True))


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


SHAPES = [(1,), (7,), (64, 64), (16, 4, 3, 3), (5000,)]
"""Of the tensors of one network: around the blocks of the compiled pass."""


@pytest.mark.parametrize("centre", [0.0, 1.0, 1e6])
@pytest.mark.parametrize("scale", [1e-30, 1e-24, 1e-12, 1e-3, 1.0, 1e6, 1e18, 1e30])
def test_statistics_are_those_of_the_slow_twin(ring: Any, scale: float, centre: float) -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = [(torch.randn(shape, generator=generator) + centre).mul(scale) for shape in SHAPES]
    for gradient in gradients:
        gradient.view(-1)[::5] = 0
    weights = [torch.randn(shape, generator=generator) for shape in SHAPES]
    parameters = parameters_of(weights, gradients)
    sampled = ring(parameters)
    sampled.read_gradients(3)
    sampled.keep_weights()
    parameters.values.sub_(parameters.gradients, alpha=0.1)
    sampled.read_updates(3)
    found = sampled.rows(4)[3]
    for column, (before, gradient, after) in enumerate(zip(weights, gradients, parameters.tensors, strict=True)):
        expected = twin(*(t.detach().double().flatten().tolist() for t in (gradient, before, after)))
        for name, value in expected.items():
            assert found[STATISTICS.index(name), column] == pytest.approx(value, rel=1e-9, abs=0), name


def test_stored_they_keep_the_digits_of_float32() -> None:
    gradient = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    found = measured(gradient)
    expected = twin(gradient.double().tolist(), [1.0] * 1000, [1.0] * 1000)
    assert found == pytest.approx({name: float(np.float32(value)) for name, value in expected.items()}, rel=1e-7)


def test_a_gradient_of_1e_24_is_measured_to_a_millionth(ring: Any) -> None:
    found = measured(torch.full((4096,), 1e-24))
    exact = 64 * float(np.float32(1e-24))
    assert found["norm"] == pytest.approx(exact, rel=1e-6, abs=0)
    assert found["max_abs"] == pytest.approx(1e-24, rel=1e-6, abs=0)
    assert found["mean"] == pytest.approx(1e-24, rel=1e-6, abs=0)
    # What single precision would have said.
    assert torch.full((4096,), 1e-24).square().sum().sqrt() == 0


def test_a_sum_that_cancels_keeps_its_digits(ring: Any) -> None:
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
def test_what_is_not_finite_stays_what_it_is(ring: Any, name: str) -> None:
    gradient, expected = WEIRD[name]
    found = measured(torch.tensor(gradient))
    assert {key: found[key] for key in expected} == pytest.approx(expected, nan_ok=True)


def test_in_an_answer_it_is_null_with_its_place(ring: Any) -> None:
    parameters = parameters_of([torch.ones(2)], [torch.ones(2)])
    statistics = GradientStatistics(parameters)
    for step, values in enumerate([[1.0, 1.0], [math.nan, 1.0], [math.inf, 0.0], [-math.inf, 0.0]]):
        parameters.gradients.copy_(torch.tensor(values))
        statistics.before_clipping()
        statistics.after_step(step)
    shown = assemble([Piece.of(statistics.take().encode(), "mean")]).plain()
    assert shown["steps"] == [0, 1, 2, 3]
    assert shown["values"] == [[1.0], [None], [None], [None]]
    assert shown["nonfinite"] == [[1, 0, "nan"], [2, 0, "+inf"], [3, 0, "-inf"]]


def test_a_parameter_that_took_no_part_has_a_gradient_of_zeros(ring: Any) -> None:
    values = measured(torch.zeros(3))
    assert (values["norm"], values["zeros"], values["update_ratio"]) == (0, 1, 0)


def test_the_norm_is_read_before_and_after_clipping(ring: Any) -> None:
    parameters = parameters_of([torch.ones(4), torch.ones(2)], [torch.full((4,), 3.0), torch.zeros(2)])
    statistics = GradientStatistics(parameters)
    statistics.before_clipping()
    clip_gradients(Clip(norm=1.5), parameters.gradients)
    statistics.after_clipping()
    statistics.after_step(0)
    values = stored(statistics)
    assert (values["norm"], values["max_abs"]) == (6, 3)
    assert values["norm_clipped"] == pytest.approx(1.5, rel=1e-5)


@pytest.mark.parametrize("clip", [None, Clip(norm=1e-16), Clip(value=1e-24)])
def test_what_the_gradient_promised_is_summed_in_double_before_clipping(ring: Any, clip: Clip | None) -> None:
    torch.manual_seed(0)
    gradients = [1e-24 * torch.randn(70_000), 1e-24 * torch.randn(3)]
    parameters = parameters_of([torch.randn(70_000), torch.randn(3)], gradients)
    before = parameters.values.double()
    statistics = GradientStatistics(parameters, keeps_gradients=clip is not None and clip.value is not None)
    statistics.before_clipping()
    if clip:
        clip_gradients(clip, parameters.gradients)
        statistics.after_clipping()
    parameters.values.add_(0.01 * torch.randn(70_003))
    expected = torch.cat(gradients).double() @ (parameters.values.double() - before)
    torch.testing.assert_close(statistics.promised(), expected, rtol=1e-5 if clip and clip.norm else 1e-12, atol=0)


def test_a_frozen_tensor_has_no_column_and_does_not_move() -> None:
    network = Tensors(torch.ones(2), torch.ones(3), torch.ones(4))
    network.weights[1].requires_grad_(False)
    parameters = FlatParameters(network)
    optimizer = build_optimizer(Training(), parameters)
    parameters.gradients.fill_(1.0)
    optimizer.step()
    assert parameters.names == ["weights.0", "weights.2"]
    assert [weight.unique().item() == 1 for weight in network.weights] == [False, True, False]


def test_the_compiled_library_is_there_where_there_is_a_compiler() -> None:
    """Without it every figure is right and slow, and nothing else would tell."""
    assert native.LIBRARY is not None or shutil.which("cc") is None
