"""Rows of series: put in the order of their groups and times, and cut into sequences."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.columns import Columns
from models.definitions.uploaded import Window
from models.ingest.array_file import ArrayFile
from models.ingest.refusal import refused

CHUNK_ROWS = 2**14


def cut_series(folder: Path, columns: Columns, window: Window) -> int:
    """Sorts `table.npy`, writes `starts.npy`, and gives how many sequences there are."""
    table = np.load(folder / "table.npy", mmap_mode="r")
    rows = len(table)
    groups = np.zeros(rows, np.float32)
    if columns.group is not None:
        groups = np.array(table[:, columns[columns.group].place])
        if np.isnan(groups).any():
            detail = f"Some rows have no value in {columns.group!r}, by which they are grouped."
            raise refused("missing_group", detail, "Leave out those rows.", "/group")
    times_path = folder / "times.npy"
    times = np.load(times_path) if times_path.exists() else np.arange(rows, dtype=np.float64)
    order = np.lexsort((times, groups))
    if (np.diff(order) < 0).any():
        _reorder(folder, table, order)
        if times_path.exists():
            np.save(times_path, times[order])
    starts = starts_of(groups[order], window)
    if not len(starts):
        needed = window.length + window.horizon
        detail = f"No group has {needed} rows, for a sequence of {window.length} and its target {window.horizon} on."
        raise refused("short_series", detail, "Use a smaller `length` or `horizon`.", "/length")
    np.save(folder / "starts.npy", starts)
    return len(starts)


def _reorder(folder: Path, table: NDArray[np.float32], order: NDArray[np.int64]) -> None:
    with ArrayFile(folder / "sorted.npy", table.shape[1:], np.float32) as file:
        for start in range(0, len(order), CHUNK_ROWS):
            file.append(table[order[start : start + CHUNK_ROWS]])
    (folder / "sorted.npy").replace(folder / "table.npy")


def starts_of(groups: NDArray[np.float32], window: Window) -> NDArray[np.int64]:
    """Where sequences begin, for rows that lie group by group."""
    edges = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1], True])
    room = window.length + window.horizon - 1
    parts = [np.arange(first, end - room, window.stride) for first, end in pairwise(edges)]
    return np.concatenate(parts).astype(np.int64)
