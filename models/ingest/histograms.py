"""How many values of each column lie in each of twenty bins."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.ingest.gathered import Gathered

BINS = 20


class Histograms:
    """Of all columns of numbers that are not whole, at once: 20 columns one by one would take as long as parsing."""

    def __init__(self, stored: list[Gathered]) -> None:
        numbers = [(place, c) for place, c in enumerate(stored) if c.kind == "number" and c.whole is None and c.moments]
        self._places = [place for place, _ in numbers]
        self._names = [column.name for _, column in numbers]
        known = [column.moments for _, column in numbers if column.moments]
        lows, highs = (np.array([(m.low, m.high) for m in known], np.float32).reshape(-1, 2).astype(np.float64)).T
        widths = np.where(highs > lows, highs - lows, 1)
        # A float32 has no room for what lies between the largest ones, nor for the inverse of the smallest.
        self._dtype: Any = np.float32 if ((widths > 1e-30) & (widths < 1e30)).all() else np.float64
        self._lows = lows.astype(self._dtype)
        # A little less, so that the highest value is in the last bin.
        self._scales = (BINS * (1 - 1e-6) / widths).astype(self._dtype)
        self._offsets = np.arange(len(known)) * (BINS + 1)
        self._rows = np.zeros(len(numbers) * (BINS + 1), np.int64)

    def see(self, chunk: NDArray[np.float32]) -> None:
        if not self._places:
            return
        places: NDArray[Any] = chunk[:, self._places].astype(self._dtype, copy=False)
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
