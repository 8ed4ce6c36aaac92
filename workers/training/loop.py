"""The loop, as a teacher tells it: rate, batch, step (`workers/training/step.py`); after each epoch, validate."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor, nn

from models.catalogue import DataShape
from models.definitions.training import Training
from models.reports import EpochEnded, FirstStep, Progress, Report
from workers.training.best import Best
from workers.training.data import Prepared
from workers.training.losses import Loss
from workers.training.metrics import MeanLoss, meter, skill
from workers.training.optimizers import Optimizer
from workers.training.parts import Batch
from workers.training.ranks import ALONE, Ranks
from workers.training.recorder import Recorder
from workers.training.schedules import Schedule
from workers.training.step import StepFunction
from workers.training.stopper import Stopper
from workers.training.stopwatch import Stopwatch

EVALUATION_ROWS = 256
"""Rows at once when validating, or the batch size if that is larger."""
PROGRESS_SECONDS = 0.5


@dataclass
class Place:
    """How far a job is, over all its runs."""

    step: int = 0
    """Optimizer steps taken, those of pre-training too."""
    epoch: int = 0
    """Epochs completed."""
    run: int = 0
    """Which restart, from 0."""
    reported_at: float = 0.0

    def take_step(self, report: Callable[[Report], None]) -> None:
        """Counts an optimizer step; the first is reported, and then how far it is, now and then."""
        self.step += 1
        now = time.monotonic()
        if self.step == 1:
            report(FirstStep(now))
        elif now - self.reported_at > PROGRESS_SECONDS:
            report(Progress(self.step))
        else:
            return
        self.reported_at = now


@dataclass
class Loop:
    """Trains a network and reports each epoch. One run of a job."""

    training: Training
    data: Prepared
    shape: DataShape
    network: nn.Module
    loss: Loss
    optimizer: Optimizer
    step: StepFunction
    schedule: Schedule
    recorder: Recorder
    stopper: Stopper
    best: Best
    constants: dict[str, float]
    """Loss of the best constant predictor, for `training` and `validation`."""
    epochs: int
    steps: int
    """Of this run, at most."""
    batches: int
    """Of an epoch."""
    autocast: Callable[[], AbstractContextManager[None]]
    """Around the forward pass: in which precision it computes."""
    seed: int
    place: Place
    report: Callable[[Report], None]
    cancelled: Callable[[], bool]
    stopwatch: Stopwatch
    ranks: Ranks = ALONE
    order: torch.Generator = field(init=False)
    """Draws the order of the rows, and nothing else."""
    taken: int = 0
    """Optimizer steps of this run."""

    def __post_init__(self) -> None:
        self.order = torch.Generator().manual_seed(self.seed)

    def run(self) -> str | None:
        """Trains until the budget is used up or something stops it: gives what did, None for all epochs."""
        stopped = self.run_epochs()
        self.recorder.finish()
        return stopped

    def run_epochs(self) -> str | None:
        for _ in range(self.epochs):
            started = time.perf_counter()
            with self.stopwatch("training"):
                metrics = self.train_epoch()
            if metrics is None:
                return "cancelled"
            with self.stopwatch("evaluating"):
                metrics = self.ranks.agreed(metrics | self.validate())
            self._end_epoch(metrics, time.perf_counter() - started)
            if reason := self.stopper.after_epoch(metrics, self.taken):
                return reason
        return None

    def train_epoch(self) -> dict[str, float | None] | None:
        """One pass over the training rows, or None if the job was cancelled on the way."""
        self.network.train()
        device = self.data.training.device
        mean = MeanLoss(device, self.ranks)
        judged = meter(self.shape, self.data.target, device, self.ranks) if self.shape.classes else None

        def see(outputs: Tensor, loss: Tensor, y: Tensor) -> None:
            mean.add(loss, len(y))
            if judged:
                judged.add(outputs, y)

        for batches in self.steps_of_epoch():
            self.optimizer.rate = self.schedule.rate(self.taken)
            self.step(batches, self.recorder.step(self.place.step), see)
            self.taken += 1
            self.place.take_step(self.report)
            if self.cancelled():
                return None
            if self.stopper.out_of_budget(self.taken):
                break
        train_loss = mean.mean()
        accuracy = {"train_accuracy": judged.metrics()["accuracy"]} if judged and train_loss is not None else {}
        learned = None if train_loss is None else skill(train_loss, self.constants["training"])
        return {"train_loss": train_loss, **accuracy, "skill": learned, "learning_rate": self.optimizer.rate}

    def steps_of_epoch(self) -> Iterator[list[Batch]]:
        """The batches of each step: a seeded permutation of the rows, cut."""
        part, size = self.data.training, self.training.batch_size
        order = torch.randperm(len(part), generator=self.order)
        batches = self.ranks.batches(part, order, size, self.batches)
        while step := list(islice(batches, self.training.accumulate)):
            yield step

    @torch.inference_mode()
    def validate(self) -> dict[str, float | None]:
        """Loss and metrics on the validation rows; empty if there are none."""
        part = self.data.validation
        if part is None:
            return {}
        self.network.eval()
        mean = MeanLoss(part.device, self.ranks)
        judged = meter(self.shape, self.data.target, part.device, self.ranks)
        size = max(EVALUATION_ROWS, self.training.batch_size)
        for x, y in self.ranks.in_order(part, size):
            with self.autocast():
                outputs = self.network(x)
            mean.add(self.loss(outputs, y), self.loss.weight(y))
            judged.add(outputs, y)
        loss = mean.mean()
        assert loss is not None
        metrics = {f"validation_{name}": value for name, value in judged.metrics().items()}
        return {"validation_loss": loss, **metrics, "validation_skill": skill(loss, self.constants["validation"])}

    def _end_epoch(self, metrics: dict[str, float | None], seconds: float) -> None:
        self.place.epoch += 1
        watched = metrics.get("validation_loss", metrics["train_loss"])
        if watched is not None:
            self.schedule.end_epoch(watched)
        is_best = self.best.see(watched, self.network, {"epoch": self.place.epoch, **metrics})
        place = self.place
        summary = self.recorder.end_epoch()
        self.report(EpochEnded(place.epoch, place.step, metrics, is_best, seconds, summary, place.run))
