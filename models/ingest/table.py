"""Batches of a table's rows into one matrix of float32.

Bounded in memory whatever the number of rows: a first pass writes numbers as they are and categories as codes in the
order in which they come; a second (`second_pass.py`) puts the codes in the order of the sorted categories, and counts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.columns import ENCODED, Kind
from models.ingest.array_file import ArrayFile
from models.ingest.gathered import MOST_CATEGORIES, AllMoments, Gathered
from models.ingest.numbers import Doubles, Numbers, look_at
from models.ingest.refusal import refused
from models.ingest.second_pass import MOST_CHOSEN_CATEGORIES, Table
from models.ingest.values import as_doubles, as_seconds, as_words, kind_of, shown

MOST_COLUMNS = 10_000
MOST_GROUPS = 2**24
"""As many whole numbers as a float32 holds."""
PREVIEW_ROWS, PREVIEW_VALUES = 20, 2_000


@dataclass(frozen=True)
class Looked:
    """Some rows that were looked at."""

    batch: pa.RecordBatch
    matrix: NDArray[np.float32]
    """[rows, stored columns]; the codes of categories are still missing."""
    numbers: Numbers


class TableWriter:
    """A `RowWriter`: writes `table.npy` [rows, columns] and `times.npy` [rows] into a folder."""

    def __init__(self, schema: pa.Schema, folder: Path, kinds: Mapping[str, Kind], group: str | None, time: str | None):
        if len(schema.names) > MOST_COLUMNS:
            detail = f"It has {len(schema.names):,} columns; at most {MOST_COLUMNS:,} go."
            raise refused("too_many_columns", detail, "Leave columns out, or send an NPZ with one array `x`.")
        self.columns = [self._column(entry, kinds, group, time) for entry in schema]
        self._group, self._time = group, time
        self.preview: list[list[Any]] = []
        self.stored = [c for c in self.columns if c.kind in ENCODED]
        self._places = [place for place, c in enumerate(self.columns) if c.kind in ENCODED]
        """Of the stored columns in the file."""
        self._place_of = {column.name: place for place, column in enumerate(self.stored)}
        self._numbers = [place for place, c in enumerate(self.stored) if c.kind in ("number", "boolean")]
        """Among the stored columns."""
        self._moments = AllMoments(len(self._numbers))
        self.rows = 0
        self._table = ArrayFile(folder / "table.npy", (len(self.stored),), np.float32)
        self._times = ArrayFile(folder / "times.npy", (), np.float64) if time else None

    def _column(self, entry: pa.Field, kinds: Mapping[str, Kind], group: str | None, time: str | None) -> Gathered:
        if entry.name == group:
            return Gathered(entry.name, "category", MOST_GROUPS)
        if entry.name == time:
            return Gathered(entry.name, "time")
        if entry.name in kinds:
            return Gathered(entry.name, kinds[entry.name], MOST_CHOSEN_CATEGORIES)
        return Gathered(entry.name, kind_of(entry.type))

    def look(self, batch: pa.RecordBatch) -> Looked:
        doubles = np.empty((len(self._numbers), batch.num_rows))
        for row, place in enumerate(self._numbers):
            doubles[row] = as_doubles(batch.column(self._places[place]))
        whole = [row for row, place in enumerate(self._numbers) if self.stored[place].whole is not None]
        for row, place in enumerate(self._numbers):
            _refuse_no_boolean(self.stored[place], doubles[row])
        numbers = look_at(doubles, whole)
        matrix = np.empty((batch.num_rows, len(self.stored)), np.float32)
        for place, floats in zip(self._numbers, numbers.floats, strict=True):
            matrix[:, place] = floats
        return Looked(batch, matrix, numbers)

    def add(self, looked: Looked) -> None:
        batch, numbers = looked.batch, looked.numbers
        if not self.preview:
            few = min(PREVIEW_ROWS, max(1, PREVIEW_VALUES // max(batch.num_columns, 1)))
            self.preview = list(map(list, zip(*map(shown, batch.slice(0, few).columns), strict=True)))
        for row, place in enumerate(self._numbers):
            column = self.stored[place]
            column.missing += int(numbers.missing[row])
            column.infinite += int(numbers.infinite[row])
            column.see_whole(numbers.whole.get(row))
        self._moments.see(numbers)
        for column, values in zip(self.columns, batch.columns, strict=True):
            if column.kind == "time":
                self._add_time(column, values)
            elif column.kind == "category" or column.overflowed:
                looked.matrix[:, self._place_of[column.name]] = self._codes(column, values)
            elif column.kind == "text":
                column.missing += values.null_count
        self._table.append(looked.matrix)
        self.rows += batch.num_rows

    def _codes(self, column: Gathered, values: pa.Array) -> NDArray[np.float32]:
        column.missing += values.null_count
        if column.overflowed:
            return np.full(len(values), np.nan, np.float32)
        if not pa.types.is_dictionary(values.type):
            values = as_words(values).dictionary_encode()
        words = as_words(values.dictionary).to_pylist()
        used = {words[i] for i in pc.unique(values.indices).to_pylist() if i is not None}
        for word in words:
            if word in used:
                column.codes.setdefault(word, len(column.codes))
        if len(column.codes) > column.most:
            self._overflow(column)
            return np.full(len(values), np.nan, np.float32)
        known = np.array([column.codes.get(word, -1) for word in words], np.float32)
        indices = values.indices.to_numpy(zero_copy_only=False).astype(np.float64)
        missing = np.isnan(indices)
        if not len(known):
            return np.full(len(values), np.nan, np.float32)
        codes = known[np.where(missing, 0, indices).astype(np.int64)]
        codes[missing] = np.nan
        return codes

    def _overflow(self, column: Gathered) -> None:
        if column.most != MOST_CATEGORIES:
            detail = f"The column {column.name!r} has more than {column.most:,} different values."
            raise refused("too_many_categories", detail, "Leave it out.", "/kinds")
        column.kind, column.overflowed = "text", True
        column.codes = {}

    def _add_time(self, column: Gathered, values: pa.Array) -> None:
        column.missing += values.null_count
        if column.name == self._time and self._times is not None:
            self._times.append(as_seconds(values, column.name))

    def close(self) -> None:
        """Also where reading came to no end."""
        for file in filter(None, (self._table, self._times)):
            file.close()

    def finish(self) -> Table:
        for file in filter(None, (self._table, self._times)):
            file.finish()
        if not self.rows:
            raise refused("no_rows", "It has no rows.", "Send at least two rows below the names of the columns.")
        for index, place in enumerate(self._numbers):
            self.stored[place].moments = self._moments.of(index)
        for column in self.stored:
            # Without a value there is no median and no category.
            if column.missing == self.rows and column.name not in (self._group, self._time):
                column.kind, column.overflowed = "text", True
        return Table(self._table.path, self.columns, self.stored)


def _refuse_no_boolean(column: Gathered, values: Doubles) -> None:
    if column.kind == "boolean" and not np.isin(values[~np.isnan(values)], (0, 1)).all():
        detail = f"The column {column.name!r} is to be a boolean, and has other numbers than 0 and 1."
        raise refused("wrong_kind", detail, "Say that it is a number.", "/kinds")


def refuse_names(names: Sequence[str]) -> None:
    """Those of columns: each is there once, and not too long."""
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        detail = f"Columns have the same name: {', '.join(map(repr, repeated[:5]))}."
        raise refused("repeated_column", detail, "Give each column a name of its own.")
    long = [name for name in names if len(name) > 200 or "\0" in name]
    if long:
        detail = f"The name of a column has {len(long[0])} characters, or a NUL: {long[0][:50]!r}..."
        raise refused("wrong_name", detail, "Names of columns have at most 200 characters.")
