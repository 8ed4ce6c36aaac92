"""Reads `x` and `y` of an NPZ, in chunks. What a header claims is checked before anything is read; no pickle is."""

import math
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from models.definitions.uploaded import Uploaded
from models.ingest.archive import Archive, exactly
from models.ingest.array_file import ArrayFile
from models.ingest.options import Options
from models.ingest.refusal import refused

CHUNK_BYTES = 2**22
MOST_CLASSES = 10_000
MOST_TOKENS = 2**31
HEADER_ERRORS = (ValueError, TypeError, EOFError, OverflowError, RecursionError, SyntaxError, TokenError)
"""Of a header, which NumPy reads as a literal of Python."""
NUMBERS = "biuf"
"""Kinds of dtypes: booleans, whole numbers and floats."""


class ArrayMember:
    """One array of an NPZ, as its header describes it."""

    def __init__(self, archive: Archive, name: str) -> None:
        self.name = name
        self._entry = archive.entry(f"{name}.npy")
        self._archive = archive
        with archive.opened(self._entry) as file:
            self.shape, self.dtype = self._header(file)
            claimed = math.prod(self.shape) * self.dtype.itemsize
            held = self._entry.file_size - file.tell()
        if claimed != held:
            detail = f"The header of `{name}` claims {claimed:,} bytes, and the file holds {held:,}."
            raise refused("wrong_header", detail, "Write it with numpy.savez.")
        if 0 in self.shape or not self.shape:
            raise refused(
                "no_rows", f"`{name}` has no rows: its shape is {list(self.shape)}.", "Send at least two rows."
            )

    def _header(self, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
        hint = "Write it with numpy.savez, from arrays of numbers."
        try:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran_order, dtype = read(file)
        except HEADER_ERRORS:
            # NumPy's own words are about syntax trees and pickles.
            detail = f"`{self.name}` has no proper header: an array file says its type, order and shape in it."
            raise refused("wrong_header", detail, hint) from None
        if dtype.hasobject or dtype.kind not in NUMBERS:
            detail = f"`{self.name}` is an array of {dtype}, and not of numbers."
            raise refused("not_numbers", detail, hint)
        if fortran_order and len(shape) > 1:
            detail = f"`{self.name}` is in Fortran's order."
            raise refused("fortran_order", detail, "Write it with numpy.ascontiguousarray.")
        return shape, dtype

    def chunks(self) -> Iterator[NDArray[Any]]:
        """All rows, some at a time."""
        row_shape = self.shape[1:]
        row_bytes = math.prod(row_shape) * self.dtype.itemsize
        if row_bytes > 2**28:
            raise refused("large_row", f"A row of `{self.name}` has {row_bytes:,} bytes.", "Make rows smaller.")
        at_once = max(1, CHUNK_BYTES // row_bytes)
        with self._archive.opened(self._entry) as file:
            self._header(file)
            for start in range(0, self.shape[0], at_once):
                rows = min(at_once, self.shape[0] - start)
                content = exactly(file, rows * row_bytes)
                yield np.frombuffer(content, self.dtype).reshape(rows, *row_shape)


def read_npz(path: Path, options: Options, folder: Path, most_bytes: int) -> tuple[Uploaded, dict[str, Any]]:
    """Writes `x.npy` and `y.npy` into a folder.

    Raises:
        InvalidDataset
    """
    with Archive(path, most_bytes) as archive:
        missing = [name for name in ("x", "y") if f"{name}.npy" not in archive.names]
        if missing:
            found = ", ".join(sorted(archive.names)[:10])
            detail = f"It has no array {' and no array '.join(f'`{name}`' for name in missing)}; it has {found}."
            raise refused("missing_array", detail, "Write it with numpy.savez(file, x=..., y=...).")
        x, y = ArrayMember(archive, "x"), ArrayMember(archive, "y")
        if x.shape[0] != y.shape[0]:
            detail = f"`x` has {x.shape[0]:,} rows and `y` has {y.shape[0]:,}."
            raise refused("unequal_rows", detail, "Give each row of `x` its target in `y`.")
        kind = kind_of(x, options)
        facts = _write_x(x, kind, folder / "x.npy")
        per_step = _per_step(x, y, kind)
        targets = _write_y(y, options, per_step, folder / "y.npy")
    vocabulary = _vocabulary(kind, facts, options)
    shape = x.shape[1:] if len(x.shape) > 1 else (1,)
    uploaded = Uploaded(
        kind=kind, rows=x.shape[0], input_shape=shape, per_step=per_step, vocabulary=vocabulary, **targets["known"]
    )
    return uploaded, {"warnings": facts["warnings"], "columns": [facts["statistics"], targets["statistics"]]}


def kind_of(x: ArrayMember, options: Options) -> Any:
    dimensions, is_whole = len(x.shape) - 1, x.dtype.kind in "iu"
    if options.layout == "channels_length":
        if dimensions != 2:
            detail = f"Signals are [rows, channels, length], and `x` is {list(x.shape)}."
            raise refused("wrong_layout", detail, "Leave `layout` out.", "/layout")
        return "signal"
    if dimensions == 1 and is_whole:
        return "tokens"
    kinds = {0: "table", 1: "table", 2: "sequence", 3: "image"}
    if dimensions not in kinds:
        detail = f"`x` has {dimensions + 1} dimensions: {list(x.shape)}."
        hint = "Rows are [features], [time, features], [channels, height, width], or [time] of whole numbers."
        raise refused("wrong_layout", detail, hint)
    return kinds[dimensions]


def _write_x(x: ArrayMember, kind: str, path: Path) -> dict[str, Any]:
    """Tokens as int64, bytes of images as they are, all else as float32."""
    is_bytes = x.dtype == np.uint8 and kind == "image"
    dtype: Any = np.int64 if kind == "tokens" else np.uint8 if is_bytes else np.float32
    row_shape = x.shape[1:] or (1,)
    strange, low, high, total = 0, math.inf, -math.inf, 0.0
    with ArrayFile(path, row_shape, dtype) as file:
        for chunk in x.chunks():
            with np.errstate(over="ignore"):
                values = chunk.reshape(len(chunk), *row_shape).astype(dtype)
            if kind == "tokens" and int(chunk.max()) >= MOST_TOKENS:
                raise refused("large_token", f"`x` has the token {int(chunk.max())}.", "Number tokens from 0.")
            file.append(values)
            finite = np.isfinite(values)
            strange += int(values.size - finite.sum())
            if finite.any():
                known = values if finite.all() else values[finite]
                low, high = min(low, float(known.min())), max(high, float(known.max()))
                total += float(known.sum(dtype=np.float64))
    if kind == "tokens" and low < 0:
        detail = f"Tokens are whole numbers from 0, and `x` has {low:.0f}."
        raise refused("negative_token", detail, "Send features as floats, or count tokens from 0.")
    count = max(math.prod(x.shape) - strange, 1)
    warnings = []
    if strange:
        detail = f"`x` has {strange:,} values that are NaN or infinite; a job will report them as non-finite inputs."
        warnings.append({"code": "nonfinite_features", "detail": detail, "pointer": "/file"})
    known_range = {"min": low, "max": high, "mean": total / count} if low <= high else {}
    return {"warnings": warnings, "high": high, "statistics": {"name": "x", "missing": strange, **known_range}}


def _vocabulary(kind: str, facts: dict[str, Any], options: Options) -> int:
    if kind != "tokens":
        return 0
    needed = int(facts["high"]) + 1
    if options.vocabulary is not None and options.vocabulary < needed:
        detail = f"`vocabulary` is {options.vocabulary}, and `x` has the token {needed - 1}."
        raise refused("small_vocabulary", detail, f"Write at least {needed}, or leave it out.", "/vocabulary")
    return options.vocabulary or needed


def _per_step(x: ArrayMember, y: ArrayMember, kind: str) -> bool:
    if len(y.shape) == 1 or (len(y.shape) == 2 and y.shape[1] == 1):
        return False
    if kind in ("sequence", "tokens") and len(y.shape) in (2, 3) and y.shape[1] == x.shape[1]:
        return True
    if len(y.shape) == 2 and y.dtype.kind == "f":
        return False
    detail = f"`y` has the shape {list(y.shape)}, and `x` {list(x.shape)}."
    hint = "`y` is [rows], [rows, outputs] for several numbers, or [rows, time] for a target at each step."
    raise refused("wrong_targets", detail, hint)


def _write_y(y: ArrayMember, options: Options, per_step: bool, path: Path) -> dict[str, Any]:
    task = options.task or ("regression" if y.dtype.kind == "f" else "classification")
    if task == "regression":
        return _write_numbers(y, per_step, path)
    return _write_classes(y, per_step, path)


def _write_numbers(y: ArrayMember, per_step: bool, path: Path) -> dict[str, Any]:
    steps = y.shape[1:2] if per_step else ()
    outputs = math.prod(y.shape[1 + len(steps) :])
    done, low, high, total = 0, math.inf, -math.inf, 0.0
    with ArrayFile(path, (*steps, outputs), np.float32) as file:
        for chunk in y.chunks():
            with np.errstate(over="ignore"):
                values = chunk.astype(np.float32)
            _refuse_nan(values, done)
            file.append(values.reshape(len(values), *steps, outputs))
            done += len(values)
            low, high = min(low, float(values.min())), max(high, float(values.max()))
            total += float(values.sum(dtype=np.float64))
    moments = {"min": low, "max": high, "mean": total / math.prod(y.shape)}
    known = {"task": "regression", "outputs": outputs}
    return {"known": known, "statistics": {"name": "y", "missing": 0, **moments}}


def _write_classes(y: ArrayMember, per_step: bool, path: Path) -> dict[str, Any]:
    """Classes are numbered in ascending order of what `y` has; their names are those numbers."""
    counts: dict[int, int] = {}
    done = 0
    for chunk in y.chunks():
        _refuse_nan(chunk, done)
        done += len(chunk)
        if (chunk != np.rint(chunk)).any():
            detail = "`y` has numbers with parts: they are no classes."
            raise refused("wrong_task", detail, "Send task=regression, or whole numbers.", "/task")
        for value, count in zip(*(part.tolist() for part in np.unique(chunk, return_counts=True)), strict=True):
            counts[int(value)] = counts.get(int(value), 0) + count
        if len(counts) > MOST_CLASSES:
            detail = f"`y` has more than {MOST_CLASSES:,} different values: too many for classes."
            raise refused("too_many_classes", detail, "Send task=regression, or `y` as floats.", "/task")
    names = sorted(counts)
    if len(names) == 1:
        raise refused("one_class", f"All rows are of one class, {names[0]}.", "There is nothing to learn from.")
    with ArrayFile(path, y.shape[1:2] if per_step else (), np.int64) as file:
        for chunk in y.chunks():
            values = chunk.reshape(len(chunk), *(y.shape[1:2] if per_step else ()))
            file.append(np.searchsorted(np.array(names).astype(chunk.dtype), values))
    known = {"task": "classification", "outputs": len(names), "classes": tuple(map(str, names))}
    shown = [{"value": str(name), "rows": counts[name]} for name in names[:1000]]
    return {"known": known, "statistics": {"name": "y", "missing": 0, "counts": shown}}


def _refuse_nan(values: NDArray[Any], done: int) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = done + int(np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))[0])
        detail = f"The target of row {row} is NaN or infinite."
        raise refused("nonfinite_target", detail, "Leave out rows without a target.")
