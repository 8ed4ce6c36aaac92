"""An uploaded data set as arrays whose rows are made when they are asked for: it may be larger than the memory.

`Rows` has what is used of an array: `shape`, `dtype`, `size`, its length, and the rows of some indices.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.columns import Column, Columns
from models.definitions.uploaded import Uploaded, Window
from models.words import Words
from workers.datasets.arrays import Arrays, NotIngested
from workers.training.split import Order

Files = Mapping[str, Path]
"""Of stored arrays, by their sha256."""
NO_FILES: Files = {}
BLOCK_ROWS = 2**16


class Rows(ABC):
    """Something like an array [rows, ...], of which only some rows are ever in memory."""

    shape: tuple[int, ...]
    dtype: Any = np.dtype(np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @abstractmethod
    def __getitem__(self, rows: Any) -> NDArray[Any]: ...


class TableRows(Rows):
    """Features of a table. `source` says how the matrix stores the columns, `columns` how they are to be encoded."""

    def __init__(self, matrix: NDArray[np.float32], source: Columns, columns: Columns) -> None:
        self._matrix, self._source, self._columns = matrix, source, columns
        self.shape = (len(matrix), columns.width)

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        return self._columns.encode_stored(self._matrix[rows], self._source)


class Windows(Rows):
    """Sequences [rows, length, features] that begin at some rows of others."""

    def __init__(self, rows: Rows | NDArray[Any], starts: NDArray[np.int64], length: int) -> None:
        self._rows, self._starts, self._steps = rows, starts, np.arange(length)
        self.shape = (len(starts), length, rows.shape[1])

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        places = self._starts[rows][:, None] + self._steps
        found: NDArray[np.float32] = self._rows[places.ravel()]
        return found.reshape(*places.shape, -1)


class LastSteps(Rows):
    """The last time step of sequences."""

    def __init__(self, sequences: Rows | NDArray[Any]) -> None:
        self._sequences = sequences
        self.shape = (len(sequences), *sequences.shape[2:])
        self.dtype = sequences.dtype

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        last: NDArray[Any] = self._sequences[rows][:, -1]
        return last


class Renumbered(Rows):
    """Tokens by the numbers that the words of another data set have."""

    def __init__(self, tokens: NDArray[Any], numbers: NDArray[np.int64]) -> None:
        self._tokens, self._numbers = tokens, numbers
        self.shape, self.dtype = tokens.shape, tokens.dtype

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        renumbered: NDArray[Any] = self._numbers[self._tokens[rows]].astype(self.dtype)
        return renumbered


class Opened:
    """The arrays of one uploaded data set, mapped; `like` is the one that is trained on, if that is another."""

    def __init__(self, known: Uploaded, files: Files, like: Uploaded | None = None) -> None:
        self._known, self._like, self._files = known, like or known, files

    def _array(self, name: str) -> NDArray[Any]:
        return np.asarray(np.load(self._path(self._known, name), mmap_mode="r", allow_pickle=False))

    def _path(self, known: Uploaded, name: str) -> Path:
        array = known.arrays.get(name)
        path = self._files.get(array.sha256) if array else None
        if path is None or not path.exists():
            raise NotIngested(f"The array {name} of the data set is missing.")
        return path

    def arrays(self) -> Arrays:
        """All rows, in their own units."""
        if self._known.columns is None or self._like.columns is None:
            return Arrays(self._tokens(self._array("x")), self._targets(self._array("y")), self._order())
        matrix = self._array("table")
        x: Any = features_of(matrix, self._known.columns, self._like.columns)
        y = self._target_column(matrix)
        window = self._known.window
        if window is not None:
            x = Windows(x, self._starts, window.length)
            y = y[self._ends(window)]
        return Arrays(x, y, self._order())

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return self._array("starts")

    def _ends(self, window: Window) -> NDArray[np.int64]:
        """The rows of the sequences' targets."""
        return self._starts + window.length + window.horizon - 1

    def _tokens(self, x: NDArray[Any]) -> Rows | NDArray[Any]:
        """With the words of texts numbered as in what is trained on."""
        known, like = (each.arrays.get("words") for each in (self._known, self._like))
        if known is None or like is None or known.sha256 == like.sha256:
            return x
        own, wanted = (Words.load(self._path(each, "words")) for each in (self._known, self._like))
        return Renumbered(x, own.numbers_in(wanted))

    def _targets(self, y: NDArray[Any]) -> NDArray[Any]:
        """With the classes numbered as in what is trained on."""
        if self._known.task != "classification" or self._known.classes == self._like.classes:
            return y
        codes = {name: code for code, name in enumerate(self._like.classes)}
        places = np.array([codes[name] for name in self._known.classes])
        renumbered: NDArray[Any] = places[y]
        return renumbered

    def _target_column(self, matrix: NDArray[np.float32]) -> NDArray[Any]:
        source, columns = self._known.columns, self._like.columns
        assert source is not None
        assert columns is not None
        target, wanted = source[source.target or ""], columns[columns.target or ""]
        if self._known.task == "regression":
            return column_of(matrix, target)[:, None]
        return target.codes_in(wanted, column_of(matrix, target))

    def _order(self) -> Order:
        """What a split may go by, for each row; of a sequence that of its target."""
        known = self._known
        times = self._array("times") if "times" in known.arrays else None
        groups = None
        if known.columns is not None and known.columns.group is not None:
            groups = column_of(self._array("table"), known.columns[known.columns.group])
        if known.window is None:
            return Order(times, groups)
        ends = self._ends(known.window)
        return Order(None if times is None else times[ends], None if groups is None else groups[ends], "time")


def features_of(matrix: NDArray[np.float32], source: Columns, columns: Columns) -> Rows | NDArray[np.float32]:
    """The stored matrix itself, where that is what a network is given."""
    places = [source[name].place for name in columns.features]
    is_whole = places == list(range(matrix.shape[1]))
    return matrix if is_whole and columns.is_plain and source.is_plain else TableRows(matrix, source, columns)


def column_of(matrix: NDArray[np.float32], column: Column) -> NDArray[np.float32]:
    """One column, in memory; the matrix is read some rows at a time."""
    values = np.empty(len(matrix), np.float32)
    for start in range(0, len(matrix), BLOCK_ROWS):
        values[start : start + BLOCK_ROWS] = matrix[start : start + BLOCK_ROWS, column.place]
    return values
