"""Which rows are trained on, which are kept for validation, and whose target each gets, by `data.seed` alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.definitions.data import Data
from models.definitions.uploaded import Task

Indices = NDArray[np.int64]


def split(data: Data, y: NDArray[Any], task: Task) -> tuple[Indices, Indices]:
    """Indices of the training and of the validation rows, each ascending. `data.seed` alone decides which.

    All rows are put in one random order; the first of each class are kept for validation, as many as `apportion` says.
    A regression counts as one class. With `validation: null` the second part is empty.
    """
    rows = len(y)
    if data.validation is None:
        return np.arange(rows), np.arange(0)
    return parted(np.random.default_rng(data.seed), labels_of(y, task), data.validation_rows(rows))


def cut(data: Data, training: Indices, y: NDArray[Any], task: Task) -> Indices:
    """At most `data.rows` of the training rows, ascending. Which are left out is chosen as `split` chooses."""
    if data.rows is None or data.rows >= len(training):
        return training
    rng = np.random.default_rng([data.seed, 1])
    kept, _ = parted(rng, labels_of(y[training], task), len(training) - data.rows)
    return training[kept]


def mislabelled(data: Data, training: Indices) -> Indices:
    """For each training row the row whose target it gets: its own, or that of a random training row."""
    rng = np.random.default_rng([data.seed, 2])
    wrong = rng.permutation(len(training))[: round(data.label_noise * len(training))]
    source = training.copy()
    source[wrong] = training[rng.integers(0, len(training), len(wrong))]
    return source


def labels_of(y: NDArray[Any], task: Task) -> NDArray[Any]:
    """The class of each row; a regression, and rows with a target for each time step, count as one class."""
    return y if task == "classification" and y.ndim == 1 else np.zeros(len(y))


def parted(rng: np.random.Generator, labels: NDArray[Any], taken: int) -> tuple[Indices, Indices]:
    """The rows that are left and those taken, each ascending: `taken` in all, of each class as `apportion` says."""
    rows = len(labels)
    order = rng.permutation(rows)
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    seats = apportion(counts, taken)
    by_class = order[np.argsort(classes[order], kind="stable")]
    place = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)  # of each row within its class
    kept = place < np.repeat(seats, counts)
    return np.sort(by_class[~kept]), np.sort(by_class[kept])


def apportion(counts: Indices, total: int) -> Indices:
    """How many rows of each class are taken from training: in proportion, by largest remainder, `total` together.

    Where `total` allows, a class of two rows or more is on both sides, and one of a single row stays in training.
    """
    shares = counts * total / counts.sum()
    least, most = np.minimum(counts - 1, 1), counts - 1
    least = least if least.sum() <= total else np.zeros_like(counts)
    most = most if most.sum() >= total else counts
    seats: Indices = np.clip(np.floor(shares).astype(np.int64), least, most)
    while missing := total - seats.sum():
        step = np.sign(missing)
        movable = seats < most if step > 0 else seats > least
        seats[np.argmax(np.where(movable, step * (shares - seats), -np.inf))] += step
    return seats
