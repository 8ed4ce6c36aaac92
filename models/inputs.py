"""Rows of a request as the tensors that `model.onnx` takes.

A row is a nested list in the data's own units, of the shape of the data; of a table, or of series, an object by column
name may stand for the innermost list. Tokens are whole numbers; of texts also words. What is plain is read at once, and
each value is looked at only where something is wrong, to say where.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.catalogue import DataShape
from models.columns import LARGEST, Column, Columns, word_of
from models.errors import InvalidDefinition, Problem
from models.json_body import MOST_PROBLEMS
from models.words import Words

MOST_ROWS = 10_000
INPUT = "input"
OUTPUTS = {"classification": "probabilities", "regression": "values"}
"""The name of the output, by task."""
MISSING = ""
"""Of a category; a missing number is NaN."""
TIME = {"sequence": 0, "tokens": 0, "signal": 1}
"""Which number of a row's shape is its length, by the kind of data."""
Feeds = dict[str, NDArray[Any]]


def input_name(column: str) -> str:
    """Of a column's own input."""
    return f"column {column}" if column in OUTPUTS.values() else column


def has_categories(columns: Columns) -> bool:
    """Among the features."""
    return any(column.kind == "category" for column in columns.inputs)


@dataclass(frozen=True)
class Inputs:
    """What a model takes."""

    shape: DataShape
    columns: Columns | None = None
    free_length: bool = False
    """Whether a row may be longer or shorter than those of the data."""
    words: Words | None = None
    """Of texts: then a row may be a text, or a list of words."""

    @property
    def has_categories(self) -> bool:
        """Then there is an input for each column, else one for all."""
        return self.columns is not None and has_categories(self.columns)

    def read(self, rows: Any, has_booleans: bool = True) -> list[tuple[list[int], Feeds]]:
        """Tensors for rows of equal length, and which rows they are. `has_booleans`: false where it is known that the
        body has none, for NumPy takes them for numbers.

        Raises:
            InvalidDefinition: with pointers into `/inputs`.
        """
        if not isinstance(rows, list):
            raise InvalidDefinition.at(
                "/inputs", "not_a_list", "`inputs` is a list of rows.", "Write [ ... ], also for one row."
            )
        if not 0 < len(rows) <= MOST_ROWS:
            detail = f"`inputs` has {len(rows):,} rows; from 1 to {MOST_ROWS:,} go at once."
            code, hint = ("too_many_rows", "Send a file of them.") if rows else ("no_rows", "Send at least one row.")
            raise InvalidDefinition.at("/inputs", code, detail, hint)
        if self.words is not None:
            rows = [self._tokens(self.words, row) for row in rows]
        return [(places, self._feeds(rows, places, has_booleans)) for places in self._by_length(rows)]

    def _tokens(self, words: Words, row: Any) -> Any:
        """A text as the data's own, behind padding; in a list each word as its token."""
        if isinstance(row, str):
            return words.encode([row], self.shape.input_shape[0])[0].tolist()
        if isinstance(row, list):
            return [words.token(item) if isinstance(item, str) else item for item in row]
        return row

    def _by_length(self, rows: list[Any]) -> list[list[int]]:
        if not self.free_length or TIME[self.shape.kind] != 0:
            return [list(range(len(rows)))]
        places: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            if not isinstance(row, list) or not row:
                hint = "Write a list of time steps, at least one."
                raise InvalidDefinition.at(f"/inputs/{place}", "not_a_sequence", "This row is no sequence.", hint)
            places.setdefault(len(row), []).append(place)
        return list(places.values())

    def _feeds(self, rows: list[Any], places: list[int], has_booleans: bool) -> Feeds:
        chosen = rows if len(places) == len(rows) else [rows[place] for place in places]
        if self.columns is not None and _is_by_name(chosen[0], self.shape):
            return self._by_name(self.columns, chosen, places)
        if self.has_categories:
            assert self.columns is not None
            return self._by_name(self.columns, _named(self.columns, chosen, places, self.shape), places)
        return {INPUT: self._array(chosen, places, has_booleans)}

    # Objects by column name

    def _by_name(self, columns: Columns, rows: list[Any], places: list[int]) -> Feeds:
        """[rows, 1] of each column, or [rows, time, 1]; one tensor of all columns where all are numbers."""
        is_series = self.shape.kind == "sequence"
        steps = [step for row in rows for step in row] if is_series else rows
        found = _columns(columns, steps)
        if found is None or (is_series and len({len(row) for row in rows}) != 1):
            raise InvalidDefinition(list(self._problems_by_name(columns, rows, places))[:MOST_PROBLEMS])
        lead = (len(rows), len(rows[0]), 1) if is_series else (len(rows), 1)
        feeds = {name: values.reshape(lead) for name, values in found.items()}
        if self.has_categories:
            return {input_name(name): values for name, values in feeds.items()}
        return {INPUT: np.concatenate(list(feeds.values()), axis=-1)}

    def _problems_by_name(self, columns: Columns, rows: list[Any], places: list[int]) -> Iterator[Problem]:
        for place, row in zip(places, rows, strict=True):
            pointer = f"/inputs/{place}"
            if self.shape.kind != "sequence":
                yield from _encoding_problems(columns, [row], pointer)
            elif not isinstance(row, list):
                yield Problem(pointer, "not_a_sequence", "This row is no sequence.", "Write a list of time steps.")
            elif not self.free_length and len(row) != self.shape.input_shape[0]:
                yield _wrong_length(pointer, len(row), self.shape.input_shape[0])
            else:
                for step, value in enumerate(row):
                    yield from _encoding_problems(columns, [value], f"{pointer}/{step}")

    # Nested lists

    def _array(self, rows: list[Any], places: list[int], has_booleans: bool) -> NDArray[Any]:
        sizes = self._sizes(rows)
        value = None if has_booleans else _plain_array(rows)
        if value is None or value.shape[1:] != sizes or not self._fits(value):
            problems = list(self._problems(rows, places, sizes))
            if problems:
                raise InvalidDefinition(problems[:MOST_PROBLEMS])
            value = np.array(_nan_for_null(rows), np.float64)
        return value.astype(np.int64 if self.shape.kind == "tokens" else np.float32)

    def _sizes(self, rows: list[Any]) -> tuple[int, ...]:
        """Of a row; of free ones the length of the first."""
        sizes = list(self.shape.input_shape)
        if self.free_length and (length := _length(rows[0], TIME[self.shape.kind])):
            sizes[TIME[self.shape.kind]] = length
        return tuple(sizes)

    def _fits(self, value: NDArray[Any]) -> bool:
        if self.shape.kind == "tokens":
            return bool(value.dtype.kind in "iu" and value.min() >= 0 and value.max() < self.shape.vocabulary)
        return bool(np.abs(value).max() <= LARGEST)

    def _problems(self, rows: list[Any], places: list[int], sizes: tuple[int, ...]) -> Iterator[Problem]:
        is_token = self.shape.kind == "tokens"
        check = self._token_problem if is_token else self._number_problem
        for place, row in zip(places, rows, strict=True):
            yield from _nested_problems(row, sizes, f"/inputs/{place}", check)

    def _number_problem(self, value: Any, pointer: str) -> Problem | None:
        if value is None and self.columns is not None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return Problem(pointer, "not_a_number", "This is no number.", "Write a number, without quotes.")
        if not -LARGEST <= value <= LARGEST:
            return Problem(pointer, "number_too_large", "This is beyond what a float32 can hold.", "Use another unit.")
        return None

    def _token_problem(self, value: Any, pointer: str) -> Problem | None:
        most = self.shape.vocabulary
        if isinstance(value, bool) or not isinstance(value, int):
            return Problem(pointer, "not_a_token", "This is no token.", f"Write a whole number from 0 to {most - 1}.")
        if not 0 <= value < most:
            detail = f"The token {value} is not among the {most} of the data."
            return Problem(pointer, "unknown_token", detail, f"Write a whole number from 0 to {most - 1}.")
        return None


def _is_by_name(row: Any, shape: DataShape) -> bool:
    if shape.kind == "sequence":
        return isinstance(row, list) and bool(row) and isinstance(row[0], dict)
    return isinstance(row, dict)


def _named(columns: Columns, rows: list[Any], places: list[int], shape: DataShape) -> list[Any]:
    """Lists, in the order of the features, as objects."""
    names = columns.features

    def named(values: Any, pointer: str) -> Any:
        if not isinstance(values, list) or len(values) != len(names):
            detail = f"A row is an object by column name, or a list of {len(names)} values in the order of features."
            raise InvalidDefinition.at(
                pointer, "wrong_row", detail, f"The features are {', '.join(map(repr, names[:10]))}."
            )
        return dict(zip(names, values, strict=True))

    if shape.kind != "sequence":
        return [named(row, f"/inputs/{place}") for place, row in zip(places, rows, strict=True)]
    return [
        [named(step, f"/inputs/{place}/{index}") for index, step in enumerate(row if isinstance(row, list) else [None])]
        for place, row in zip(places, rows, strict=True)
    ]


def _columns(columns: Columns, rows: Sequence[Any]) -> Feeds | None:
    """The values of each column; None where anything is wrong with them."""
    found: Feeds = {}
    try:
        for column in columns.inputs:
            name = column.name
            values = READERS[column.kind](column, [row[name] for row in rows])
            if values is None:
                return None
            found[name] = values
    except (KeyError, TypeError, OverflowError):
        return None
    return found


def _numbers(column: Column, values: list[Any]) -> NDArray[np.float32] | None:
    allowed = {bool, type(None)} if column.kind == "boolean" else {int, float, type(None)}
    if not {*map(type, values)} <= allowed:
        return None
    array = np.array([math.nan if value is None else value for value in values], np.float64)
    return None if (np.abs(array) > LARGEST).any() else array.astype(np.float32)


def _words(column: Column, values: list[Any]) -> NDArray[np.object_] | None:
    words = [MISSING if value is None else word_of(value) for value in values]
    is_known = column.codes.keys() >= {word for word, value in zip(words, values, strict=True) if value is not None}
    if not is_known or (not column.missing and None in values):
        return None
    return np.array(words, np.object_)


READERS: dict[str, Callable[[Column, list[Any]], NDArray[Any] | None]] = {
    "number": _numbers,
    "boolean": _numbers,
    "category": _words,
}


def _encoding_problems(columns: Columns, rows: list[Any], pointer: str) -> Sequence[Problem]:
    """`columns.encode` names rows by their place in what it is given."""
    try:
        columns.encode(rows, pointer)
    except InvalidDefinition as error:
        return [Problem(_without_place(p.pointer, pointer), p.code, p.detail, p.hint) for p in error.problems]
    return ()


def _without_place(pointer: str, base: str) -> str:
    return base + pointer.removeprefix(f"{base}/0")


def _plain_array(rows: list[Any]) -> NDArray[Any] | None:
    try:
        value = np.array(rows)
    except ValueError:
        return None
    return value if value.dtype.kind in "iuf" else None


def _nan_for_null(value: Any) -> Any:
    if isinstance(value, list):
        return [_nan_for_null(item) for item in value]
    return math.nan if value is None else value


def _length(row: Any, depth: int) -> int:
    """Of a row's list at a depth, where there is one."""
    for _ in range(depth):
        row = row[0] if isinstance(row, list) and row else None
    return len(row) if isinstance(row, list) else 0


def _nested_problems(
    value: Any, sizes: tuple[int, ...], pointer: str, check: Callable[[Any, str], Problem | None]
) -> Iterator[Problem]:
    if not sizes:
        problem = check(value, pointer)
        if problem:
            yield problem
    elif not isinstance(value, list):
        detail = f"Here is a list of {sizes[0]} expected."
        yield Problem(pointer, "wrong_shape", detail, f"The shape from here on is {list(sizes)}.")
    elif len(value) != sizes[0]:
        yield _wrong_length(pointer, len(value), sizes[0])
    else:
        for index, item in enumerate(value):
            yield from _nested_problems(item, sizes[1:], f"{pointer}/{index}", check)


def _wrong_length(pointer: str, length: int, expected: int) -> Problem:
    detail = f"This list has {length} items instead of {expected}."
    return Problem(pointer, "wrong_shape", detail, "Rows have the shape of the data that were trained on.")
