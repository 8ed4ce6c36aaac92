"""Reads a CSV in blocks: what its columns hold is guessed from the first, and corrected where a later one differs."""

import codecs
import re
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from models.columns import Kind
from models.ingest.csv_blocks import blocks
from models.ingest.csv_dialect import Dialect, sniff
from models.ingest.csv_faults import broken, wrong_encoding
from models.ingest.options import Options
from models.ingest.refusal import refused
from models.ingest.row_writer import NewWriter, RowWriter, Writer

THREADS = 2
"""Blocks that are read at once."""
CONVERSION = re.compile(r"In CSV column #(\d+): .*invalid value '(.*)'", re.DOTALL)
TYPES: dict[Kind, pa.DataType] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "text": pa.string(),
}


def read_csv(path: Path, options: Options, new_writer: NewWriter[Writer]) -> tuple[Writer, list[dict[str, str]]]:
    """Gives all rows to a writer; its warnings beside it.

    Raises:
        InvalidDataset
    """
    dialect, warnings = sniff(path, options)
    types = {name: TYPES[kind] for name, kind in options.kinds.items() if kind in TYPES}
    types |= {options.text: pa.string()} if options.text else {}
    while True:
        try:
            return _read(path, dialect, types, new_writer), warnings
        except UnicodeError:
            raise wrong_encoding(path, dialect.encoding) from None
        except pa.ArrowInvalid as error:
            message = str(error)
            if "UTF8" in message or "UTF-8" in message:
                raise wrong_encoding(path, dialect.encoding) from None
            if not (found := CONVERSION.search(message)):
                raise broken(path, dialect.delimiter, dialect.encoding, len(dialect.names), message) from None
            _widen(types, dialect.names[int(found[1])], found[2], options)


def _read(path: Path, dialect: Dialect, types: dict[str, pa.DataType], new_writer: NewWriter[Writer]) -> Writer:
    parts = blocks(path, dialect.encoding)
    first = next(parts, b"").removeprefix(codecs.BOM_UTF8)[dialect.start :] or next(parts, b"")
    # The first block shows what the columns hold; whole numbers may go on with parts.
    guessed = {entry.name: wider(entry.type) for entry in parsed(first, dialect, types).schema}
    if any(pa.types.is_binary(kind) for kind in guessed.values()):
        raise wrong_encoding(path, dialect.encoding)
    types |= guessed
    writer = new_writer(pa.schema([(name, types[name]) for name in dialect.names]))

    def looked(block: bytes) -> list[Any]:
        return [writer.look(batch) for batch in parsed(block, dialect, types).to_batches()]

    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[Future[list[Any]]] = deque()
        for block in chain([first], parts):
            waiting.append(pool.submit(looked, block))
            if len(waiting) > THREADS:
                _add(writer, waiting.popleft().result())
        for some in waiting:
            _add(writer, some.result())
    return writer


def _add(writer: RowWriter, parts: list[Any]) -> None:
    for part in parts:
        writer.add(part)


def parsed(block: bytes, dialect: Dialect, types: dict[str, pa.DataType]) -> pa.Table:
    """Some whole lines as columns."""
    return arrow_csv.read_csv(
        pa.BufferReader(block),
        # One block, and one thread for it: several of them are read at once.
        arrow_csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=dialect.names),
        arrow_csv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=b'"' in block),
        arrow_csv.ConvertOptions(strings_can_be_null=True, column_types=types),
    )


def wider(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_integer(kind):
        return pa.float64()
    return pa.string() if pa.types.is_null(kind) or pa.types.is_time(kind) else kind


def _widen(types: dict[str, pa.DataType], name: str, value: str, options: Options) -> None:
    """A later row has a value that its column's first rows did not promise: the column is one of words."""
    if name in options.kinds or types.get(name) == pa.string():
        kind = options.kinds.get(name, "text")
        detail = f"The column {name!r} is to be a {kind}, and has the value {value[:100]!r}."
        raise refused("wrong_kind", detail, "Say that it is a category, or correct the file.", "/kinds")
    types[name] = pa.string()
