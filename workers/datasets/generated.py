"""The generated data sets, in numpy alone: parameters in, arrays out, the same ones for the same parameters.

What each set means is said in `models/catalogue.py`, beside its parameters and their ranges.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.catalogue import (
    MOTIFS,
    TONES,
    WAVES,
    AddingParameters,
    BlobsParameters,
    CirclesParameters,
    CopyMemoryParameters,
    LookaheadParameters,
    PatternsParameters,
    SignalsParameters,
    SineParameters,
    SpectrogramsParameters,
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
DRAWINGS = {
    "square": "...... .XXXX. .X..X. .X..X. .XXXX. ......",
    "cross": "X....X .X..X. ..XX.. ..XX.. .X..X. X....X",
    "disc": "...... ..XX.. .XXXX. .XXXX. ..XX.. ......",
    "stripes": "...... .XXXX. ...... .XXXX. ...... .XXXX.",
}
"""Of the patterns, line by line."""


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
    if parameters.majority:
        rest = (1 - parameters.majority) / (parameters.classes - 1)
        shares = [parameters.majority, *[rest] * (parameters.classes - 1)]
        clouds = rng.permutation(
            np.searchsorted(np.cumsum(shares), (np.arange(parameters.rows) + 0.5) / parameters.rows)
        )
    else:
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


def lookahead(parameters: LookaheadParameters) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(parameters.seed)
    values = rng.standard_normal((parameters.rows, parameters.length, 1), dtype=np.float32)
    targets = np.zeros_like(values)
    targets[:, : -parameters.lag] = values[:, parameters.lag :]
    return values, targets


def patterns(parameters: PatternsParameters) -> tuple[Floats, Classes]:
    """In each channel the motif is brighter or darker than the ground, which is 0, by 0.5 to 1.5, drawn for each row.

    All motifs cover the same area, so that neither colour nor brightness tells the class.
    """
    rng = np.random.default_rng(parameters.seed)
    rows, channels, size = parameters.rows, parameters.channels, parameters.size
    classes = balanced(rng, rows, len(MOTIFS))
    motifs = np.stack([bitmap(DRAWINGS[name], max(size // 12, 1)) for name in MOTIFS])
    side = motifs.shape[1]
    room = size - side
    corners = rng.integers(0, room + 1, (rows, 2)) if parameters.shift else np.full((rows, 2), room // 2)
    colours = (rng.uniform(0.5, 1.5, (rows, channels)) * rng.choice([-1, 1], (rows, channels))).astype(np.float32)
    images = np.zeros((rows, channels, size, size), np.float32)
    y, x = np.moveaxis(corners[..., None] + np.arange(side), 1, 0)  # of the motif's pixels, [rows, side] each
    drawn = motifs[classes][..., None] * colours[:, None, None]  # [rows, side, side, channels]
    images[np.arange(rows)[:, None, None], :, y[:, :, None], x[:, None]] = drawn
    return blurred(rng, images, parameters.noise), classes


def bitmap(drawing: str, scale: int) -> Floats:
    """[side, side]: 1 where the drawing has an X, else 0; each of its signs becomes `scale` by `scale` pixels."""
    pixels = np.array([[sign == "X" for sign in line] for line in drawing.split()], np.float32)
    return np.kron(pixels, np.ones((scale, scale), np.float32))


def spectrograms(parameters: SpectrogramsParameters) -> tuple[Floats, Classes]:
    """A tone is a ridge of power around a random band, and repeats itself two to four times from a random phase.

    The phase makes the mean picture of a rising tone that of a falling one: no linear map tells them apart.
    """
    rng = np.random.default_rng(parameters.seed)
    rows, bands, length = parameters.rows, parameters.bands, parameters.length
    classes = balanced(rng, rows, len(TONES))
    repeats = rng.uniform(2, 4, (rows, 1)) * np.arange(length) / length + rng.random((rows, 1))
    place = repeats % 1  # within the tone, from 0 to 1
    sweep = 0.4 * bands * np.array([1, -1, 0, 0])[classes][:, None]
    pitch = rng.uniform(0.25, 0.75, (rows, 1)) * bands + sweep * (place - 0.5)
    on = (classes[:, None] != TONES.index("pulsing")) | (place < 0.5)
    distance = (np.arange(bands, dtype=np.float32)[:, None] - pitch[:, None].astype(np.float32)) * 16 / bands
    power = np.exp(-(distance**2)) * on[:, None]
    return blurred(rng, power[:, None], parameters.noise), classes


def signals(parameters: SignalsParameters) -> tuple[Floats, Classes]:
    """Each channel has a phase of its own; a wave has three to eight periods."""
    rng = np.random.default_rng(parameters.seed)
    rows = parameters.rows
    classes = balanced(rng, rows, len(WAVES))
    phases = rng.random((rows, parameters.channels, 1))
    turns = rng.uniform(3, 8, (rows, 1, 1)) * np.arange(parameters.length) / parameters.length + phases
    saw = 2 * (turns % 1) - 1
    forms = [np.sin(2 * np.pi * turns), np.sign(np.sin(2 * np.pi * turns)), saw, 2 * abs(saw) - 1]
    waves = np.choose(classes[:, None, None], forms)
    return blurred(rng, waves / np.sqrt((waves**2).mean(axis=(1, 2), keepdims=True)), parameters.noise), classes


def balanced(rng: np.random.Generator, rows: int, classes: int) -> Classes:
    """A class for each row, in random order; no class has two rows more than another."""
    return rng.permutation(np.arange(rows) % classes)


def polar(radii: NDArray[np.float64], turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points [rows, 2] at these radii and these shares of a full turn."""
    angles = 2 * np.pi * turns
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def blurred(rng: np.random.Generator, values: NDArray[Any], noise: float) -> Floats:
    """The values with Gaussian noise of this standard deviation, as float32."""
    noisy = rng.standard_normal(values.shape, dtype=np.float32)
    noisy *= np.float32(noise)  # in place, for images may fill the memory
    noisy += values.astype(np.float32, copy=False)
    return noisy


GENERATORS: dict[str, Callable[[Any], tuple[NDArray[Any], NDArray[Any]]]] = {
    "xor": xor,
    "circles": circles,
    "blobs": blobs,
    "spirals": spirals,
    "sine": sine,
    "adding": adding,
    "copy_memory": copy_memory,
    "lookahead": lookahead,
    "patterns": patterns,
    "spectrograms": spectrograms,
    "signals": signals,
}
