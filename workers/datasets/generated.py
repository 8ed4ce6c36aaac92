"""The generated data sets, in numpy alone: parameters in, arrays out, the same ones for the same parameters.

What each set means is said in `models/catalogue.py`, beside its parameters and their ranges.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.catalogue import (
    AddingParameters,
    BlobsParameters,
    CirclesParameters,
    CopyMemoryParameters,
    SineParameters,
    SpiralsParameters,
    XorParameters,
)

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]
Tokens = NDArray[np.int64]

CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
SYMBOLS, BLANK, CUE = 8, 8, 9
FREQUENCIES = (0.2, 0.6)
"""Of the sine waves, in radians a time step: a period takes 10 to 31 steps."""


def xor(parameters: XorParameters) -> tuple[Floats, Classes]:
    rng = np.random.default_rng(parameters.seed)
    corners = CORNERS[balanced(rng, parameters.rows, 4)]
    return blurred(rng, corners, parameters.noise), corners[:, 0] ^ corners[:, 1]


def circles(parameters: CirclesParameters) -> tuple[Floats, Classes]:
    rng = np.random.default_rng(parameters.seed)
    rings = balanced(rng, parameters.rows, 2)
    radii = np.where(rings == 0, 1.0, parameters.factor)
    turns = rng.random(parameters.rows)
    return blurred(rng, polar(radii, turns), parameters.noise), rings


def blobs(parameters: BlobsParameters) -> tuple[Floats, Classes]:
    rng = np.random.default_rng(parameters.seed)
    centres = rng.uniform(-10, 10, (parameters.classes, parameters.features))
    clouds = balanced(rng, parameters.rows, parameters.classes)
    return blurred(rng, centres[clouds], parameters.noise), clouds


def spirals(parameters: SpiralsParameters) -> tuple[Floats, Classes]:
    rng = np.random.default_rng(parameters.seed)
    arms = balanced(rng, parameters.rows, parameters.arms)
    radii = np.sqrt(rng.random(parameters.rows))  # the root spreads the rows evenly along an arm, few in the middle
    turns = parameters.turns * radii + arms / parameters.arms
    return blurred(rng, polar(radii, turns), parameters.noise), arms


def sine(parameters: SineParameters) -> tuple[Floats, Floats]:
    """The inputs are noisy; the targets are the wave itself, so that no part of the loss is noise of the target."""
    rng = np.random.default_rng(parameters.seed)
    phases = rng.uniform(0, 2 * np.pi, (parameters.rows, 1))
    frequencies = rng.uniform(*FREQUENCIES, (parameters.rows, 1))
    waves = np.sin(phases + frequencies * np.arange(parameters.length + 1))[..., None]
    following = waves[:, 1:] if parameters.each else waves[:, -1]
    return blurred(rng, waves[:, :-1], parameters.noise), following.astype(np.float32)


def adding(parameters: AddingParameters) -> tuple[Floats, Floats]:
    """Feature 0 is a value in [0, 1), feature 1 is 1 at one place of each half of the sequence, else 0."""
    rng = np.random.default_rng(parameters.seed)
    rows, length, half = parameters.rows, parameters.length, parameters.length // 2
    values = rng.random((rows, length), dtype=np.float32)
    marks = np.zeros_like(values)
    marks[np.arange(rows), rng.integers(0, half, rows)] = 1
    marks[np.arange(rows), rng.integers(half, length, rows)] = 1
    return np.stack([values, marks], axis=2), (values * marks).sum(axis=1, keepdims=True)


def copy_memory(parameters: CopyMemoryParameters) -> tuple[Tokens, Classes]:
    """Tokens 0 to 7 are the symbols, 8 is the blank and 9 the cue."""
    rng = np.random.default_rng(parameters.seed)
    symbols = balanced(rng, parameters.rows, SYMBOLS)
    tokens = np.full((parameters.rows, parameters.length + 2), BLANK)
    tokens[:, 0], tokens[:, -1] = symbols, CUE
    return tokens, symbols


def balanced(rng: np.random.Generator, rows: int, classes: int) -> Classes:
    """A class for each row, in random order; no class has two rows more than another."""
    return rng.permutation(np.arange(rows) % classes)


def polar(radii: NDArray[np.float64], turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points [rows, 2] at these radii and these shares of a full turn."""
    angles = 2 * np.pi * turns
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def blurred(rng: np.random.Generator, values: NDArray[Any], noise: float) -> Floats:
    """The values with Gaussian noise of this standard deviation, as float32."""
    return values.astype(np.float32) + np.float32(noise) * rng.standard_normal(values.shape, dtype=np.float32)


GENERATORS: dict[str, Callable[[Any], tuple[NDArray[Any], NDArray[Any]]]] = {
    "xor": xor,
    "circles": circles,
    "blobs": blobs,
    "spirals": spirals,
    "sine": sine,
    "adding": adding,
    "copy_memory": copy_memory,
}
