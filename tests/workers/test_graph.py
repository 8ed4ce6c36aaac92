"""A replayed step is the eager step: shown on the CPU with a closure for a graph, and on a GPU where there is one."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.definitions.job import JobDefinition
from models.reports import EpochEnded, Report, Sampled
from models.series import Chunk
from workers.training.graph import GraphedStep, Results, can_be_captured, graphed, pays
from workers.training.job import Trainer
from workers.training.loop import Loop
from workers.training.networks import build
from workers.training.parts import Batch
from workers.training.recorder import Step
from workers.training.step import EagerStep, See
from workers.training.stopwatch import Stopwatch

Array = NDArray[Any]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
NEEDS_A_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
DENSE = {"family": "dnn", "hidden": [16, 8], "activation": "tanh"}
NORMED = {"family": "dnn", "hidden": [16], "norm": "batch"}
CNN = {"family": "cnn", "blocks": [{"filters": 4, "pool": "max"}], "hidden": [8], "norm": "batch"}


@dataclass
class Recording:
    """A closure for a graph: it knows tensors, and none of Python's numbers, as a graph does."""

    eager: EagerStep
    spoils: Callable[[EagerStep, Results], object] = lambda eager, results: None
    """What goes wrong at each replay."""
    replays: int = 0
    work: Callable[[], Results] = field(init=False)
    results: Results = field(init=False)

    def capture(self, work: Callable[[], Results]) -> Results:
        for _ in range(3):
            work()
        torch.rand(5)  # dropout would draw
        self.work, self.results = work, work()
        return self.results

    def replay(self) -> None:
        self.replays += 1
        optimizer, rate = self.eager.optimizer, self.eager.optimizer.rate
        optimizer.rate = float("nan")
        for static, new in zip(self.results, self.work(), strict=True):
            static.copy_(new)
        optimizer.rate = rate
        self.spoils(self.eager, self.results)


class OfOneRate(Recording):
    """Repeats the rate that it was recorded with."""

    def replay(self) -> None:
        rate = self.eager.optimizer.device_rate
        assert rate is not None
        rate.copy_(self.recorded_rate)
        super().replay()

    def capture(self, work: Callable[[], Results]) -> Results:
        rate = self.eager.optimizer.device_rate
        assert rate is not None
        self.recorded_rate = rate.clone()
        return super().capture(work)


class OfOneBatch(Recording):
    """Repeats the inputs that it was recorded with."""

    def capture(self, work: Callable[[], Results]) -> Results:
        seen: list[Tensor] = []
        with self.eager.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone())):
            results = super().capture(work)
        self.recorded = seen[0]
        return results

    def replay(self) -> None:
        with self.eager.network.register_forward_pre_hook(lambda _, inputs: self.recorded):
            super().replay()


class Failing(Recording):
    """Fails in its third step."""

    def capture(self, work: Callable[[], Results]) -> Results:
        work()
        work()
        raise RuntimeError("operation not permitted when stream is capturing")


@dataclass
class Spied:
    """An eager step that remembers which steps of the job it took, and of how many rows."""

    step: EagerStep
    loop: Loop
    taken: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, batches: list[Batch], sample: Step, see: See) -> None:
        self.taken.append((self.loop.place.step, len(batches[0][1])))
        self.step(batches, sample, see)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.step, name)


@dataclass
class Outcome:
    """All that a run left behind."""

    epochs: list[dict[str, float | None]]
    samples: list[Array]
    """The steps and values of each series. Where its chunks end is a matter of time."""
    state: list[Tensor]
    draw: Tensor
    """The next of torch's generator."""
    step: Any


def assert_same(one: Outcome, other: Outcome) -> None:
    """Bit for bit."""
    assert one.epochs == other.epochs
    for found, expected in zip(one.samples, other.samples, strict=True):
        np.testing.assert_array_equal(found, expected)
    torch.testing.assert_close([*one.state, one.draw], [*other.state, other.draw], rtol=0, atol=0)


def a_job(network: dict[str, Any] | None = None, gradients: Any = None, **training: Any) -> JobDefinition:
    """120 rows of iris, in batches of 50, 50 and 20; rates that are the same in float32."""
    dataset = "digits" if network is not None and network["family"] == "cnn" else "iris"
    plain = {"epochs": 4, "batch_size": 50, "optimizer": {"kind": "adam", "learning_rate": 2**-6}}
    return JobDefinition.model_validate(
        {
            "network": network or DENSE,
            "data": {"dataset": dataset, "rows": 120},
            "training": plain | training,
            "gradients": gradients or {"every_steps": 4},
        }
    )


def a_loop(
    job: JobDefinition, folder: Path, reports: list[Report], device: torch.device = CPU, captures: bool = False
) -> Loop:
    trainer = Trainer.prepare(job, folder, device, reports.append, lambda: None, Stopwatch())
    torch.manual_seed(0)
    trainer.network = build(job.network, trainer.shape).to(device)
    return trainer.loop(0, captures)


Recorded = Callable[[EagerStep], Recording]


def outcome(job: JobDefinition, folder: Path, recorded: Recorded | None = None, exact: bool = True) -> Outcome:
    """Of the whole run, with a stand-in for the graph or without one."""
    reports: list[Report] = []
    loop = a_loop(job, folder, reports)
    eager = loop.step
    assert isinstance(eager, EagerStep)
    if recorded:
        rows = min(job.training.batch_size, len(loop.data.training))
        loop.step = graphed(eager, rows, exact, lambda: recorded(eager))
    loop.run()
    epochs = [report.metrics for report in reports if isinstance(report, EpochEnded)]
    optimizer = eager.optimizer
    state = [eager.parameters.values, *optimizer.vectors.values(), optimizer.steps, *eager.network.buffers()]
    return Outcome(epochs, samples_of(reports), state, torch.rand(3), loop.step)


def samples_of(reports: list[Report]) -> list[Array]:
    found = []
    for series in ("tensors", "layers"):
        sampled = [report for report in reports if isinstance(report, Sampled) and report.series == series]
        chunks = [Chunk.decode(report.data) for report in sampled]
        found += [np.concatenate([chunk.steps for chunk in chunks]), np.concatenate([c.values for c in chunks])]
    return found


@pytest.mark.parametrize(
    ("network", "training"),
    [
        (DENSE, {"optimizer": {"kind": "sgd", "learning_rate": 0.25}}),
        (DENSE, {"optimizer": {"kind": "sgd", "learning_rate": 0.25, "momentum": 0.5}, "clip": {"norm": 0.25}}),
        (DENSE, {"class_weights": "balanced", "label_smoothing": 0.1, "clip": {"value": 0.01}}),
        (DENSE, {"optimizer": {"kind": "adamw", "learning_rate": 2**-5}, "precision": "bfloat16"}),
        (DENSE, {"schedule": {"kind": "step", "every": 1, "factor": 0.5}, "weight_decay": 0.01}),
        (NORMED, {}),
        (CNN, {}),
    ],
)
def test_replayed_steps_train_as_eager_ones_bit_for_bit(
    network: dict[str, Any], training: dict[str, Any], folder: Path
) -> None:
    job = a_job(network, **training)
    found = outcome(job, folder, Recording)
    assert found.step.captured is not None
    assert_same(found, outcome(job, folder))


def test_only_full_batches_that_are_not_sampled_are_replayed(folder: Path) -> None:
    reports: list[Report] = []
    loop = a_loop(a_job(), folder, reports)
    assert isinstance(loop.step, EagerStep)
    spied, graphs = Spied(loop.step, loop), []

    def new_graph() -> Recording:
        graphs.append(Recording(spied))  # type: ignore[arg-type]
        return graphs[-1]

    loop.step = graphed(spied, 50, True, new_graph)  # type: ignore[arg-type]
    loop.run()
    (graph,) = graphs
    # Of 12 steps 0, 4 and 8 are sampled, every third has 20 rows, and step 1 is eager to judge the graph.
    replayed = {3, 6, 7, 9, 10}
    within = graph.replays + 4  # the stand-in's own steps
    assert graph.replays == 1 + len(replayed)
    assert len(spied.taken) == 12 - len(replayed) + within
    assert {step for step, rows in spied.taken if rows == 20} == {2, 5, 8, 11}
    assert {0, 1, 4} <= {step for step, _ in spied.taken}


def test_a_part_smaller_than_the_batch_size_is_a_full_batch(folder: Path) -> None:
    found = outcome(a_job(batch_size=1000), folder, Recording)
    assert found.step.captured is not None
    assert_same(found, outcome(a_job(batch_size=1000), folder))


def test_each_rate_reaches_the_step(folder: Path) -> None:
    """The eager steps read the rate where the graph does, so that a job whose graph failed has the same bits."""
    job = a_job(optimizer={"kind": "sgd", "learning_rate": 0.3}, schedule={"kind": "cosine"})
    found = outcome(job, folder, Recording)
    assert found.step.captured is not None
    assert_same(found, outcome(job, folder, Failing))
    torch.testing.assert_close(found.state, outcome(job, folder).state, rtol=1e-5, atol=1e-6)


def test_a_recording_that_fails_leaves_the_training_as_it_was(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = outcome(a_job(NORMED), folder, Failing)
    assert_same(found, outcome(a_job(NORMED), folder))
    assert found.step.is_refused
    (warning,) = caplog.records
    assert "could not be recorded" in warning.message


SPOILS: dict[str, Recorded] = {
    "weights": partial(Recording, spoils=lambda eager, _: eager.parameters.values[3].add_(0.1)),
    "gradients": partial(Recording, spoils=lambda eager, _: eager.parameters.gradients.mul_(1.001)),
    "optimizer": partial(Recording, spoils=lambda eager, _: eager.optimizer.vectors["mean"].zero_()),
    "count of steps": partial(Recording, spoils=lambda eager, _: eager.optimizer.steps.add_(1)),
    "buffers": partial(Recording, spoils=lambda eager, _: next(eager.network.buffers()).add_(1)),
    "loss": partial(Recording, spoils=lambda _, results: results[1].mul_(2)),
    "outputs": partial(Recording, spoils=lambda _, results: results[0][0].zero_()),
    "NaN": partial(Recording, spoils=lambda _, results: results[1].fill_(torch.nan)),
    "rate": OfOneRate,
    "batch": OfOneBatch,
}
"""Graphs, by what is wrong with them."""


@pytest.mark.parametrize("name", SPOILS)
def test_a_graph_that_does_something_else_is_not_used(
    name: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graphs = []

    def spoiled(eager: EagerStep) -> Recording:
        graphs.append(SPOILS[name](eager))
        return graphs[-1]

    with caplog.at_level(logging.WARNING):
        found = outcome(a_job(NORMED), folder, spoiled, exact=False)
    assert_same(found, outcome(a_job(NORMED), folder))
    assert [graph.replays for graph in graphs] == [1]
    (warning,) = caplog.records
    assert "does not do what the step does" in warning.message


@pytest.mark.parametrize(("exact", "is_used"), [(False, True), (True, False)])
def test_a_deterministic_job_wants_every_bit(exact: bool, is_used: bool, folder: Path) -> None:
    def nearly(eager: EagerStep) -> Recording:
        return Recording(eager, lambda eager, _: eager.parameters.values.mul_(1 + 2**-22))

    assert (outcome(a_job(), folder, nearly, exact).step.captured is not None) == is_used


@pytest.mark.parametrize(
    ("network", "training", "device", "can"),
    [
        (DENSE, {"optimizer": {"kind": "sgd"}}, CUDA, True),
        (DENSE, {"optimizer": {"kind": "adam"}, "deterministic": True}, CUDA, True),
        (CNN, {"optimizer": {"kind": "adamw"}}, CUDA, True),
        (DENSE, {}, CPU, False),
        (DENSE, {"accumulate": 2}, CUDA, False),
        (DENSE, {"optimizer": {"kind": "rmsprop"}}, CUDA, False),
        (DENSE, {"optimizer": {"kind": "adagrad"}}, CUDA, False),
        (DENSE | {"dropout": 0.1}, {}, CUDA, False),
        ({"family": "rnn", "cell": "gru", "hidden": 4}, {}, CUDA, False),
    ],
)
def test_which_steps_can_be_captured(
    network: dict[str, Any], training: dict[str, Any], device: torch.device, can: bool, folder: Path
) -> None:
    job = a_job(network, **training)
    if network["family"] == "rnn":
        job = job.model_copy(update={"data": job.data.model_copy(update={"dataset": "digits_rows"})})
    trainer = Trainer.prepare(job, folder, CPU, lambda report: None, lambda: None, Stopwatch())
    assert can_be_captured(job.training, build(job.network, trainer.shape), device) == can


@pytest.mark.parametrize(
    ("hidden", "rows", "steps", "does"),
    [([64], 64, 500, True), ([64], 64, 499, False), ([3000, 3000], 64, 500, False), ([64], 2**17, 500, False)],
)
def test_it_pays_where_many_small_steps_are_taken(
    hidden: list[int], rows: int, steps: int, does: bool, folder: Path
) -> None:
    job = a_job({"family": "dnn", "hidden": hidden})
    trainer = Trainer.prepare(job, folder, CPU, lambda report: None, lambda: None, Stopwatch())
    assert pays(trainer.architecture, rows, steps) == does


def test_on_a_cpu_every_step_is_eager(folder: Path) -> None:
    loop = a_loop(a_job(epochs=1000), folder, [], captures=True)
    assert isinstance(loop.step, EagerStep)
    assert loop.optimizer.device_rate is None


@NEEDS_A_GPU
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("network", [DENSE, NORMED, CNN])
def test_on_a_gpu_replayed_steps_train_as_eager_ones(network: dict[str, Any], optimizer: str, folder: Path) -> None:
    states = []
    for captures in (True, False):
        job = a_job(network, optimizer={"kind": optimizer, "learning_rate": 2**-6}, clip={"norm": 1.0})
        loop = a_loop(job, folder, [], CUDA, captures)
        loop.run()
        assert isinstance(loop.step, GraphedStep) == captures
        assert not isinstance(loop.step, GraphedStep) or loop.step.captured is not None
        states.append(list(loop.network.state_dict().values()))
    torch.testing.assert_close(*states, rtol=1e-4, atol=1e-5)
