"""Reads a Parquet file in batches. Its footer is checked against the file before any column is read."""

from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from models.ingest.refusal import refused
from models.ingest.row_writer import NewWriter, Writer
from models.ingest.table import refuse_names

BATCH_ROWS = 2**15
MOST_ROWS = 2**40
LEAST_BITS = 1e-4
"""Of a value, on average, that a file may hold it in: run lengths pack long runs of one value into nearly nothing."""


def read_parquet(path: Path, new_writer: NewWriter[Writer]) -> Writer:
    """Gives all rows to a writer.

    Raises:
        InvalidDataset
    """
    try:
        with parquet.ParquetFile(path, memory_map=False, pre_buffer=False) as file:
            _check(file, path)
            writer = new_writer(file.schema_arrow)
            for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                writer.add(writer.look(batch))
            if writer.rows != file.metadata.num_rows:
                detail = f"Its footer claims {file.metadata.num_rows:,} rows, and it has {writer.rows:,}."
                raise refused("wrong_footer", detail, "Write it again.")
            return writer
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        detail = f"The Parquet file is broken: {str(error)[:300]}"
        raise refused("broken_parquet", detail, "It may be cut short; write it, or send it, again.") from None


def _check(file: parquet.ParquetFile, path: Path) -> None:
    metadata, size = file.metadata, path.stat().st_size
    refuse_names(file.schema_arrow.names)
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    rows = sum(group.num_rows for group in groups)
    columns = [group.column(place) for group in groups for place in range(group.num_columns)]
    starts = [column.dictionary_page_offset or column.data_page_offset for column in columns]
    ends = [start + column.total_compressed_size for start, column in zip(starts, columns, strict=True)]
    wrong = [
        rows != metadata.num_rows or not 0 <= rows < MOST_ROWS,
        any(start < 4 or end > size for start, end in zip(starts, ends, strict=True)),
        rows * LEAST_BITS > 8 * size,
    ]
    if any(wrong):
        detail = f"Its footer does not fit the file: {rows:,} rows in {size:,} bytes."
        raise refused("wrong_footer", detail, "Write it again.")
