"""Reads a CSV in blocks, and says of a broken one where it is broken."""

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

import pyarrow as pa
from pyarrow import csv as arrow_csv

from models.columns import Kind
from models.ingest.options import Options
from models.ingest.refusal import refused
from models.ingest.table import TableWriter

SAMPLE_BYTES, SAMPLE_ROWS = 2**16, 20
BLOCK_BYTES = 2**21
MOST_BLOCK_BYTES = 2**24
THREADS = 2
"""Blocks that are read at once."""
DELIMITERS = (",", ";", "\t", "|")
CONVERSION = re.compile(r"In CSV column #(\d+): .*invalid value '(.*)'", re.DOTALL)
TYPES: dict[Kind, pa.DataType] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "text": pa.string(),
}
NewWriter = Callable[[pa.Schema], TableWriter]


@dataclass(frozen=True)
class Dialect:
    """How a file is written."""

    delimiter: str
    encoding: str
    names: tuple[str, ...]
    start: int
    """Where the first row begins, in bytes of UTF-8 behind the byte order mark."""


def read_csv(path: Path, options: Options, new_writer: NewWriter) -> tuple[TableWriter, list[dict[str, str]]]:
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
                raise broken(path, dialect, message) from None
            _widen(types, dialect.names[int(found[1])], found[2], options)


def _read(path: Path, dialect: Dialect, types: dict[str, pa.DataType], new_writer: NewWriter) -> TableWriter:
    parts = blocks(path, dialect.encoding)
    first = next(parts, b"").removeprefix(codecs.BOM_UTF8)[dialect.start :] or next(parts, b"")
    # The first block shows what the columns hold; whole numbers may go on with parts.
    guessed = {entry.name: wider(entry.type) for entry in parsed(first, dialect, types).schema}
    if any(pa.types.is_binary(kind) for kind in guessed.values()):
        raise wrong_encoding(path, dialect.encoding)
    types |= guessed
    writer = new_writer(pa.schema([(name, types[name]) for name in dialect.names]))
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = deque([pool.submit(parsed, first, dialect, types)])
        for block in parts:
            waiting.append(pool.submit(parsed, block, dialect, types))
            if len(waiting) > THREADS:
                _add(writer, waiting.popleft().result())
        for part in waiting:
            _add(writer, part.result())
    return writer


def _add(writer: TableWriter, table: pa.Table) -> None:
    for batch in table.to_batches():
        writer.add(batch)


def parsed(block: bytes, dialect: Dialect, types: dict[str, pa.DataType]) -> pa.Table:
    """Some whole lines as columns."""
    return arrow_csv.read_csv(
        pa.BufferReader(block),
        # One block, and one thread for it: several of them are read at once.
        arrow_csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=dialect.names),
        arrow_csv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=b'"' in block),
        arrow_csv.ConvertOptions(strings_can_be_null=True, column_types=types),
    )


def blocks(path: Path, encoding: str) -> Iterator[bytes]:
    """The file in UTF-8, cut where a line ends: at a line break with an even number of quotes before it."""
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()
    left = b""
    with path.open("rb") as file:
        while chunk := file.read(BLOCK_BYTES):
            left += chunk if decoder is None else decoder.decode(chunk).encode()
            end = end_of_lines(left)
            # Quotes that never close are part of a value, as in 5": then every line break ends a line.
            end = left.rfind(b"\n") + 1 if not end and len(left) > MOST_BLOCK_BYTES else end
            if end:
                yield left[:end]
                left = left[end:]
    left += b"" if decoder is None else decoder.decode(b"", final=True).encode()
    if left.strip():
        yield left


def end_of_lines(block: bytes) -> int:
    """Where the last whole line ends; 0 if none does."""
    if b'"' not in block:
        return block.rfind(b"\n") + 1
    quotes, end = block.count(b'"'), len(block)
    while (end := block.rfind(b"\n", 0, end)) >= 0:
        before = quotes - block.count(b'"', end)
        if before % 2 == 0:
            return end + 1
    return 0


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


def sniff(path: Path, options: Options) -> tuple[Dialect, list[dict[str, str]]]:
    """How a file is written, by its first lines and by what is said of it."""
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
    refuse_repeated(names)
    return names


def refuse_repeated(names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        detail = f"Columns have the same name: {', '.join(map(repr, repeated[:5]))}."
        raise refused("repeated_column", detail, "Give each column a name of its own.")
    long = [name for name in names if len(name) > 200 or "\0" in name]
    if long:
        detail = f"The name of a column has {len(long[0])} characters, or a NUL: {long[0][:50]!r}..."
        raise refused("wrong_name", detail, "Names of columns have at most 200 characters.")


def wrong_encoding(path: Path, encoding: str) -> Exception:
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


def broken(path: Path, dialect: Dialect, message: str) -> Exception:
    """The row of another length, with its line; else what the parser said."""
    wanted = len(dialect.names)
    with path.open(encoding=dialect.encoding, newline="", errors="replace") as file:
        reader = csv.reader(file, delimiter=dialect.delimiter)
        try:
            for row in reader:
                if row and len(row) != wanted:
                    detail = f"Line {reader.line_num} has {len(row)} values, and there are {wanted} columns."
                    return refused(
                        "ragged_row", detail, "Give each row a value for each column; quote values with a comma."
                    )
        except csv.Error as error:
            return refused("broken_csv", f"Line {reader.line_num}: {error}.", "Correct the file.")
    if "Empty CSV" in message:
        return refused("no_rows", "It has no rows.", "Send at least two rows below the names of the columns.")
    return refused("broken_csv", f"The file could not be read as a CSV: {message[:300]}", "Correct the file.")
