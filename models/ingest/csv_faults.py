"""Where a CSV is broken that could not be read: found in a second reading, which need not be fast."""

import codecs
import csv
from pathlib import Path

from models.errors import InvalidDataset
from models.ingest.refusal import refused


def wrong_encoding(path: Path, encoding: str) -> InvalidDataset:
    """Says where the first byte is that does not fit."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = done = 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(2**20)
            try:
                lines += decoder.decode(chunk, final=not chunk).count("\n")
            except UnicodeError as error:
                if not isinstance(error, UnicodeDecodeError):
                    return refused("wrong_encoding", f"The file is not {encoding}: {error}.", "Save it as UTF-8.")
                lines += error.object[: error.start].count(b"\n")
                detail = f"The file is not {encoding}: byte {done + error.start}, in line {lines + 1}, does not fit."
                return refused(
                    "wrong_encoding", detail, "Save it as UTF-8, or send encoding=latin-1, cp1252, utf-16, ..."
                )
            done += len(chunk)
            if not chunk:
                return refused("wrong_encoding", f"The file is not {encoding}.", "Save it as UTF-8.")


def broken(path: Path, delimiter: str, encoding: str, columns: int, message: str) -> InvalidDataset:
    """The row of another length, with its line; else what the parser said."""
    with path.open(encoding=encoding, newline="", errors="replace") as file:
        reader = csv.reader(file, delimiter=delimiter)
        try:
            for row in reader:
                if row and len(row) != columns:
                    detail = f"Line {reader.line_num} has {len(row)} values, and there are {columns} columns."
                    return refused(
                        "ragged_row", detail, "Give each row a value for each column; quote values with a comma."
                    )
        except csv.Error as error:
            return refused("broken_csv", f"Line {reader.line_num}: {error}.", "Correct the file.")
    if "Empty CSV" in message:
        return refused("no_rows", "It has no rows.", "Send at least two rows below the names of the columns.")
    return refused("broken_csv", f"The file could not be read as a CSV: {message[:300]}", "Correct the file.")
