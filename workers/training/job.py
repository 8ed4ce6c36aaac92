"""One job, from its definition to its last epoch: data, network, optimizer, then the loop."""

from collections.abc import Callable
from pathlib import Path

import torch

from models.catalogue import shape_of
from models.definitions.job import JobDefinition
from models.reports import Built, Ended, Report
from models.shapes import Architecture, trace
from workers.datasets.arrays import load
from workers.training.data import Prepared, prepare
from workers.training.loop import Loop, steps_per_epoch
from workers.training.losses import LOSSES, LossName, loss_name
from workers.training.metrics import constant_loss
from workers.training.networks import build
from workers.training.optimizers import build_optimizer
from workers.training.recorder import Recorder
from workers.training.stopwatch import Stopwatch


def train_job(
    definition: JobDefinition,
    datasets: Path,
    device: torch.device,
    report: Callable[[Report], None],
    cancelled: Callable[[], bool],
) -> None:
    """Trains the network and reports everything on the way, the end included."""
    stopwatch = Stopwatch()
    with stopwatch("starting"):
        loop = prepare_loop(definition, datasets, device, report, cancelled, stopwatch)
    outcome = loop.run()
    report(Ended(outcome, _timings(stopwatch, loop.step), _cost(stopwatch)))


def prepare_loop(
    definition: JobDefinition,
    datasets: Path,
    device: torch.device,
    report: Callable[[Report], None],
    cancelled: Callable[[], bool],
    stopwatch: Stopwatch,
) -> Loop:
    """Everything up to the first step: data, network, optimizer. The order of the draws is part of the contract."""
    data, training = definition.data, definition.training
    shape = shape_of(data.dataset, data.parameters)
    prepared = prepare(data, load(data.dataset, data.parameters, datasets), shape, device)
    torch.manual_seed(training.seed)
    network = build(definition.network, shape).to(device)
    steps = training.epochs * steps_per_epoch(network, len(prepared.training), training.batch_size)
    report(Built(_layers(trace(definition.network, shape)), steps))
    loss = loss_name(training.loss, shape.task)
    return Loop(
        training=training,
        data=prepared,
        shape=shape,
        network=network,
        loss=LOSSES[loss],
        optimizer=build_optimizer(training, network.parameters()),
        recorder=Recorder(network, steps, definition.gradients.every_steps, report, stopwatch),
        constants=_constants(prepared, loss),
        report=report,
        cancelled=cancelled,
        stopwatch=stopwatch,
    )


def _constants(prepared: Prepared, loss: LossName) -> dict[str, float]:
    parts = {"training": prepared.training, "validation": prepared.validation}
    return {name: constant_loss(part.y, loss) for name, part in parts.items() if part is not None}


def _timings(stopwatch: Stopwatch, steps: int) -> dict[str, float]:
    """Seconds by phase. `seconds_per_step` is of training alone, statistics included."""
    seconds = {name: stopwatch.seconds.get(name, 0.0) for name in ("starting", "training", "evaluating", "saving")}
    return seconds | {"steps": steps, "seconds_per_step": seconds["training"] / steps if steps else 0.0}


def _cost(stopwatch: Stopwatch) -> float:
    """Seconds spent on statistics as a share of the seconds of training without them."""
    measured, training = (stopwatch.seconds.get(name, 0.0) for name in ("statistics", "training"))
    return measured / (training - measured) if training > measured else 0.0


def _layers(architecture: Architecture) -> list[dict[str, object]]:
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
