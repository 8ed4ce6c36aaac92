"""`python -m benchmarks --only scaling`: seconds against steps and layers of a job, and against the jobs of a queue.

Linear growth is one glance: the seconds of one step, layer or job stay what they are over two orders of magnitude.
"""

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import linear_regression

import torch

from benchmarks.goals import GOALS
from benchmarks.jobs import jobs_per_second, small, stacks
from benchmarks.loops import trainer_of
from benchmarks.report import Samples, Table, median, spread, take_turns
from benchmarks.workloads import Workload, workload

PACKAGES = ("torch",)
STEPS = (100, 1_000, 10_000)
LAYERS = (2, 20, 200)
JOBS = (1, 10, 100)
LAYER_STEPS = 50
NOTE = f"""Steps: whole runs of the xor network in the engine, from weights to the last step. Layers: {LAYER_STEPS}
steps of networks of so many hidden layers of 64 units on digits. Both have the default statistics, and a short job
samples a larger share of its steps. Jobs: so many small ones in a queue on one slot of the embedded service, from the
first POST to the end of the last."""


def run(quick: bool) -> list[Table]:
    torch.set_num_threads(1)
    measured = {
        "steps": in_turns(steps, STEPS, 1 if quick else 5),
        "layers": in_turns(layers, LAYERS, 1 if quick else 5),
        "jobs": queued(1 if quick else 3),
    }
    rows = [
        [what, int(count), median(taken), 1000 * median(taken) / int(count), spread(taken)]
        for what, samples in measured.items()
        for count, taken in samples.items()
    ]
    figures = Table("Growth", ("of", "how many", "seconds", "ms each", "spread"), rows, " ".join(NOTE.split()))
    exponents = Table(
        "Exponents of growth",
        ("of", "exponent", "goal"),
        [[what, exponent(samples), GOALS["growth"]] for what, samples in measured.items()],
        "The slope of a line through the logarithms: 1 is linear, less where a fixed cost is shared by more.",
    )
    return [figures, exponents]


def in_turns(cost: Callable[[int], float], counts: tuple[int, ...], rounds: int) -> Samples:
    cost(counts[0])  # not counted: what is slow once
    return take_turns({str(count): partial(cost, count) for count in counts}, rounds, warm_ups=0)


def steps(count: int) -> float:
    return seconds_of_run(workload("xor"), count)


def layers(count: int) -> float:
    network = {"family": "dnn", "hidden": [64] * count, "norm": "layer"}
    return seconds_of_run(replace(workload("mlp"), network=network), LAYER_STEPS)


def seconds_of_run(workload: Workload, steps: int) -> float:
    """Of the whole engine: network, optimizer, loop, statistics, epochs."""
    trainer = trainer_of(workload.definition(epochs=None, max_steps=steps), workload)
    started = time.perf_counter()
    trainer.run_once(0)
    seconds = time.perf_counter() - started
    assert trainer.place.step == steps
    return seconds


def queued(rounds: int) -> Samples:
    """Seconds until all jobs of a queue are done."""
    with tempfile.TemporaryDirectory() as folder, stacks(Path(folder), ("embedded",)) as services:
        service = services["embedded"]
        service.train(small())
        return take_turns(
            {str(count): lambda count=count: count / jobs_per_second(service, count) for count in JOBS}, rounds, 0
        )


def exponent(samples: Samples) -> float:
    sizes = [math.log(int(count)) for count in samples]
    return linear_regression(sizes, [math.log(median(taken)) for taken in samples.values()]).slope
