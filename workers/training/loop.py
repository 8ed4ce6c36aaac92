"""The loop, in the order a teacher tells it: batch, forward, backward, measure, step; after each epoch, validate."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from models.catalogue import DataShape
from models.definitions.training import Training
from models.reports import EpochEnded, FirstStep, Progress, Report
from workers.training.data import Prepared
from workers.training.losses import Loss
from workers.training.metrics import meter, skill
from workers.training.recorder import Recorder
from workers.training.stopwatch import Stopwatch

EVALUATION_ROWS = 256
"""Rows at once when validating, or the batch size if that is larger."""
PROGRESS_SECONDS = 0.5


@dataclass
class Loop:
    """Trains a network and reports each epoch."""

    training: Training
    data: Prepared
    shape: DataShape
    network: nn.Module
    loss: Loss
    optimizer: Optimizer
    recorder: Recorder
    constants: dict[str, float]
    """Loss of the best constant predictor, for `training` and `validation`."""
    report: Callable[[Report], None]
    cancelled: Callable[[], bool]
    stopwatch: Stopwatch
    step: int = 0
    """Optimizer steps taken."""
    best: float = math.inf
    order: torch.Generator = field(init=False)
    """Draws the order of the rows, and nothing else."""
    progress_at: float = 0.0

    def __post_init__(self) -> None:
        self.order = torch.Generator().manual_seed(self.training.seed)

    def run(self) -> str:
        """Trains to the end of the budget (`succeeded`), or until `cancelled`."""
        outcome = self.run_epochs()
        self.recorder.finish()
        return outcome

    def run_epochs(self) -> str:
        for epoch in range(1, self.training.epochs + 1):
            started = time.perf_counter()
            with self.stopwatch("training"):
                metrics = self.train_epoch()
            if metrics is None:
                return "cancelled"
            with self.stopwatch("evaluating"):
                metrics |= self.validate()
            self._report_epoch(epoch, metrics, time.perf_counter() - started)
        return "succeeded"

    def train_epoch(self) -> dict[str, float | None] | None:
        """One pass over the training rows, or None if the job was cancelled on the way."""
        self.network.train()
        part = self.data.training
        total = torch.zeros((), dtype=torch.float64, device=part.x.device)
        trained = 0
        classified = meter(self.shape, self.data.target, part.x.device) if self.shape.classes else None
        for batch in self.batches():
            x, y = part.x.index_select(0, batch), part.y.index_select(0, batch)
            outputs = self.network(x)
            loss = self.loss(outputs, y)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            with self.recorder.measuring(self.step):
                self.optimizer.step()
            self._stepped()
            total += loss.detach().double() * len(batch)
            trained += len(batch)
            if classified:
                classified.add(outputs, y)
            if self.cancelled():
                return None
        train_loss = float(total) / trained if trained else math.nan
        accuracy = {"train_accuracy": classified.metrics()["accuracy"]} if classified else {}
        return {"train_loss": train_loss, **accuracy, "skill": skill(train_loss, self.constants["training"])}

    def batches(self) -> Iterator[Tensor]:
        """The rows of each step of an epoch: a seeded permutation, cut."""
        part, size = self.data.training, self.training.batch_size
        rows = torch.randperm(len(part), generator=self.order).to(part.x.device)
        return iter(torch.split(rows, size)[: steps_per_epoch(self.network, len(part), size)])

    @torch.inference_mode()
    def validate(self) -> dict[str, float | None]:
        """Loss and metrics on the validation rows; empty if there are none."""
        part = self.data.validation
        if part is None:
            return {}
        self.network.eval()
        total = torch.zeros((), dtype=torch.float64, device=part.x.device)
        judged = meter(self.shape, self.data.target, part.x.device)
        size = max(EVALUATION_ROWS, self.training.batch_size)
        for x, y in zip(torch.split(part.x, size), torch.split(part.y, size), strict=True):
            outputs = self.network(x)
            total += self.loss(outputs, y).double() * len(x)
            judged.add(outputs, y)
        loss = float(total) / len(part)
        metrics = {f"validation_{name}": value for name, value in judged.metrics().items()}
        return {"validation_loss": loss, **metrics, "validation_skill": skill(loss, self.constants["validation"])}

    def _stepped(self) -> None:
        self.step += 1
        now = time.monotonic()
        if self.step == 1:
            self.report(FirstStep(now))
        elif now - self.progress_at > PROGRESS_SECONDS:
            self.report(Progress(self.step))
        else:
            return
        self.progress_at = now

    def _report_epoch(self, epoch: int, metrics: dict[str, float | None], seconds: float) -> None:
        watched = metrics.get("validation_loss", metrics["train_loss"])
        is_best = watched is not None and watched < self.best
        self.best = watched if is_best and watched is not None else self.best
        self.report(EpochEnded(epoch, self.step, metrics, is_best, seconds, self.recorder.end_epoch()))


def steps_per_epoch(network: nn.Module, rows: int, batch_size: int) -> int:
    """All batches count, the last and smaller one too, unless it has one row and the network has batch norm."""
    full, rest = divmod(rows, batch_size)
    normalises_batches = any(isinstance(module, _BatchNorm) for module in network.modules())
    return full + (rest > (1 if normalises_batches else 0))
