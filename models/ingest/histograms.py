"""How many values of each column lie in each of twenty bins."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.ingest.gathered import Gathered

BINS = 20


class Histograms:
    """Of all columns of numbers that are not whole, at once: 20 columns one by one would take as long as parsing."""

    def __init__(self, stored: list[Gathered]) -> None:
        columns = [(c.kind == "number" and c.whole is None and c.moments) or None for c in stored]
        self._places = [place for place, moments in enumerate(columns) if moments]
        self._names = [stored[place].name for place in self._places]
        spreads = [(moments.low, moments.high) if moments else (0, 0) for moments in columns]
        lows, highs = np.array(spreads, np.float32).reshape(-1, 2).astype(np.float64).T
        widths = np.where(highs > lows, highs - lows, 1)
        # A float32 has no room for what lies between the largest ones, nor for the inverse of the smallest.
        self._dtype: Any = np.float32 if ((widths > 1e-30) & (widths < 1e30)).all() else np.float64
        self._lows = lows.astype(self._dtype)
        # A little less, so that the highest value is in the last bin. Of all other columns every row is in the first:
        # to count them too is quicker than to pick columns out of rows.
        scales = np.where([moments is not None for moments in columns], BINS * (1 - 1e-6) / widths, 0)
        self._scales = scales.astype(self._dtype)
        self._offsets = (np.arange(len(stored)) * (BINS + 1)).astype(np.int32)
        self._rows = np.zeros(len(stored) * (BINS + 1), np.int64)

    def see(self, chunk: NDArray[np.float32]) -> None:
        """`chunk`: [rows, columns]."""
        if not self._places:
            return
        places: NDArray[Any] = np.subtract(chunk, self._lows, dtype=self._dtype)
        places *= self._scales
        if np.isnan(places.sum()):
            # What is missing has one bin more.
            places[np.isnan(places)] = BINS
        bins = places.astype(np.int32)
        bins += self._offsets
        self._rows += np.bincount(bins.ravel(), minlength=len(self._rows))

    def counts(self) -> dict[str, NDArray[np.int64]]:
        """By column, the rows in each bin."""
        by_column = self._rows.reshape(-1, BINS + 1)[self._places, :BINS]
        return dict(zip(self._names, by_column, strict=True))
