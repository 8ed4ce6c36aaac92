"""Predictions for all rows of a CSV or Parquet file, into a Parquet file: its own columns, and what the model says.

Beside the columns of the file `predicted_class` and `probability_<class>` for each class, or `predicted_value`.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute, parquet

from models.columns import LARGEST, Column, Kind
from models.errors import InvalidDataset
from models.ingest.csv_file import TYPES, read_csv
from models.ingest.options import Options
from models.ingest.parquet_file import read_parquet
from models.ingest.reading import format_of
from models.ingest.refusal import refused
from models.ingest.row_writer import NewWriter
from models.ingest.values import as_doubles, as_words, kind_of
from models.inputs import INPUT, MISSING, Feeds, input_name
from models.predictor import Predictor

CHUNK_VALUES = 2**20
"""Of inputs and outputs, that are in memory at once."""


def predict_file(path: Path, options: Options, predictor: Predictor, folder: Path) -> tuple[IO[bytes], int]:
    """The Parquet file, which has no name, and its rows.

    Raises:
        InvalidDataset: a row does not fit, or the file is broken.
    """
    columns = predictor.inputs.columns
    kinds: dict[str, Kind] = {column.name: column.kind for column in columns.inputs} if columns else {}
    writers: list[PredictionWriter] = []

    def new_writer(schema: pa.Schema) -> "PredictionWriter":
        # A CSV is begun anew where a later row shows what a column holds.
        writers.append(PredictionWriter(schema, predictor, folder))
        return writers[-1]

    try:
        if format_of(path) == "parquet":
            read_parquet(path, new_writer)
        else:
            _read_csv(path, options.model_copy(update={"kinds": kinds}), new_writer)
        return writers[-1].finish(), writers.pop().rows
    finally:
        for writer in writers:
            writer.give_up()


def _read_csv(path: Path, options: Options, new_writer: "NewWriter[PredictionWriter]") -> None:
    """As `read_csv`; of a value that its column cannot have it says the row."""
    try:
        read_csv(path, options, new_writer)
    except InvalidDataset as error:
        if error.problems[0].code != "wrong_kind":
            raise
        as_texts: dict[str, Kind] = dict.fromkeys(options.kinds, "text")
        read_csv(path, options.model_copy(update={"kinds": as_texts}), lambda _: Finder(options.kinds))
        raise


class Finder:
    """A `RowWriter` of texts: refuses the first that is not of its column's kind."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._types = {name: TYPES[kind] for name, kind in kinds.items() if kind in ("number", "boolean")}
        self.rows = 0

    def look(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    def add(self, batch: pa.RecordBatch) -> None:
        for name in self._types.keys() & {*batch.schema.names}:
            converted(batch.column(name), self._types[name], name, self.rows)
        self.rows += batch.num_rows


def converted(texts: pa.Array, kind: pa.DataType, name: str, rows: int) -> pa.Array:
    """Values of texts. `rows`: how many are before them in the file.

    Raises:
        InvalidDataset: names the first row whose text is none.
    """
    trimmed = compute.utf8_trim_whitespace(texts)
    try:
        return trimmed.cast(kind)
    except pa.ArrowInvalid:
        for place, value in enumerate(trimmed):
            try:
                value.cast(kind)
            except pa.ArrowInvalid:
                what = "true or false" if kind == pa.bool_() else "a number"
                detail = f"Row {rows + place + 1:,}: the value {value.as_py()[:100]!r} of {name!r} is not {what}."
                raise refused("wrong_kind", detail, "Correct the row, or leave it out.") from None
        raise


class PredictionWriter:
    """A `RowWriter`: says of each row what the model does."""

    def __init__(self, schema: pa.Schema, predictor: Predictor, folder: Path) -> None:
        self._predictor = predictor
        self._columns = predictor.inputs.columns
        self.rows = 0
        self._check(schema)
        said = _unused(schema.names, predictor)
        self._said = pa.schema([pa.field(name, kind) for name, kind in said.items()])
        # Nameless: nothing is left of it, whenever the process ends.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  whoever finishes it closes it
        self._writer = parquet.ParquetWriter(self._file, pa.schema([*schema, *self._said]))

    def _check(self, schema: pa.Schema) -> None:
        if self._columns is None:
            [width] = self._predictor.shape.input_shape
            if len(schema.names) != width:
                detail = f"It has {len(schema.names)} columns, and the model takes {width} numbers."
                raise refused("wrong_columns", detail, "Send just the features, in the order of the data set.")
            return
        missing = [name for name in self._columns.features if name not in schema.names]
        if missing:
            named = ", ".join(map(repr, missing[:10]))
            raise refused("missing_column", f"It has no column {named}.", "The model needs each of its features.")

    def look(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    def add(self, batch: pa.RecordBatch) -> None:
        width = len(batch.schema) + len(self._said)
        at_once = max(1, CHUNK_VALUES // width)
        for start in range(0, batch.num_rows, at_once):
            rows = batch.slice(start, at_once)
            said = self._said_of(self._predictor.run(self._feeds(rows)))
            self._writer.write_batch(pa.RecordBatch.from_arrays([*rows.columns, *said], schema=self._writer.schema))
            self.rows += rows.num_rows

    def _feeds(self, rows: pa.RecordBatch) -> Feeds:
        if self._columns is None:
            values = [self._numbers(name, rows.column(name), may_miss=False) for name in rows.schema.names]
            return {INPUT: np.stack(values, axis=1)}
        found = {column.name: self._values(column, rows.column(column.name)) for column in self._columns.inputs}
        if self._predictor.inputs.has_categories:
            return {input_name(name): values[:, None] for name, values in found.items()}
        return {INPUT: np.stack(list(found.values()), axis=1)}

    def _values(self, column: Column, values: pa.Array) -> NDArray[Any]:
        return self._words(column, values) if column.kind == "category" else self._numbers(column.name, values)

    def _numbers(self, name: str, values: pa.Array, may_miss: bool = True) -> NDArray[np.float32]:
        if pa.types.is_string(values.type):
            values = converted(values, pa.float64(), name, self.rows)
        if kind_of(values.type) not in ("number", "boolean") and not pa.types.is_null(values.type):
            raise refused("not_a_number", f"The column {name!r} holds {values.type}, and no numbers.", "Correct it.")
        numbers = np.full(len(values), np.nan) if pa.types.is_null(values.type) else as_doubles(values)
        self._refuse_first(np.abs(numbers) > LARGEST, name, "number_too_large", "beyond what a float32 can hold")
        if not may_miss:
            self._refuse_first(np.isnan(numbers), name, "missing_value", "missing")
        return numbers.astype(np.float32)

    def _words(self, column: Column, values: pa.Array) -> NDArray[np.object_]:
        words = np.array(as_words(values).to_pylist(), np.object_)
        missing = np.array([word is None for word in words], np.bool_)
        if not column.missing:
            self._refuse_first(missing, column.name, "missing_value", "missing, as none was in the data")
        known = np.array([word in column.codes for word in words], np.bool_)
        self._refuse_first(~known & ~missing, column.name, "unknown_category", "no category of the data", words)
        words[missing] = MISSING
        return words

    def _refuse_first(self, wrong: NDArray[Any], name: str, code: str, what: str, values: Any = None) -> None:
        if not wrong.any():
            return
        place = int(wrong.argmax())
        value = "" if values is None else f" {str(values[place])[:100]!r}"
        detail = f"Row {self.rows + place + 1:,}: the value{value} of {name!r} is {what}."
        raise refused(code, detail, "Correct the row, or leave it out.")

    def _said_of(self, outputs: NDArray[np.float32]) -> Iterator[pa.Array]:
        if self._predictor.shape.task == "regression":
            return (pa.array(column) for column in outputs.T)
        classes = pa.array(self._predictor.shape.classes, pa.string())
        winners = pa.DictionaryArray.from_arrays(pa.array(outputs.argmax(1), pa.int32()), classes)
        return iter([winners.cast(pa.string()), *(pa.array(column) for column in outputs.T)])

    def finish(self) -> IO[bytes]:
        """The file, from its beginning."""
        self._writer.close()
        self._file.seek(0)
        return self._file

    def give_up(self) -> None:
        self._writer.close()
        self._file.close()


def _unused(taken: list[str], predictor: Predictor) -> dict[str, pa.DataType]:
    """The columns that are added, under names that the file has not."""
    shape = predictor.shape
    if shape.task == "regression":
        places = [""] if shape.outputs == 1 else [f"_{place}" for place in range(shape.outputs)]
        names = {f"predicted_value{place}": pa.float32() for place in places}
    else:
        names = {"predicted_class": pa.string()} | {f"probability_{name}": pa.float32() for name in shape.classes}
    found = {}
    for name, kind in names.items():
        free = name
        while free in taken:
            free += "_"
        found[free] = kind
    return found
