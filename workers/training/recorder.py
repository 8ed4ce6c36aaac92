"""Which steps are measured, and where measurements go: chunks for the database, summaries for each epoch."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from torch import nn

from models.reports import Report, Sampled
from models.series import QUANTILES, STATISTICS, Chunk, summarise
from workers.training.cadence import cadence
from workers.training.statistics import CHUNK_SAMPLES, GradientStatistics
from workers.training.stopwatch import Stopwatch

FLUSH_SECONDS = 2.0
"""A chunk that is not full waits no longer than this for the end of an epoch, so that a viewer sees a running job."""


class Recorder:
    """The gradient statistics of a job."""

    def __init__(
        self,
        network: nn.Module,
        steps: int,
        every_steps: int | Literal["auto"],
        report: Callable[[Report], None],
        stopwatch: Stopwatch,
    ) -> None:
        self._statistics = GradientStatistics(network)
        self._cadence = cadence(steps, every_steps)
        self._report = report
        self._stopwatch = stopwatch
        self._pending: list[Chunk] = []
        self._epoch: list[Chunk] = []
        self._flushed_at = time.monotonic()

    @contextmanager
    def measuring(self, step: int) -> Iterator[None]:
        """Around the optimizer's step: measures it if it is one of those to sample."""
        if not self._cadence.takes(step):
            yield
            return
        with self._stopwatch("statistics"):
            self._statistics.before_step()
        yield
        with self._stopwatch("statistics"):
            self._statistics.after_step(step)
            if len(self._statistics) >= CHUNK_SAMPLES:
                self._take()

    def end_epoch(self) -> list[dict[str, Any]]:
        """The epoch's rows of `layer_summaries`, one for each tensor; none if no step of it was sampled."""
        with self._stopwatch("statistics"):
            self._take()
            chunks, self._epoch = self._epoch, []
            if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
                self._flush()
            return self._summaries(np.concatenate([chunk.values for chunk in chunks])) if chunks else []

    def finish(self) -> None:
        """Reports what is left at the end of the job."""
        self._take()
        self._flush()

    def _flush(self) -> None:
        if self._pending:
            steps = np.concatenate([chunk.steps for chunk in self._pending])
            values = np.concatenate([chunk.values for chunk in self._pending])
            self._report(Sampled(int(steps[0]), int(steps[-1]), len(steps), Chunk(steps, values).encode()))
        self._pending, self._flushed_at = [], time.monotonic()

    def _take(self) -> None:
        """Moves samples from the device to the host."""
        if len(self._statistics):
            chunk = self._statistics.take()
            self._pending.append(chunk)
            self._epoch.append(chunk)
        if sum(len(chunk.steps) for chunk in self._pending) >= CHUNK_SAMPLES:
            self._flush()

    def _summaries(self, values: Any) -> list[dict[str, Any]]:
        quantiles = summarise(values)
        return [
            {"tensor_index": index, "layer": name.split(".")[0], "tensor": name, "samples": len(values)}
            | {
                f"{statistic}_{quantile}": float(quantiles[q, s, index])
                for s, statistic in enumerate(STATISTICS)
                for q, quantile in enumerate(QUANTILES)
            }
            for index, name in enumerate(self._statistics.names)
        ]
