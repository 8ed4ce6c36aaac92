"""How a CSV is written, by its first lines and by what is said of it."""

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

from models.ingest.csv_blocks import MOST_BLOCK_BYTES, end_of_lines
from models.ingest.csv_faults import wrong_encoding
from models.ingest.options import Options
from models.ingest.refusal import refused
from models.ingest.table import refuse_names

SAMPLE_BYTES, SAMPLE_ROWS = 2**16, 20
DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Dialect:
    """How a file is written."""

    delimiter: str
    encoding: str
    names: tuple[str, ...]
    start: int
    """Where the first row begins, in bytes of UTF-8 behind the byte order mark."""


def sniff(path: Path, options: Options) -> tuple[Dialect, list[dict[str, str]]]:
    """The dialect of a file; warnings beside it."""
    with path.open("rb") as file:
        start = file.read(SAMPLE_BYTES)
    if not start.strip():
        raise refused("empty_file", "The file is empty.", "Send a CSV with the names of the columns in its first line.")
    try:
        encoding = codecs.lookup(options.encoding).name
        # Python has others, such as zlib, which are of bytes.
        "".encode(encoding)
    except (LookupError, UnicodeError):
        detail = f"There is no encoding {options.encoding!r}."
        raise refused("unknown_encoding", detail, "Write utf-8, latin-1, cp1252, utf-16, ...", "/encoding") from None
    if encoding == "utf-8" and start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise refused("wrong_encoding", "The file is UTF-16, and not UTF-8.", "Send encoding=utf-16.")
    if b"\0" in start and not encoding.startswith("utf-16") and not encoding.startswith("utf-32"):
        detail = f"The file is no text: byte {start.index(0)} is NUL."
        raise refused("not_text", detail, "Send a CSV, a Parquet file, an NPZ, or a zip of images.")
    lines = first_lines(path, encoding)
    blank = sum(1 for _ in takewhile(lambda line: not line.strip(), lines))
    delimiter = options.delimiter or fitting_delimiter(lines[blank:])
    reader = csv.reader(lines[blank:], delimiter=delimiter)
    first = next(reader, [])
    has_header = options.header if options.header is not None else not all(map(is_number, first))
    names = named(first) if has_header else [f"column_{index + 1}" for index in range(len(first))]
    warnings = []
    if not has_header and options.header is None:
        detail = "Its first line is all numbers, so that it was taken for a row; send header=true if it has the names."
        warnings.append({"code": "no_header", "detail": detail, "pointer": "/file"})
    above = "".join(lines[: blank + (reader.line_num if has_header else 0)])
    return Dialect(delimiter, encoding, tuple(names), len(above.encode())), warnings


def first_lines(path: Path, encoding: str) -> list[str]:
    """With their ends: as many as go into the sample, and the whole first row however long it is."""
    csv.field_size_limit(MOST_BLOCK_BYTES)
    size, whole = SAMPLE_BYTES, path.stat().st_size
    while True:
        with path.open("rb") as file:
            text = decoded(file.read(size), encoding, path)
        if size >= whole:
            return list(io.StringIO(text, newline=""))
        if size >= MOST_BLOCK_BYTES or end_of_lines(text.lstrip().encode()):
            # The last one may be cut.
            return list(io.StringIO(text, newline=""))[:-1] or [text]
        size *= 4


def decoded(start: bytes, encoding: str, path: Path) -> str:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(start).removeprefix("\ufeff")
    except UnicodeError:
        raise wrong_encoding(path, encoding) from None


def fitting_delimiter(lines: Sequence[str]) -> str:
    """The one that gives the first lines most columns, and the same number each; a comma where none does."""

    def fit(place: int) -> tuple[bool, int, int]:
        rows = islice(csv.reader(lines, delimiter=DELIMITERS[place]), SAMPLE_ROWS)
        counts = [len(row) for row in rows if row]
        most = max(counts, default=0)
        return most > 1 and len(set(counts)) == 1, most, -place

    return DELIMITERS[max(range(len(DELIMITERS)), key=fit)]


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def named(first: Sequence[str]) -> list[str]:
    names = [name.strip() or f"column_{index + 1}" for index, name in enumerate(first)]
    refuse_names(names)
    return names
