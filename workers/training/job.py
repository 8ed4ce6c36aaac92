"""One job, from its definition to its last epoch: data, then for each run network, pre-training, optimizer and loop."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.budget import batches_per_epoch, epochs_of, steps_of, steps_per_epoch
from models.catalogue import DataShape, shape_of_data
from models.definitions.job import JobDefinition
from models.expansion import has_batch_norm
from models.losses import loss_name, with_logits
from models.reports import Built, Ended, Report
from models.shapes import Architecture, trace
from workers.datasets.arrays import load
from workers.training.best import Best
from workers.training.data import Prepared, prepare
from workers.training.graph import can_be_captured, graphed, pays
from workers.training.loop import Loop, Place
from workers.training.losses import Loss, build_loss, constant_loss
from workers.training.networks import build
from workers.training.optimizers import Optimizer, build_optimizer
from workers.training.parameters import FlatParameters
from workers.training.precision import allow_tf32, autocast_of
from workers.training.pretraining import pretrain
from workers.training.ranks import ALONE, Ranks
from workers.training.recorder import Recorder
from workers.training.schedules import Schedule
from workers.training.shared_norm import share_norms
from workers.training.step import EagerStep, SharedStep, StepFunction
from workers.training.stopper import Stopper, reason_of
from workers.training.stopwatch import Stopwatch


def train_job(
    definition: JobDefinition,
    datasets: Path,
    device: torch.device,
    report: Callable[[Report], None],
    cancelled: Callable[[], bool],
    resident_bytes: float = math.inf,
    ranks: Ranks = ALONE,
) -> None:
    """Trains the network and reports everything on the way, the end included.

    Inputs of more than `resident_bytes` stay mapped and are read as they are needed. Where several `ranks` train, all
    of them report the same, and rank 0 alone is asked whether the job is cancelled.
    """
    stopwatch = Stopwatch()
    with stopwatch("starting"):
        job = Trainer.prepare(definition, datasets, device, report, cancelled, stopwatch, resident_bytes, ranks)
    outcome = job.run()
    reason = reason_of(job.stopped, definition.training) if outcome == "succeeded" else None
    report(Ended(outcome, _timings(stopwatch, job.place.step), _cost(stopwatch), None, job.runs, reason))


@dataclass
class Trainer:
    """What the runs of a job share."""

    definition: JobDefinition
    shape: DataShape
    """As the network sees the data."""
    architecture: Architecture
    data: Prepared
    loss: Loss
    device: torch.device
    autocast: Callable[[], AbstractContextManager[None]]
    report: Callable[[Report], None]
    cancelled: Callable[[], bool]
    stopwatch: Stopwatch
    place: Place = field(default_factory=Place)
    best: Best = field(default_factory=Best)
    runs: list[dict[str, Any]] = field(default_factory=list)
    """The result of each run."""
    stopped: str | None = None
    """What ended the last run before its epochs did."""
    network: nn.Module | None = None
    """Of the last run; at the end with the best weights of all."""
    ranks: Ranks = ALONE
    ends_at: float = math.inf
    out_of_time: Callable[[], bool] = lambda: False

    @classmethod
    def prepare(
        cls,
        definition: JobDefinition,
        datasets: Path,
        device: torch.device,
        report: Callable[[Report], None],
        cancelled: Callable[[], bool],
        stopwatch: Stopwatch,
        resident_bytes: float = math.inf,
        ranks: Ranks = ALONE,
    ) -> "Trainer":
        """Everything up to the first run."""
        data, training = definition.data, definition.training
        rows = shape_of_data(data)
        prepared = prepare(data, load(data.dataset, data.parameters, datasets), rows, device, resident_bytes)
        name = loss_name(training, rows)
        loss = build_loss(training, name, prepared.training.y, len(rows.classes))
        shape = with_logits(rows, name)
        architecture = trace(definition.network, shape)
        autocast = autocast_of(training.precision, device)
        allow_tf32(training.precision)
        asked = ranks.asking(cancelled)
        job = cls(definition, shape, architecture, prepared, loss, device, autocast, report, asked, stopwatch)
        job.ranks = ranks
        return job

    def run(self) -> str:
        """All runs: `succeeded`, or `cancelled`. The order of the draws is part of the contract."""
        training = self.definition.training
        if training.max_seconds is not None:
            self.ends_at = time.monotonic() + training.max_seconds
            self.out_of_time = self.ranks.asking(lambda: time.monotonic() >= self.ends_at)
        self.report(Built(layer_rows(self.architecture), training.restarts * (self.steps + self.pretraining_steps)))
        for run in range(training.restarts):
            if not self.run_once(run):
                return "cancelled"
            if self.out_of_time():
                break
        assert self.network is not None
        self.best.restore(self.network)
        return "succeeded"

    @property
    def batch_norm(self) -> bool:
        return has_batch_norm(self.definition.network)

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(len(self.data.training), self.definition.training, self.batch_norm)

    @property
    def batches_per_epoch(self) -> int:
        return batches_per_epoch(len(self.data.training), self.definition.training.batch_size, self.batch_norm)

    @property
    def steps(self) -> int:
        """Of a run's training proper."""
        return steps_of(self.definition.training, self.steps_per_epoch)

    @property
    def pretraining_steps(self) -> int:
        chosen = self.definition.training.pretraining
        return len(self.architecture.hidden) * chosen.epochs * self.batches_per_epoch if chosen else 0

    def run_once(self, run: int) -> bool:
        """One run with the seed of its own; false if the job was cancelled."""
        training = self.definition.training
        seed = (training.seed + run) % 2**32
        self.place.run = run
        self.best.begin_run()
        torch.manual_seed(seed)
        self.network = self.build_network()
        self.ranks.begin(seed)
        pretrained = None
        if training.pretraining:
            with self.stopwatch("training"):
                part, batches = self.data.training, self.batches_per_epoch
                pretrained = pretrain(self.network, part, training, batches, seed, self._pretraining_step, self.ranks)
            if self.cancelled():
                return False
        first_epoch = self.place.epoch
        loop = self.loop(seed)
        self.stopped = loop.run()
        result = {"run": run, "seed": seed, "epochs": self.place.epoch - first_epoch, "stopped": self.stopped}
        self.runs.append(result | {"best": self.best.run_metrics, "pretraining": pretrained})
        return self.stopped != "cancelled"

    def build_network(self) -> nn.Module:
        """The network with fresh weights, on the device; convolutions have their channels side by side in memory."""
        network = build(self.definition.network, self.shape)
        if self.ranks.size > 1:
            share_norms(network, self.ranks)
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]

    def loop(self, seed: int, captures: bool | None = None) -> Loop:
        """The loop of a run on the network as it is now. `captures`: whether a step that can be a CUDA graph becomes
        one; None: where that should pay."""
        training, gradients = self.definition.training, self.definition.gradients
        assert self.network is not None
        parameters = FlatParameters(self.network)
        self.ranks.same(parameters.values)
        optimizer = build_optimizer(training, parameters)
        recorder = Recorder(
            self.network,
            parameters,
            self.architecture,
            self.steps,
            gradients.every_steps,
            self.report,
            self.stopwatch,
            is_open=training.is_open,
            first_step=self.place.step,
            hidden_layers=gradients.activations,
            over_time=gradients.time,
            ranks=self.ranks,
        )
        return Loop(
            training=training,
            data=self.data,
            shape=self.shape,
            network=self.network,
            loss=self.loss,
            optimizer=optimizer,
            step=self.step_function(parameters, optimizer, captures),
            schedule=Schedule(training, self.steps, self.steps_per_epoch),
            recorder=recorder,
            stopper=Stopper(training, self.steps, self.out_of_time),
            best=self.best,
            constants=_constants(self.data, self.loss),
            epochs=epochs_of(training, self.steps_per_epoch),
            steps=self.steps,
            batches=self.batches_per_epoch,
            autocast=self.autocast,
            seed=seed,
            place=self.place,
            report=self.report,
            cancelled=self.cancelled,
            stopwatch=self.stopwatch,
            ranks=self.ranks,
        )

    def step_function(self, parameters: FlatParameters, optimizer: Optimizer, captures: bool | None) -> StepFunction:
        """What takes the steps of a run."""
        training = self.definition.training
        assert self.network is not None
        given = (self.network, self.loss, parameters, optimizer, training.clip, self.autocast)
        if self.ranks.size > 1:
            return SharedStep(*given, self.ranks)
        eager = EagerStep(*given)
        rows = min(training.batch_size, len(self.data.training))
        captures = pays(self.architecture, rows, self.steps) if captures is None else captures
        if captures and can_be_captured(training, self.network, self.device):
            return graphed(eager, rows, training.deterministic)
        return eager

    def _pretraining_step(self) -> bool:
        """Whether it was the last, for the job is cancelled or out of time."""
        self.place.take_step(self.report)
        return self.cancelled() or self.out_of_time()


def _constants(prepared: Prepared, loss: Loss) -> dict[str, float]:
    parts = {"training": prepared.training, "validation": prepared.validation}
    return {name: constant_loss(loss, part.y) for name, part in parts.items() if part is not None}


def _timings(stopwatch: Stopwatch, steps: int) -> dict[str, float]:
    """Seconds by phase. `seconds_per_step` is of training alone, statistics included."""
    seconds = {name: stopwatch.seconds.get(name, 0.0) for name in ("starting", "training", "evaluating", "saving")}
    return seconds | {"steps": steps, "seconds_per_step": seconds["training"] / steps if steps else 0.0}


def _cost(stopwatch: Stopwatch) -> float:
    """Seconds spent on statistics as a share of the seconds of training without them."""
    measured, training = (stopwatch.seconds.get(name, 0.0) for name in ("statistics", "training"))
    return measured / (training - measured) if training > measured else 0.0


def layer_rows(architecture: Architecture) -> list[dict[str, object]]:
    """The rows of the table `layers`; tensors carry their column in the statistics."""
    columns = {tensor.name: index for index, tensor in enumerate(architecture.tensors)}
    return [
        {
            "index": layer.index,
            "name": layer.name,
            "kind": layer.kind,
            "input_shape": list(layer.input_shape),
            "output_shape": list(layer.output_shape),
            "parameters": layer.parameters,
            "init": layer.init,
            "tensors": [
                {"index": columns[tensor.name], "name": tensor.name, "shape": list(tensor.shape)}
                for tensor in layer.tensors
            ],
        }
        for layer in architecture.layers
    ]
