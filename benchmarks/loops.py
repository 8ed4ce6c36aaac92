"""The two loops that everything is measured against each other with: the engine's own, and the bare one.

'Bare' is what a good engineer writes by hand: the network in plain modules, data as tensors, `index_select` of a
permutation, the default `torch.optim.Adam`, no validation, no logging. Both draw the same weights and the same order.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.workloads import SEED, Workload
from models.definitions.job import JobDefinition
from models.losses import loss_name, with_logits
from models.shapes import trace
from workers.training.data import Prepared
from workers.training.job import Trainer
from workers.training.losses import build_loss
from workers.training.parts import Resident
from workers.training.precision import autocast_of
from workers.training.scale import target_scale
from workers.training.stopwatch import Stopwatch

CPU = torch.device("cpu")


def trainer_of(definition: JobDefinition, workload: Workload, device: torch.device = CPU) -> Trainer:
    """The engine's trainer as `Trainer.prepare` makes it, with the workload's rows for data."""
    training = definition.training
    rows = Resident(x=workload.x.to(device), y=workload.y.to(device))
    name = loss_name(training, workload.shape)
    shape = with_logits(workload.shape, name)
    return Trainer(
        definition,
        shape,
        trace(definition.network, shape),
        Prepared(rows, None, target_scale(None, device)),
        build_loss(training, name, rows.y, len(shape.classes)),
        device,
        autocast_of(training.precision, device),
        report=lambda report: None,
        asked=lambda: None,
        stopwatch=Stopwatch(),
    )


class Loop:
    """A contender that trains on one more turn whenever it is asked to."""

    network: nn.Module

    def __init__(self, workload: Workload, device: torch.device = CPU) -> None:
        self.workload = workload
        self.device = device
        self.epochs = 0

    def epoch(self) -> None:
        raise NotImplementedError

    def turn(self) -> float:
        """Seconds an epoch."""
        count = self.workload.epochs_a_turn
        self.epochs += count
        assert self.epochs < self.workload.epochs, "after its last epoch a job does nothing"
        started = self.now()
        for _ in range(count):
            self.epoch()
        return (self.now() - started) / count

    def now(self) -> float:
        """When all that was asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


class Ours(Loop):
    """The engine, with the statistics and the summaries of each epoch."""

    def __init__(
        self,
        workload: Workload,
        gradients: dict[str, Any] | None = None,
        device: torch.device = CPU,
        captures: bool | None = None,
        **training: Any,
    ) -> None:
        """`captures`: whether a step becomes a CUDA graph where it can; None: as a job would have it."""
        super().__init__(workload, device)
        definition = workload.definition(gradients, **training)
        trainer = trainer_of(definition, workload, device)
        torch.manual_seed(SEED)
        self.network = trainer.network = trainer.build_network()
        self.loop = trainer.loop(SEED, captures)

    def epoch(self) -> None:
        self.loop.train_epoch()
        self.loop.recorder.end_epoch()


class Bare(Loop):
    """The loop by hand. `measure`, where one is given, sees each gradient before the step."""

    def __init__(
        self,
        workload: Workload,
        device: torch.device = CPU,
        precision: str = "float32",
        measure: Callable[[nn.Module, Tensor], None] | None = None,
        **options: Any,
    ) -> None:
        """`options` of Adam."""
        super().__init__(workload, device)
        self.network = workload.plain_network().to(device).train()
        self.x, self.y = workload.x.to(device), workload.targets.to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), **options)
        self.order = torch.Generator().manual_seed(SEED)
        self.autocast = autocast_of(precision, device)
        self.measure = measure

    def epoch(self) -> None:
        loss_of = self.workload.loss
        permutation = torch.randperm(len(self.x), generator=self.order).to(self.device)
        for rows in permutation.split(self.workload.batch_size):
            x, y = self.x.index_select(0, rows), self.y.index_select(0, rows)
            with self.autocast():
                loss = loss_of(self.network(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            if self.measure:
                self.measure(self.network, loss)
            self.optimizer.step()


@torch.no_grad()
def loss_on_all(loop: Loop) -> float:
    """Of what the network has learned, over all rows; batch norm goes by the batch, as it was trained."""
    workload = loop.workload
    parts = zip(workload.x.split(256), workload.targets.split(256), strict=True)
    losses = [len(x) * workload.loss(loop.network(x.to(loop.device)), y.to(loop.device)).double() for x, y in parts]
    return float(sum(losses)) / len(workload.x)


def assert_same_learning(ours: Loop, bare: Loop) -> None:
    """A loop that is quick because it does something else is no contender. The losses may differ by a twentieth of a
    guess's: rounding is enough to part two runs of a deep network with batch norm after some dozens of Adam's steps."""
    assert ours.epochs == bare.epochs
    own, other = loss_on_all(ours), loss_on_all(bare)
    guess = math.log(len(ours.workload.shape.classes))
    assert abs(own - other) <= guess / 20, f"{ours.workload.name}: loss {own} of ours, {other} of the bare loop"
