"""How far signals and gradients carry in a network that has not been trained: mean field theory, by quadrature.

    q = fan_in * weight_variance("he", fan_in, fan_out) * input_second_moment  # Var(z) of the first layer
    passed = moments("relu", q)
    q = fan_in * weight_variance("he", fan_in, fan_out) * passed.second        # Var(z) of the next one
    gain = math.sqrt(fan_in * weight_variance("he", fan_in, fan_out) * passed.derivative)

In the limit of wide layers the pre-activations z of a layer are Gaussian with mean `bias` and variance q (Poole et al.
2016), and gradients behave as if the weights of the way back were drawn anew (Schoenholz et al. 2017, where
sigma_w^2 = fan_in Var(w), and the squared gain is chi_1).
"""

import math
from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LOST = 1e-3
"""The share of a gradient at which it counts as lost."""
NODES, REACH, CORE = 400, 10.0, 1e-4
"""Of the quadrature: how many nodes, and in standard deviations how far they reach and how far from z = 0 their spacing
is even; further out it grows with the distance."""
SMALLEST, LARGEST = 1e-300, 1e300
"""Variances are taken into these bounds: at the lower one relu still has its slope of 1 on one half of the units, at
the upper one squares are finite."""
MOST_ITERATIONS, SETTLED = 1_000, 1e-9
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
"""Klambauer et al. 2017, eq. 14."""


class Moments(NamedTuple):
    """Expectations over z ~ N(bias, q) of an activation phi, or of the largest phi(z) in a window."""

    mean: float
    """E[phi(z)]."""
    second: float
    """E[phi(z)^2]: the next layer has Var(z) = fan_in Var(w) E[phi(z)^2] + Var(b) (Poole et al. 2016)."""
    derivative: float
    """E[phi'(z)^2]: the gain of norms, ||dL/dz_l|| / ||dL/dz_l+1||, is sqrt(fan_in Var(w) E[phi'(z)^2]) with fan_in and
    Var(w) of layer l+1 (Schoenholz et al. 2017). Of maxout and windows: summed over all z of one output, of which the
    largest alone has a gradient."""


@lru_cache(4096)
def moments(activation: str, variance: float, window: int = 1, bias: float = 0.0) -> Moments:
    """Of an activation where z has this variance q and mean `bias`.

    A window above 1 is the max pooling of as many z, taken as independent. Finite for every variance: at 0 the limit
    from above, beyond `LARGEST` that of `LARGEST`. Exact to 1e-7 up to q = 1e8, to 0.1 % with a window of 2 to 9 and no
    bias; a derivative at q above 1e10 may come out as 0. Raises KeyError for an unknown activation.
    """
    if activation == "maxout":
        return moments("linear", variance, 2 * window, bias)
    deviation = math.sqrt(min(max(variance, SMALLEST), LARGEST))
    nodes, weights = _quadrature(-bias / deviation)
    values, slopes = ACTIVATIONS[activation](bias + deviation * nodes)
    if window > 1:
        # Ordered by phi, not by z: gelu and silu are not monotone.
        order = np.argsort(values, kind="stable")
        values, slopes, weights = values[order], slopes[order], _largest_of(window, weights[order])
    return Moments(float(weights @ values), float(weights @ values**2), float(weights @ slopes**2))


def limit_gain(activation: str, scaled_variance: float, bias_variance: float = 0.0, bias: float = 0.0) -> float:
    """Gradient gain of a layer deep inside a network of constant width: sqrt(sigma_w^2 E[phi'(z)^2]) at the fixed point
    of Var(z), sqrt(chi_1) of Schoenholz et al. 2017. The iteration starts from inputs of RMS 1.

    `scaled_variance` is sigma_w^2 = fan_in Var(w), `bias_variance` is Var(b).
    """
    second, gain = 1.0, math.inf
    for _ in range(MOST_ITERATIONS):
        passed = moments(activation, scaled_variance * second + bias_variance, bias=bias)
        before, gain = gain, math.sqrt(scaled_variance * passed.derivative)
        if abs(gain - before) <= SETTLED * gain:
            break
        second = passed.second
    return gain


def depth_budget(gain: float) -> float | None:
    """Layers after which a gradient has shrunk to `LOST`, ln(LOST) / ln(gain); None if it does not shrink."""
    if gain > 1 - SETTLED:
        return None
    return math.log(LOST) / math.log(gain) if gain > 0 else 0.0


def weight_variance(
    kind: str, fan_in: float, fan_out: float, *, gain: float | None = None, std: float = 0.05, bound: float = 0.05
) -> float:
    """Var(w) of one weight under an init, as `models.definitions.initial` defines them; `gain=None`: sqrt(2) for `he`,
    1 for the others. Raises KeyError for an unknown kind.

    `fan_out` counts both pieces of maxout. The biases of `default` have the same variance as its weights.
    """
    squared = (2.0 if kind == "he" else 1.0) if gain is None else gain * gain
    return {
        "default": 1 / (3 * fan_in),  # uniform within 1 / sqrt(fan_in): He et al. 2015 with a = sqrt(5)
        "he": squared / fan_in,
        "lecun": squared / fan_in,
        "xavier": 2 * squared / (fan_in + fan_out),  # Glorot and Bengio 2010, eq. 12
        "orthogonal": squared / max(fan_in, fan_out),  # the shorter side has unit vectors as long as the longer one
        "normal": std * std,
        "uniform": bound * bound / 3,
        "constant": 0.0,
        "zeros": 0.0,
    }[kind]


def _quadrature(centre: float) -> tuple[Floats, Floats]:
    """Nodes and weights [NODES] for expectations over x ~ N(0, 1): the midpoint rule in t of x = centre + CORE sinh(t).

    The centre is where z = 0: there slopes jump, so it lies between two nodes, and there the slope of a saturated tanh
    is a peak that even spacing would miss, 1e-4 deviations wide at q = 1e8.
    """
    offsets, spacings = _offsets()
    nodes = min(max(centre, -REACH), REACH) + offsets
    weights = spacings * np.exp(-(nodes**2) / 2)
    return nodes, weights / weights.sum()


@cache
def _offsets() -> tuple[Floats, Floats]:
    """CORE sinh(t) at evenly spaced t, and what is proportional to its derivative; both [NODES]."""
    t = math.asinh(2 * REACH / CORE) * ((2 * np.arange(NODES) + 1) / NODES - 1)
    return CORE * np.sinh(t), np.cosh(t)


def _largest_of(window: int, weights: Floats) -> Floats:
    """Chances of ascending values to be the largest of independent draws, from those of a single draw."""
    # The running sum may end at 1 + 1e-16.
    return np.diff(np.minimum(np.cumsum(weights), 1.0) ** window, prepend=0.0)


def _sigmoid(z: Floats) -> tuple[Floats, Floats]:
    e = np.exp(-np.abs(z))
    return np.where(z > 0, 1.0, e) / (1 + e), e / (1 + e) ** 2


def _tanh(z: Floats) -> tuple[Floats, Floats]:
    return np.tanh(z), 4 * _sigmoid(2 * z)[1]


def _leaky_relu(z: Floats, slope: float = 0.01) -> tuple[Floats, Floats]:
    slopes = np.where(z > 0, 1.0, slope)
    return slopes * z, slopes


def _elu(z: Floats, scale: float = 1.0, alpha: float = 1.0) -> tuple[Floats, Floats]:
    below = np.minimum(z, 0)
    return scale * np.where(z > 0, z, alpha * np.expm1(below)), scale * np.where(z > 0, 1.0, alpha * np.exp(below))


def _gelu(z: Floats) -> tuple[Floats, Floats]:
    """z P(x < z) for x ~ N(0, 1) (Hendrycks and Gimpel 2016)."""
    below = np.array([math.erf(x) for x in (z * math.sqrt(0.5)).tolist()]) / 2 + 0.5
    return z * below, below + z * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _silu(z: Floats) -> tuple[Floats, Floats]:
    gate, slope = _sigmoid(z)
    return z * gate, gate + z * slope


ACTIVATIONS: dict[str, Callable[[Floats], tuple[Floats, Floats]]] = {
    "linear": lambda z: (z, np.ones_like(z)),
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "relu": lambda z: _leaky_relu(z, 0.0),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": lambda z: _elu(z, SELU_SCALE, SELU_ALPHA),
    "gelu": _gelu,
    "silu": _silu,
}
"""phi(z) and phi'(z) of z [nodes]. Maxout is the largest of a window of two."""
