"""The second pass over a table that was written: codes in the order of the sorted categories, medians, and counts."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from models.columns import Column
from models.ingest.gathered import Gathered, Moments
from models.ingest.histograms import BINS, Histograms

MOST_CHOSEN_CATEGORIES = 10_000
"""Of a column that is said to be a category."""
CHUNK_VALUES = 2**18
SAMPLE_VALUES = 2**21
"""Medians are those of evenly spaced rows, as many as go into so many values: of 20 columns 100 000 rows."""
FEW = 20
"""Whole numbers whose rows are counted one by one."""
MOST_COUNTS = 50


class Table:
    """The matrix as it was written, sorted and counted."""

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

    def _histogram(self, column: Column, moments: Moments, counts: NDArray[np.int64]) -> dict[str, Any]:
        spread = (moments.low, moments.high)
        if column.categories:
            counts, edges = np.histogram([int(name) for name in column.categories], BINS, spread, weights=counts)
        elif moments.high - moments.low <= BINS * moments.step:
            # The float32 between them are fewer than bins.
            return {"edges": list(spread), "rows": [int(counts.sum())]}
        else:
            edges = np.linspace(*spread, BINS + 1)
        return {"edges": edges.tolist(), "rows": counts.tolist()}

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
            shown["histogram"] = self._histogram(column, moments, counts)
        if column.categories and (column.kind != "number" or len(column.categories) <= FEW):
            most = np.argsort(-counts, kind="stable")[:MOST_COUNTS]
            shown["counts"] = [{"value": column.categories[i], "rows": int(counts[i])} for i in most]
        return shown
