"""The columns of a table, and how raw rows become the float32 features of a network.

A `Columns` is stored with its data set, and a copy with each job that trains on it: it holds all that is needed to
encode a row later, in another process or another language.

    columns.encode([{"age": 41, "colour": "red"}])   # float32 [1, width]
    columns.outputs                                   # ("age", "colour=blue", "colour=red")

The rule, column by column in the order of `features`:
- `number`: its value; where it is missing, the median of the column.
- `boolean`: 0 or 1; where it is missing, the median.
- `category`: one output for each category, 1 at its own and 0 elsewhere; if values were missing in the data, one more
  output, the last, is 1 where it is missing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.definitions.base import Several, Strict
from models.errors import InvalidDefinition, Problem
from models.json_body import MOST_PROBLEMS, escape

Floats = NDArray[np.float32]
Kind = Literal["number", "boolean", "category", "time", "text"]
ENCODED = ("number", "boolean", "category")
"""The kinds that can be features. A `time` orders rows, a `text` is kept out of a table."""
LARGEST = float(np.finfo(np.float32).max)
MOST_NAMED = 10
"""Categories that a message names."""


class Column(Strict):
    """One column of a table."""

    name: str
    """As in the file's header."""
    kind: Kind
    """What its values are."""
    categories: Several[str] = ()
    """In the order of their codes; of a boolean `false` and `true`. A number of few whole values has them too, in
    ascending order: it may be taken for a category."""
    distinct: Annotated[int, Field(ge=0)] = 0
    """Different values of categories or groups, as far as they were counted."""
    missing: Annotated[int, Field(ge=0)] = 0
    """Rows of the data set that have no value."""
    fill: float | None = None
    """Of a number or boolean: the median, which is taken for what is missing."""
    place: Annotated[int, Field(ge=0)] = 0
    """Its column in the stored matrix."""
    stored: Literal["value", "code"] = "value"
    """What the matrix holds of it: the number itself, or the index of its category; NaN where it is missing."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what it becomes."""
        if self.kind != "category":
            return (self.name,)
        missing = (f"{self.name} is missing",) if self.missing else ()
        return (*(f"{self.name}={category}" for category in self.categories), *missing)

    @cached_property
    def codes(self) -> dict[str, int]:
        return {category: code for code, category in enumerate(self.categories)}

    def codes_of(self, values: Floats) -> NDArray[np.int64]:
        """The codes of stored values; -1 where the value is missing."""
        missing = np.isnan(values)
        filled = np.where(missing, 0, values)
        if self.stored == "code":
            codes = filled.astype(np.int64)
        else:
            codes = np.searchsorted(np.array(self.categories, np.float32), filled).astype(np.int64)
        return np.where(missing, -1, codes)

    def codes_in(self, other: "Column", values: Floats) -> NDArray[np.int64]:
        """The codes that the column of another data set has for stored values of this one; -1 where one is missing."""
        known = np.array([other.codes[category] for category in self.categories] + [-1], np.int64)
        return known[self.codes_of(values)]


class Columns(Strict):
    """The columns of a table and their parts in a training."""

    columns: Several[Column]
    """All of them; of a job those that it uses."""
    features: Several[str]
    """What a network is given, in this order."""
    target: str | None = None
    """What it is to give."""
    group: str | None = None
    """Rows with the same value belong together: one series, one patient."""
    time: str | None = None
    """Orders the rows (of each group)."""

    def __getitem__(self, name: str) -> Column:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    @cached_property
    def inputs(self) -> tuple[Column, ...]:
        """The columns of the features."""
        return tuple(self[name] for name in self.features)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the columns of the feature matrix."""
        return tuple(output for column in self.inputs for output in column.outputs)

    @property
    def width(self) -> int:
        """Columns of the feature matrix."""
        return len(self.outputs)

    @property
    def slices(self) -> dict[str, slice]:
        """Which columns of the feature matrix belong to which feature."""
        slices, start = {}, 0
        for column in self.inputs:
            slices[column.name] = slice(start, start + len(column.outputs))
            start = slices[column.name].stop
        return slices

    @property
    def is_plain(self) -> bool:
        """Whether the feature matrix is the stored one, column by column, with nothing to fill."""
        return all(c.kind != "category" and not c.missing for c in self.inputs)

    def encode(self, rows: Sequence[Any], base: str = "/inputs") -> Floats:
        """The features [rows, width] of raw rows, each an object by column name. What is no feature is not looked at.

        Raises:
            InvalidDefinition: a column is missing, has another type, or a category that the data did not have; `base`
                is where the rows are in what was sent.
        """
        problems: list[Problem] = []
        stored = np.full((len(rows), len(self.features)), np.nan, np.float32)
        for index, row in enumerate(rows):
            if not isinstance(row, Mapping):
                problems.append(_not_an_object(f"{base}/{index}", self.features))
            elif len(problems) < MOST_PROBLEMS:
                for place, column in enumerate(self.inputs):
                    found = self._value_of(column, row, f"{base}/{index}")
                    if isinstance(found, Problem):
                        problems.append(found)
                    else:
                        stored[index, place] = found
        if problems:
            raise InvalidDefinition(problems[:MOST_PROBLEMS])
        return self._encoded([(column, stored[:, place]) for place, column in enumerate(self.inputs)], self)

    def encode_stored(self, matrix: NDArray[Any], source: "Columns | None" = None) -> Floats:
        """The features [rows, width] of rows of the stored matrix, [rows, all columns]; of that of another data set,
        where `source` describes it."""
        source = source or self
        stored = [(column, matrix[:, source[column.name].place]) for column in self.inputs]
        return self._encoded(stored, source)

    def _encoded(self, values: Iterable[tuple[Column, Floats]], source: "Columns") -> Floats:
        """The rule, for the values of each feature as `source` says that they are stored."""
        encoded: list[Floats] = []
        for column, stored in values:
            if column.kind == "category":
                codes = source[column.name].codes_in(column, stored)
                places = np.arange(len(column.outputs))
                encoded.append(
                    (np.where(codes < 0, len(column.categories), codes)[:, None] == places).astype(np.float32)
                )
            else:
                fill = np.float32(np.nan if column.fill is None else column.fill)
                encoded.append(np.where(np.isnan(stored), fill, stored)[:, None].astype(np.float32))
        return np.concatenate(encoded, axis=1)

    def _value_of(self, column: Column, row: Mapping[str, Any], at: str) -> float | Problem:
        """A raw value as the matrix would store it; NaN where it is missing."""
        pointer = f"{at}/{escape(column.name)}"
        if column.name not in row:
            hint = "Write null where it is not known."
            return Problem(pointer, "missing_column", f"The column {column.name!r} is missing.", hint)
        value = row[column.name]
        if value is None:
            return _nothing(column, pointer)
        return READERS[column.kind](column, value, pointer)


def _nothing(column: Column, pointer: str) -> float | Problem:
    if column.kind == "category" and not column.missing:
        detail = f"No value of {column.name!r} was missing in the data, so that the model knows no such case."
        return Problem(pointer, "missing_value", detail, f"Give one of {listed(column.categories)}.")
    return math.nan


def _number(column: Column, value: Any, pointer: str) -> float | Problem:
    if isinstance(value, bool) or not isinstance(value, int | float):
        detail = f"The column {column.name!r} holds numbers, and this is {_kind_of(value)}."
        return Problem(pointer, "not_a_number", detail, "Write a number, without quotes, or null.")
    if not -LARGEST <= value <= LARGEST:
        detail = f"{value!r} is beyond what a float32 can hold."
        return Problem(pointer, "number_too_large", detail, "Use another unit.")
    return float(value)


def _boolean(column: Column, value: Any, pointer: str) -> float | Problem:
    if not isinstance(value, bool):
        detail = f"The column {column.name!r} holds true or false, and this is {_kind_of(value)}."
        return Problem(pointer, "not_a_boolean", detail, "Write true, false or null, without quotes.")
    return float(value)


def _choice(column: Column) -> str:
    """A hint."""
    if not column.categories:
        return "Write null: no row of the data has a value there."
    return f"Give one of {listed(column.categories)}."


def _category(column: Column, value: Any, pointer: str) -> float | Problem:
    word = word_of(value)
    if word is None:
        detail = f"The column {column.name!r} holds categories, and this is {_kind_of(value)}."
        return Problem(pointer, "not_a_category", detail, _choice(column))
    code = column.codes.get(word)
    if code is None:
        detail = f"The column {column.name!r} has no category {word[:100]!r} in the data."
        return Problem(pointer, "unknown_category", detail, _choice(column))
    return float(word) if column.stored == "value" else float(code)


READERS = {"number": _number, "boolean": _boolean, "category": _category}


def word_of(value: Any) -> str | None:
    """How a value is written as a category: whole numbers without a point; None for what is no single value."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return None


def _not_an_object(pointer: str, features: Sequence[str]) -> Problem:
    hint = f"Write an object with the columns {listed(features)}."
    return Problem(pointer, "not_an_object", "A row of a table is an object by column name.", hint)


def listed(names: Sequence[str]) -> str:
    """For a message."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(repr(name) for name in names[:MOST_NAMED]) + more


def _kind_of(value: Any) -> str:
    kinds = {bool: "a boolean", str: "a text", int: "a number", float: "a number", list: "an array", dict: "an object"}
    return kinds.get(type(value), "something else")
