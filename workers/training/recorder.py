"""Which steps are measured, and where measurements go: chunks for the database, summaries for each epoch."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.reports import Report, Sampled
from models.series import Chunk, Summary, summarise
from models.shapes import Architecture
from models.time_axis import time_axis
from workers.training.cadence import cadence
from workers.training.descent import Descent
from workers.training.hidden_layers import HiddenLayers
from workers.training.parameters import FlatParameters
from workers.training.parts import Batch
from workers.training.probe import Probe
from workers.training.ranks import ALONE, Ranks
from workers.training.state import State
from workers.training.statistics import CHUNK_SAMPLES, GradientStatistics
from workers.training.stopwatch import Stopwatch
from workers.training.time_gradients import TimeGradients

FLUSH_SECONDS = 2.0
"""A chunk that is not full waits no longer than this for the end of an epoch, so that a viewer sees a running job."""


class Step:
    """A step that is not sampled: nothing is measured. `Sample` is one that is."""

    def watching(self) -> AbstractContextManager[None]:
        """Around forward and backward."""
        return NOTHING

    def before_clipping(self) -> None: ...
    def after_clipping(self) -> None: ...
    def after_step(self, batches: list[Batch]) -> None: ...


NOTHING: AbstractContextManager[None] = nullcontext()
UNSAMPLED = Step()


class Recorder:
    """The statistics of one run of a job."""

    def __init__(
        self,
        network: nn.Module,
        parameters: FlatParameters,
        architecture: Architecture,
        steps: int,
        every_steps: int | Literal["auto"],
        report: Callable[[Report], None],
        stopwatch: Stopwatch,
        descent: Descent,
        probe: Probe | None = None,
        is_open: bool = False,
        first_step: int = 0,
        hidden_layers: bool = True,
        over_time: bool = True,
        clips_values: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        """`first_step`: steps that the job took before this run, which the steps reported count on from.
        `clips_values`: whether gradients are clipped value by value."""
        self.statistics = GradientStatistics(parameters, keeps_gradients=clips_values)
        self.descent, self.probe = descent, probe
        hidden_layers = hidden_layers and bool(architecture.hidden)
        self.hidden_layers = HiddenLayers(network, architecture, ranks) if hidden_layers else None
        axis = time_axis(architecture) if over_time else None
        self.time_gradients = TimeGradients(network, axis.time_steps, ranks) if axis else None
        self.stopwatch = stopwatch
        self._first_step = first_step
        self._cadence = cadence(steps, every_steps, is_open)
        self._time_every = 1 if is_open or axis is None else max(1, steps // axis.samples)
        """Steps between two samples over time."""
        self._time_taken_at = -self._time_every
        self._tensors = Collected("tensors", report)
        self._layers = Collected("layers", report)
        self._time = Collected("time", report)
        self._of_steps = Collected("steps", report)
        self._epoch: list[NDArray[np.float32]] = []
        """What was sampled in the epoch under way."""
        self._flushed_at = time.monotonic()

    def step(self, step: int) -> Step:
        """The measurements of a step of the job: none, or all."""
        own = step - self._first_step
        if not self._cadence.takes(own):
            return UNSAMPLED
        over_time = self.time_gradients is not None and own - self._time_taken_at >= self._time_every
        self._time_taken_at = own if over_time else self._time_taken_at
        return Sample(self, step, over_time)

    def keep(self, step: int, of_step: Tensor, hidden: Tensor | None, over_time: Tensor | None) -> None:
        """Takes what a sample measured besides the tensors."""
        self._of_steps.add(step, of_step.view(-1, 1))
        if hidden is not None:
            self._layers.add(step, hidden)
        if over_time is not None:
            self._time.add(step, over_time.view(1, -1))
        if len(self.statistics) >= CHUNK_SAMPLES:
            self._take()

    def end_epoch(self) -> Summary | None:
        """Of the epoch's samples, if there are any."""
        with self.stopwatch("statistics"):
            self._take()
            values, self._epoch = self._epoch, []
            if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
                self._flush()
            return summarise(self.statistics.names, np.concatenate(values)) if values else None

    def finish(self) -> None:
        """Reports what is left at the end of the run."""
        self._take()
        self._flush()

    def pending(self) -> dict[str, Chunk]:
        """What was sampled and is not reported yet, by series. It stays as it is."""
        waiting = {collected.series: collected.chunk() for collected in self._collected}
        if len(self.statistics):
            waiting["tensors"] = joined(waiting["tensors"], self.statistics.chunk())
        return {series: chunk for series, chunk in waiting.items() if chunk is not None}

    def state(self) -> State:
        """Reports what was sampled so far: no chunk reaches across a checkpoint."""
        self.finish()
        sampled = torch.from_numpy(np.concatenate(self._epoch)) if self._epoch else None
        return {"time_taken_at": self._time_taken_at, "epoch": sampled}

    def restore(self, state: State) -> None:
        self._time_taken_at = state["time_taken_at"]
        self._epoch = [] if state["epoch"] is None else [state["epoch"].numpy()]

    @property
    def _collected(self) -> tuple["Collected", ...]:
        return self._tensors, self._layers, self._time, self._of_steps

    def _flush(self) -> None:
        for collected in self._collected:
            collected.flush()
        self._flushed_at = time.monotonic()

    def _take(self) -> None:
        """Moves samples from the device to the host."""
        if len(self.statistics):
            chunk = self.statistics.take()
            self._tensors.extend(chunk.steps, chunk.values)
            self._epoch.append(chunk.values)


class Sample(Step):
    """A sampled step."""

    def __init__(self, recorder: Recorder, step: int, over_time: bool) -> None:
        self._recorder = recorder
        self._step = step
        self._time = recorder.time_gradients if over_time else None
        self._over_time: Tensor | None = None
        self._dead: Tensor | None = None

    def watching(self) -> AbstractContextManager[None]:
        recorder = self._recorder
        watched = [watch.watching() for watch in (recorder.hidden_layers, self._time, recorder.descent) if watch]
        return _together(watched, recorder.stopwatch)

    def before_clipping(self) -> None:
        with self._recorder.stopwatch("statistics"):
            self._recorder.statistics.before_clipping()
            # Not after the step: both are of the weights of the pass.
            self._over_time = self._time.take() if self._time else None
            self._dead = self._recorder.probe.dead() if self._recorder.probe else None

    def after_clipping(self) -> None:
        with self._recorder.stopwatch("statistics"):
            self._recorder.statistics.after_clipping()

    def after_step(self, batches: list[Batch]) -> None:
        recorder = self._recorder
        with recorder.stopwatch("statistics"):
            descent = recorder.descent.take(batches, recorder.statistics.promised())
            recorder.statistics.after_step(self._step)
            # Last, for it overwrites the gradients.
            gradient = recorder.probe.gradient_norm() if recorder.probe else torch.full_like(descent[0], torch.nan)
            hidden = recorder.hidden_layers.take(self._dead) if recorder.hidden_layers else None
            recorder.keep(self._step, torch.cat([descent, gradient[None]]), hidden, self._over_time)


@contextmanager
def _together(watched: Sequence[AbstractContextManager[None]], stopwatch: Stopwatch) -> Iterator[None]:
    with ExitStack() as stack:
        with stopwatch("statistics"):
            for watching in watched:
                stack.enter_context(watching)
        yield


def joined(first: Chunk | None, then: Chunk) -> Chunk:
    """The samples of two chunks of a series."""
    if first is None:
        return then
    return Chunk(np.concatenate([first.steps, then.steps]), np.concatenate([first.values, then.values]))


class Collected:
    """Samples of one series that wait for a chunk to be full, those of a device there."""

    def __init__(self, series: str, report: Callable[[Report], None]) -> None:
        self.series = series
        self._report = report
        self._steps: list[int] = []
        self._values: list[NDArray[np.float32]] = []
        self._waiting: list[Tensor] = []

    def add(self, step: int, values: Tensor) -> None:
        """One sample, float64 [statistics, columns]."""
        self._steps.append(step)
        self._waiting.append(values)
        self._flush_if_full()

    def extend(self, steps: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Samples that are on the host already, [samples, statistics, columns]."""
        self._steps += steps.tolist()
        self._values.append(values)
        self._flush_if_full()

    def flush(self) -> None:
        if chunk := self.chunk():
            steps = chunk.steps
            self._report(Sampled(int(steps[0]), int(steps[-1]), len(steps), chunk.encode(), self.series))
            self._steps, self._values, self._waiting = [], [], []

    def chunk(self) -> Chunk | None:
        """What waits, in one transfer; None if nothing does."""
        if not self._steps:
            return None
        values = list(self._values)
        if self._waiting:
            with np.errstate(over="ignore"):
                values.append(torch.stack(self._waiting).cpu().numpy().astype(np.float32))
        return Chunk(np.array(self._steps, np.int64), np.concatenate(values))

    def _flush_if_full(self) -> None:
        if len(self._steps) >= CHUNK_SAMPLES:
            self.flush()
