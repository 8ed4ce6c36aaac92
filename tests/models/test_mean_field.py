"""The theory agrees with closed forms, with plain draws, and with networks of torch that have just been made."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.mean_field import ACTIVATIONS, LARGEST, depth_budget, limit_gain, moments, weight_variance

WIDTH, DEPTH, ROWS, SEEDS = 256, 6, 128, 5
NAMES = [*ACTIVATIONS, "maxout"]
TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "selu": functional.selu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "maxout": lambda z: torch.maximum(*z.chunk(2, -1)),
}
DRAWS: dict[str, Callable[[Tensor], object]] = {
    "default": lambda weight: None,
    "he": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "xavier": nn.init.xavier_normal_,
    "lecun": lambda weight: nn.init.normal_(weight, 0.0, weight.shape[1] ** -0.5),
    "orthogonal": nn.init.orthogonal_,
}


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("q", [1e-6, 1.0, 1e6])
def test_pieces_of_lines_have_closed_forms(q: float) -> None:
    assert moments("linear", q) == pytest.approx((0, q, 1), rel=1e-9, abs=1e-9)
    assert moments("relu", q) == pytest.approx((math.sqrt(q / (2 * math.pi)), q / 2, 1 / 2), rel=1e-9)
    assert moments("leaky_relu", q)[1:] == pytest.approx((q * 1.0001 / 2, 1.0001 / 2), rel=1e-9)
    # Clark 1961: the larger of two independent N(0, q) has mean sqrt(q / pi) and second moment q.
    assert moments("maxout", q) == pytest.approx((math.sqrt(q / math.pi), q, 1), rel=1e-3)
    assert moments("linear", q, window=2) == moments("maxout", q)


def test_selu_keeps_mean_0_and_variance_1() -> None:
    assert moments("selu", 1.0)[:2] == pytest.approx((0, 1), abs=1e-9)


def test_the_mean_of_gelu_has_a_closed_form() -> None:
    # Stein's lemma: E[z P(z)] = q E[p(z)], p the density and P the distribution of N(0, 1).
    q = 1.7
    assert moments("gelu", q).mean == pytest.approx(q / math.sqrt(2 * math.pi * (1 + q)), rel=1e-6)


def test_small_signals_see_the_slope_at_0() -> None:
    assert moments("tanh", 1e-9).derivative == pytest.approx(1, rel=1e-6)
    assert moments("gelu", 1e-9).derivative == pytest.approx(1 / 4, rel=1e-3)
    assert moments("silu", 1e-9).derivative == pytest.approx(1 / 4, rel=1e-3)


@pytest.mark.parametrize("q", [0.0, 1e-12, 1.0, 100.0, 1e12])
def test_the_slope_of_the_sigmoid_is_at_most_a_quarter(q: float) -> None:
    assert 0 < moments("sigmoid", q).derivative <= 1 / 16 + 1e-12


@pytest.mark.parametrize("q", [1e2, 1e4, 1e8])
def test_a_saturated_tanh_keeps_the_slope_of_its_narrow_middle(q: float) -> None:
    # The integral of tanh'^2 is 4/3, and the density of z at 0 is 1 / sqrt(2 pi q).
    assert moments("tanh", q).derivative == pytest.approx(4 / 3 / math.sqrt(2 * math.pi * q), rel=2e-2)


def test_without_variance_every_z_is_the_bias() -> None:
    assert moments("sigmoid", 0.0) == pytest.approx((0.5, 0.25, 0.0625))
    assert moments("sigmoid", 0.0, bias=math.log(3)) == pytest.approx((0.75, 0.75**2, (0.75 * 0.25) ** 2))
    assert moments("relu", 0.0) == pytest.approx((0, 0, 0.5))
    assert moments("relu", 0.0, bias=-1.0) == (0, 0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_exploding_signals_stay_finite(name: str) -> None:
    for q in (1e150, 1e300, math.inf):
        assert all(math.isfinite(value) for value in moments(name, q, window=4))
    assert moments(name, math.inf) == moments(name, LARGEST)
    assert 0 <= limit_gain(name, 1e12) <= 1.1e6
    assert math.isnan(moments(name, math.nan).second)


@pytest.mark.parametrize("bias", [0.0, -1.0])
@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("name", NAMES)
def test_the_quadrature_agrees_with_a_million_draws(name: str, window: int, bias: float) -> None:
    generator = np.random.default_rng(7)
    pieces = 2 if name == "maxout" else 1
    z = torch.tensor(bias + math.sqrt(1.7) * generator.standard_normal((1_000_000, window, pieces)))
    z.requires_grad_()
    largest = TORCH[name](z).amax(1)
    largest.sum().backward()
    assert z.grad is not None
    mean, second, derivative = moments(name, 1.7, window, bias)
    assert mean == pytest.approx(largest.mean().item(), rel=1e-2, abs=5e-3)
    assert second == pytest.approx(largest.square().mean().item(), rel=1e-2)
    assert derivative == pytest.approx(z.grad.square().sum((1, 2)).mean().item(), rel=1e-2)


@pytest.mark.parametrize(
    ("activation", "gain"),
    [("sigmoid", 0.25), ("tanh", 1.0), ("relu", math.sqrt(0.5)), ("gelu", 0.5), ("linear", 1.0), ("maxout", 1.0)],
)
def test_the_default_init_attenuates(activation: str, gain: float) -> None:
    # Var(w) = 1 / (3 fan_in) whatever the width, and the signal falls to where the activation is a line; the sigmoid's
    # constant half keeps it off 0.
    fan_out = 128 if activation == "maxout" else 64
    variance = 64 * weight_variance("default", 64, fan_out)
    assert limit_gain(activation, variance) == pytest.approx(gain * math.sqrt(1 / 3), rel=2.5e-2)


def test_gains_of_1_are_found() -> None:
    assert limit_gain("relu", 2.0) == pytest.approx(1)
    assert limit_gain("selu", 1.0) == pytest.approx(math.sqrt(1.0715749925))
    assert limit_gain("tanh", 1.0) == pytest.approx(1, abs=1e-3)
    assert limit_gain("tanh", 25 / 9) == pytest.approx(1.0999, abs=1e-4)


def test_zero_weights_pass_nothing() -> None:
    assert weight_variance("zeros", 64, 64) == weight_variance("constant", 64, 64) == 0
    assert limit_gain("tanh", 0.0) == 0


def test_the_depth_budget_is_where_a_thousandth_is_left() -> None:
    assert depth_budget(0.1) == pytest.approx(3)
    assert depth_budget(math.sqrt(1 / 6)) == pytest.approx(7.7, abs=0.02)
    assert depth_budget(0.0) == 0
    assert depth_budget(1.0) is depth_budget(1.2) is depth_budget(math.inf) is None
    assert depth_budget(limit_gain("maxout", 1.0)) is None


@pytest.mark.parametrize(("fan_in", "fan_out"), [(400, 400), (600, 200), (200, 600)])
@pytest.mark.parametrize("kind", DRAWS)
def test_weights_are_drawn_with_the_variance(kind: str, fan_in: int, fan_out: int) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(fan_in, fan_out)
    DRAWS[kind](linear.weight)
    assert weight_variance(kind, fan_in, fan_out) == pytest.approx(linear.weight.square().mean().item(), rel=2e-2)


def test_parameters_of_an_init_count() -> None:
    assert weight_variance("normal", 64, 64, std=0.8) == pytest.approx(0.64)
    assert weight_variance("uniform", 64, 64, bound=0.3) == pytest.approx(0.03)
    assert weight_variance("he", 50, 1) == pytest.approx(0.04)
    assert weight_variance("he", 50, 1, gain=1.0) == pytest.approx(0.02)


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("activation", NAMES)
def test_new_networks_have_the_gains_of_the_theory(activation: str, kind: str) -> None:
    measured = np.mean([measured_gains(activation, kind, seed) for seed in range(SEEDS)], axis=0)
    assert measured == pytest.approx(np.array(expected_gains(activation, kind)), rel=0.05)


def expected_gains(activation: str, kind: str) -> list[float]:
    """Of all layers but the last, from inputs of RMS 1."""
    fan_out = 2 * WIDTH if activation == "maxout" else WIDTH
    weights = WIDTH * weight_variance(kind, WIDTH, fan_out)
    biases = weight_variance(kind, WIDTH, fan_out) if kind == "default" else 0.0
    second, gains = 1.0, []
    for _ in range(DEPTH - 1):
        passed = moments(activation, weights * second + biases)
        gains.append(math.sqrt(weights * passed.derivative))
        second = passed.second
    return gains


def measured_gains(activation: str, kind: str, seed: int) -> list[float]:
    """||dL/dz_l|| / ||dL/dz_l+1|| of all layers but the last, whose gradient is drawn."""
    torch.manual_seed(seed)
    a, zs = torch.randn(ROWS, WIDTH), []
    for _ in range(DEPTH):
        linear = nn.Linear(WIDTH, 2 * WIDTH if activation == "maxout" else WIDTH)
        DRAWS[kind](linear.weight)
        if kind != "default":
            nn.init.zeros_(linear.bias)
        z = linear(a)
        z.retain_grad()
        zs.append(z)
        a = TORCH[activation](z)
    zs[-1].backward(torch.randn_like(zs[-1]))
    norms = [z.grad.norm().item() for z in zs]
    return [lower / upper for lower, upper in pairwise(norms)]
