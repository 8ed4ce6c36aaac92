"""Batches of a table's rows into one matrix of float32, and what is to be known of its columns.

Bounded in memory whatever the number of rows: a first pass writes numbers as they are and categories as codes in the
order in which they come; a second puts the codes in the order of the sorted categories, and counts.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.lib import format as npy
from numpy.typing import NDArray

from models.columns import Column, Kind, word_of
from models.ingest.array_file import ArrayFile
from models.ingest.refusal import refused

Doubles = NDArray[np.float64]

MOST_COLUMNS = 10_000
MOST_CATEGORIES = 1_000
"""Of a column whose kind is guessed; one of more is `text`."""
MOST_CHOSEN_CATEGORIES = 10_000
"""Of a column that is said to be a category."""
MOST_GROUPS = 2**24
"""As many whole numbers as a float32 holds."""
MOST_WHOLE = 100
"""Different whole numbers that are kept as what may be categories."""
CHUNK_VALUES = 2**20
SAMPLE_VALUES = 2**21
"""Medians are those of evenly spaced rows, as many as go into so many values: of 20 columns 100 000 rows."""
BINS = 20
FEW = 20
"""Whole numbers whose rows are counted one by one."""
MOST_COUNTS = 50
PREVIEW_ROWS, PREVIEW_VALUES = 20, 2_000


@dataclass
class Moments:
    """Of one column: of its values that are there."""

    count: int
    low: float
    high: float
    mean: float
    squares: float

    @property
    def deviation(self) -> float:
        return float(np.sqrt(self.squares / self.count))


class AllMoments:
    """Of many columns at once, some rows at a time (Chan, Golub and LeVeque 1979)."""

    def __init__(self, columns: int) -> None:
        self._count = np.zeros(columns)
        self._low, self._high = np.full(columns, np.inf), np.full(columns, -np.inf)
        self._mean, self._squares = np.zeros(columns), np.zeros(columns)

    def see(self, values: NDArray[np.float32]) -> None:
        """`values`: [rows, columns], NaN where one is missing."""
        doubles = values.astype(np.float64)
        missing = np.isnan(doubles)
        count = len(doubles) - missing.sum(axis=0)
        is_whole = count.min(initial=len(doubles)) == len(doubles)
        self._low = np.fmin(self._low, np.fmin.reduce(doubles, axis=0))
        self._high = np.fmax(self._high, np.fmax.reduce(doubles, axis=0))
        if not is_whole:
            doubles[missing] = 0
        mean = doubles.sum(axis=0) / np.maximum(count, 1)
        doubles -= mean
        if not is_whole:
            doubles[missing] = 0
        between, total = mean - self._mean, np.maximum(self._count + count, 1)
        self._squares += np.einsum("ij,ij->j", doubles, doubles) + between**2 * self._count * count / total
        self._mean += between * count / total
        self._count += count

    def of(self, place: int) -> Moments | None:
        """Of a column; None if it has no values."""
        if not self._count[place]:
            return None
        figures = self._low[place], self._high[place], self._mean[place], self._squares[place]
        return Moments(int(self._count[place]), *map(float, figures))


@dataclass
class Gathered:
    """What is known of a column so far."""

    name: str
    kind: Kind
    most: int = MOST_CATEGORIES
    """Categories it may have."""
    keeps_codes: bool = False
    """A group, whose values are told apart, however many there are."""
    missing: int = 0
    infinite: int = 0
    moments: "Moments | None" = None
    codes: dict[str, int] = field(default_factory=dict)
    whole: set[int] | None = field(default_factory=set)
    overflowed: bool = False

    def see_whole(self, values: NDArray[np.float32]) -> None:
        """Keeps its different values as long as they are few and whole."""
        found = self.whole or set()
        # Most columns are found out by their first values.
        for part in (values[:100], values[100:]):
            if (part != np.rint(part)).any() or (abs(part) > 2**24).any():
                self.whole = None
                return
            found |= set(map(int, np.unique(part)))
        self.whole = found if len(found) <= MOST_WHOLE else None


class TableWriter:
    """Takes batches, and writes `table.npy` [rows, columns] and `times.npy` [rows] into a folder."""

    def __init__(self, schema: pa.Schema, folder: Path, kinds: Mapping[str, Kind], group: str | None, time: str | None):
        if len(schema.names) > MOST_COLUMNS:
            detail = f"It has {len(schema.names):,} columns; at most {MOST_COLUMNS:,} go."
            raise refused("too_many_columns", detail, "Leave columns out, or send an NPZ with one array `x`.")
        self.columns = [self._column(entry, kinds, group, time) for entry in schema]
        self._time = time
        self.preview: list[list[Any]] = []
        self.stored = [c for c in self.columns if c.kind in ("number", "boolean", "category")]
        self._numbers = [place for place, c in enumerate(self.stored) if c.kind in ("number", "boolean")]
        self._moments = AllMoments(len(self._numbers))
        self._table = ArrayFile(folder / "table.npy", (len(self.stored),), np.float32)
        self._times = ArrayFile(folder / "times.npy", (), np.float64) if time else None

    @property
    def rows(self) -> int:
        return self._table.rows

    def _column(self, entry: pa.Field, kinds: Mapping[str, Kind], group: str | None, time: str | None) -> Gathered:
        if entry.name == group:
            return Gathered(entry.name, "category", MOST_GROUPS, keeps_codes=True)
        if entry.name == time:
            return Gathered(entry.name, "time")
        if entry.name in kinds:
            return Gathered(entry.name, kinds[entry.name], MOST_CHOSEN_CATEGORIES)
        return Gathered(entry.name, kind_of(entry.type))

    def add(self, batch: pa.RecordBatch) -> None:
        if not self.preview:
            few = min(PREVIEW_ROWS, max(1, PREVIEW_VALUES // max(batch.num_columns, 1)))
            self.preview = [
                list(map(plain, row)) for row in zip(*batch.slice(0, few).to_pydict().values(), strict=True)
            ]
        matrix = np.empty((batch.num_rows, len(self.stored)), np.float32)
        place = 0
        for column, values in zip(self.columns, batch.columns, strict=True):
            if column.kind == "time":
                self._add_time(column, values)
            elif column.kind in ("number", "boolean", "category") or column.overflowed:
                matrix[:, place] = self._values(column, values)
                place += 1
            else:
                column.missing += values.null_count
        if self._numbers:
            self._moments.see(matrix[:, self._numbers])
        self._table.append(matrix)

    def _values(self, column: Gathered, values: pa.Array) -> NDArray[np.float32]:
        column.missing += values.null_count
        if column.overflowed:
            return np.full(len(values), np.nan, np.float32)
        if column.kind == "category":
            return self._codes(column, values)
        doubles = as_doubles(values)
        if column.kind == "boolean" and not np.isin(doubles[~np.isnan(doubles)], (0, 1)).all():
            detail = f"The column {column.name!r} is to be a boolean, and has other numbers than 0 and 1."
            raise refused("wrong_kind", detail, "Say that it is a number.", "/kinds")
        with np.errstate(over="ignore"):
            floats = doubles.astype(np.float32)
        infinite = np.isinf(floats)
        if infinite.any():
            column.infinite += int(infinite.sum())
            column.missing += int(infinite.sum())
            floats[infinite] = np.nan
        # NaN of its own, and not null: Parquet knows both.
        missing = np.isnan(floats)
        column.missing += int(missing.sum()) - values.null_count - int(infinite.sum())
        if column.whole is not None:
            column.see_whole(floats[~missing])
        return floats

    def _codes(self, column: Gathered, values: pa.Array) -> NDArray[np.float32]:
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

    def finish(self) -> "Table":
        for file in (self._table, self._times):
            if file is not None:
                file.__exit__(None, None, None)
        if not self.rows:
            raise refused("no_rows", "It has no rows.", "Send at least two rows below the names of the columns.")
        for index, place in enumerate(self._numbers):
            self.stored[place].moments = self._moments.of(index)
        return Table(self._table.path, self.columns, self.stored)


class Histograms:
    """Of all columns of numbers that are not whole, at once: 20 columns one by one would take as long as parsing."""

    def __init__(self, stored: list[Gathered]) -> None:
        numbers = [(place, c) for place, c in enumerate(stored) if c.kind == "number" and c.whole is None and c.moments]
        self._places = [place for place, _ in numbers]
        self._names = [column.name for _, column in numbers]
        known = [column.moments for _, column in numbers if column.moments]
        self._lows = np.array([each.low for each in known], np.float32)
        widths = np.array([each.high - each.low for each in known])
        # A little less, so that the highest value is in the last bin.
        self._scales = (BINS * (1 - 1e-6) / np.where(widths > 0, widths, 1)).astype(np.float32)
        self._offsets = np.arange(len(known)) * (BINS + 1)
        self._rows = np.zeros(len(numbers) * (BINS + 1), np.int64)

    def see(self, chunk: NDArray[np.float32]) -> None:
        if not self._places:
            return
        places = chunk[:, self._places]
        places -= self._lows
        places *= self._scales
        # What is missing has one bin more.
        places[np.isnan(places)] = BINS
        bins = places.astype(np.int64)
        bins += self._offsets
        self._rows += np.bincount(bins.ravel(), minlength=len(self._rows))

    def counts(self) -> dict[str, NDArray[np.int64]]:
        """By column, the rows in each bin."""
        by_column = self._rows.reshape(-1, BINS + 1)[:, :BINS]
        return dict(zip(self._names, by_column, strict=True))


class Table:
    """The matrix as it was written, and its second pass."""

    def __init__(self, path: Path, columns: list[Gathered], stored: list[Gathered]) -> None:
        self._path = path
        self._stored = stored
        self.gathered = {column.name: column for column in columns}
        self.order = {c.name: sorted(c.codes) for c in stored if c.kind == "category"}
        self.rows, self._width = np.load(path, mmap_mode="r").shape
        self.counts: dict[str, NDArray[np.int64]] = {}
        self._medians: dict[str, float | None] = {}
        if self._width:
            self._count()
        self.columns = tuple(self._describe(column) for column in columns)

    def _count(self) -> None:
        """Sorts the codes, and counts categories and the values in each bin."""
        remaps = {
            place: np.argsort(np.argsort(list(column.codes))).astype(np.float32)
            for place, column in enumerate(self._stored)
            if column.kind == "category" and column.codes
        }
        every = max(1, self.rows * self._width // SAMPLE_VALUES)
        sample: list[NDArray[np.float32]] = []
        start = 0
        histograms = Histograms(self._stored)
        with self._path.open("r+b") as file:
            for chunk in self._chunks(file):
                for place, remap in remaps.items():
                    codes = chunk[:, place]
                    known = ~np.isnan(codes)
                    codes[known] = remap[codes[known].astype(np.int64)]
                if remaps:
                    file.seek(-chunk.nbytes, os.SEEK_CUR)
                    file.write(chunk.data)
                for place, column in enumerate(self._stored):
                    self._see(column, chunk[:, place])
                histograms.see(chunk)
                sample.append(chunk[(-start) % every :: every].copy())
                start += len(chunk)
        self.counts |= histograms.counts()
        self._find_medians(np.concatenate(sample))

    def _chunks(self, file: BinaryIO) -> Iterator[NDArray[np.float32]]:
        """Read, and not mapped: mapped pages would count as memory of this process."""
        npy.read_magic(file)
        npy.read_array_header_1_0(file)
        at_once = max(1, CHUNK_VALUES // self._width) * self._width * 4
        while content := file.read(at_once):
            yield np.frombuffer(bytearray(content), np.float32).reshape(-1, self._width)

    def _see(self, column: Gathered, values: NDArray[np.float32]) -> None:
        if column.overflowed or (column.kind == "number" and column.whole is None):
            return
        known = values[~np.isnan(values)]
        if column.kind == "number":
            whole = sorted(column.whole or ())
            found = np.bincount(np.searchsorted(whole, known), minlength=len(whole))
        else:
            found = np.bincount(known.astype(np.int64), minlength=len(column.codes) if column.kind == "category" else 2)
        self.counts[column.name] = self.counts.get(column.name, 0) + found

    def _find_medians(self, sample: NDArray[np.float32]) -> None:
        for place, column in enumerate(self._stored):
            if column.kind in ("number", "boolean"):
                known = sample[:, place][~np.isnan(sample[:, place])]
                self._medians[column.name] = float(np.median(known)) if len(known) else None

    def _describe(self, column: Gathered) -> Column:
        common: dict[str, Any] = {"name": column.name, "missing": column.missing, "kind": column.kind}
        if column in self._stored:
            common["place"] = self._stored.index(column)
        if column.kind == "category":
            names = self.order[column.name]
            is_named = len(names) <= MOST_CHOSEN_CATEGORIES
            kind = "category" if is_named else "text"
            return Column(
                **common | {"kind": kind},
                stored="code",
                categories=tuple(names) if is_named else (),
                distinct=len(names),
            )
        if column.kind == "boolean":
            fill = self._medians.get(column.name)
            half_up = None if fill is None else float(fill >= 0.5)
            return Column(**common, categories=("false", "true"), stored="code", fill=half_up, distinct=2)
        if column.kind == "number":
            whole = tuple(map(str, sorted(column.whole))) if column.whole else ()
            return Column(**common, categories=whole, distinct=len(whole), fill=self._medians.get(column.name))
        return Column(**common)

    def statistics(self) -> list[dict[str, Any]]:
        """Of each column what `GET /v1/datasets/{id}` shows."""
        return [self._statistics(column) for column in self.columns]

    def _statistics(self, column: Column) -> dict[str, Any]:
        moments = self.gathered[column.name].moments
        shown: dict[str, Any] = {"name": column.name, "missing": column.missing}
        if column.kind in ("number", "boolean") and moments:
            shown |= {"min": moments.low, "max": moments.high, "mean": moments.mean, "std": moments.deviation}
            shown["median"] = self._medians[column.name]
        counts = self.counts.get(column.name)
        if counts is None:
            return shown
        if column.kind == "number" and moments:
            values = [int(name) for name in column.categories] or None
            spread = (moments.low, moments.high)
            rows, edges = np.histogram(values or [], BINS, spread, weights=counts if values else None)
            shown["histogram"] = {"edges": edges.tolist(), "rows": (rows if values else counts).tolist()}
        if column.categories and (column.kind != "number" or len(column.categories) <= FEW):
            most = np.argsort(-counts, kind="stable")[:MOST_COUNTS]
            shown["counts"] = [{"value": column.categories[i], "rows": int(counts[i])} for i in most]
        return shown


def kind_of(kind: pa.DataType) -> Kind:
    """What a column of this type is taken for."""
    types = pa.types
    if types.is_boolean(kind):
        return "boolean"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_timestamp(kind) or types.is_date(kind):
        return "time"
    words = kind.value_type if types.is_dictionary(kind) else kind
    return "category" if types.is_string(words) or types.is_large_string(words) else "text"


def as_doubles(values: pa.Array) -> Doubles:
    """Numbers or booleans; NaN where they are missing."""
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    if not pa.types.is_floating(values.type):
        values = values.cast(pa.float64(), safe=False)
    doubles: Doubles = values.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return doubles


def as_words(values: pa.Array) -> pa.Array:
    """How values are written as categories."""
    if pa.types.is_floating(values.type):
        return pa.array([word_of(value) for value in values.to_pylist()], pa.string())
    return values if pa.types.is_string(values.type) else values.cast(pa.string())


def as_seconds(values: pa.Array, name: str) -> Doubles:
    """Times as seconds since 1970; numbers as they are."""
    if values.null_count:
        detail = f"The column {name!r} orders the rows, and some have no value in it."
        raise refused("missing_time", detail, "Leave out those rows.", "/time")
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(values.type):
        return as_doubles(values.cast(pa.timestamp("us")).cast(pa.int64())) / 1e6
    if kind_of(values.type) != "number":
        detail = f"The column {name!r} holds {values.type}, and neither times nor numbers."
        raise refused("wrong_time", detail, "Write times as 2026-01-31T12:00:00, or as numbers.", "/time")
    return as_doubles(values)


def plain(value: Any) -> Any:
    """A value of a preview, for JSON."""
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)[:200]


def chunked(rows: int, at_once: int) -> Iterator[slice]:
    for start in range(0, rows, at_once):
        yield slice(start, min(start + at_once, rows))
