"""Which rows are trained on, which are kept for validation, and whose target each gets, by `data.seed` alone."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.definitions.data import Data
from models.definitions.uploaded import Task

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Order:
    """What else a split may go by."""

    times: NDArray[Any] | None = None
    """Of each row."""
    groups: NDArray[Any] | None = None
    """The code of each row's group."""
    usual: Literal["stratified", "time"] = "stratified"
    """What `auto` is. Of a regression `stratified` is random: it has one class."""


UNORDERED = Order()


def split(data: Data, y: NDArray[Any], task: Task, order: Order = UNORDERED) -> tuple[Indices, Indices]:
    """Indices of the training and of the validation rows, each ascending. `data.seed` alone decides which.

    By default all rows are put in one random order; the first of each class are kept for validation, as many as
    `apportion` says. A regression counts as one class. Without a share to be held out the second part is empty.
    """
    rows = len(y)
    taken = data.held_out_rows(rows)
    if not taken:
        return np.arange(rows), np.arange(0)
    how = data.split if data.split != "auto" else order.usual
    if how == "time":
        return latest(order.times, rows, taken)
    rng = np.random.default_rng(data.seed)
    if how == "group" and order.groups is not None:
        return whole_groups(rng, order.groups, taken)
    return parted(rng, np.zeros(rows) if how == "random" else labels_of(y, task), taken)


def latest(times: NDArray[Any] | None, rows: int, taken: int) -> tuple[Indices, Indices]:
    """The last rows are taken: by their times, those of equal time as they lie; without times as they lie."""
    by_time = np.arange(rows) if times is None else np.argsort(times, kind="stable")
    return np.sort(by_time[: rows - taken]), np.sort(by_time[rows - taken :])


def whole_groups(rng: np.random.Generator, groups: NDArray[Any], taken: int) -> tuple[Indices, Indices]:
    """Groups in random order are taken as long as that brings their rows nearer to `taken`; at least one, never all."""
    _, group_of, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(counts))
    sizes = np.cumsum(counts[order])
    chosen = order[: min(int(np.argmin(abs(sizes - taken))) + 1, max(len(counts) - 1, 1))]
    is_taken = np.isin(group_of, chosen)
    return np.flatnonzero(~is_taken), np.flatnonzero(is_taken)


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
