"""`python -m benchmarks --only statistics`: what it costs to watch gradients, ours and others'."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from benchmarks.goals import GOALS
from benchmarks.loops import Bare, Ours
from benchmarks.report import Samples, Table, ratio, spread, take_turns
from benchmarks.workloads import Workload, workload

PACKAGES = ("torch", "wandb", "tensorboard")
GRADIENTS = {"activations": False, "time": False}
"""Nine statistics of each parameter tensor, and the loss after the step."""
OURS = {
    "none": GRADIENTS | {"every_steps": 2**31},  # the first step alone, in the warm-up
    "default, gradients": GRADIENTS,
    "default, everything": {},
    "20 samples in 240 steps, everything": {"every_steps": 12},  # as `auto` has it of so short a job
    "every step, gradients": GRADIENTS | {"every_steps": 1},
    "every step, everything": {"every_steps": 1},
}
OTHERS = (".item()", "wandb.watch", "TensorBoard")
NOTE = """Seconds an epoch as shares of the same loop's without statistics: of our engine, and of the bare loop.
'Gradients' are nine statistics of each parameter tensor, the summaries of each epoch, and rho, which takes one more
forward pass; 'everything' is what a job records unless told otherwise: six statistics of each hidden layer too, for one
of which a probe of 64 rows or more passes through the network, and gradients over time where there is recurrence. A
sample costs one to two steps, so that a job of 240 steps, of which 20 are sampled, pays a tenth to a fifth. The
others see every step: seven `.item()` of each parameter tensor, `wandb.watch` (histograms, offline), a
TensorBoard histogram of each gradient."""


def run(quick: bool) -> list[Table]:
    names = ("mlp20", "cnn28", "lstm", *(() if quick else ("resnet",)))
    rounds = {"resnet": 2}
    samples = {name: measured(workload(name, quick), 2 if quick else rounds.get(name, 5)) for name in names}
    columns = ("workload", *(column for name in MEASURED for column in (name, *goal_column(name))), *OTHERS)
    ratios = Table("Statistics against none", columns, [row(*item) for item in samples.items()], " ".join(NOTE.split()))
    spreads = Table(
        "How these epochs are spread",
        ("workload", *next(iter(samples.values()))),
        [[name, *map(spread, taken.values())] for name, taken in samples.items()],
        "The middle half as shares of the median; of fewer than four samples all of them, in seconds.",
    )
    return [ratios, spreads]


MEASURED = [name for name in OURS if name != "none"]


def goal_column(name: str) -> tuple[str, ...]:
    return ("goal",) if name.startswith("default") else ()


def row(name: str, taken: Samples) -> list[object]:
    own = {contender: ratio(taken[contender], taken["none"]) for contender in MEASURED}
    cells = [cell for contender in MEASURED for cell in (own[contender], *goals(contender, name))]
    return [name, *cells, *(ratio(taken[contender], taken["bare"]) for contender in OTHERS)]


def goals(contender: str, workload: str) -> list[str]:
    return [GOALS[f"{contender}/{workload}"] for _ in goal_column(contender)]


def measured(workload: Workload, rounds: int) -> Samples:
    """Seconds an epoch, by contender."""
    torch.set_num_threads(1)
    with ExitStack() as open_runs:
        contenders = {
            **{name: Ours(workload, gradients) for name, gradients in OURS.items()},
            "bare": Bare(workload),
            ".item()": Bare(workload, measure=items),
            "wandb.watch": open_runs.enter_context(wandb_watch(workload)),
            "TensorBoard": open_runs.enter_context(tensorboard(workload)),
        }
        return take_turns({name: loop.turn for name, loop in contenders.items()}, rounds)


@torch.no_grad()
def items(network: nn.Module, loss: Tensor) -> list[list[float]]:
    """The seven numbers as one would ask for them."""
    return [
        [
            gradient.norm().item(),
            gradient.mean().item(),
            gradient.std(correction=0).item(),
            gradient.abs().max().item(),
            (gradient == 0).float().mean().item(),
            (~gradient.isfinite()).sum().item(),
            parameter.norm().item(),
        ]
        for parameter in network.parameters()
        if (gradient := parameter.grad) is not None
    ]


@contextmanager
def wandb_watch(workload: Workload) -> Iterator[Bare]:
    """Histograms of all gradients at every step, in a run that stays on this machine."""
    import wandb

    with tempfile.TemporaryDirectory() as folder:
        settings = wandb.Settings(console="off", silent=True, x_disable_stats=True)
        with wandb.init(project="benchmark", mode="offline", dir=folder, settings=settings) as run:
            loop = Bare(workload, measure=lambda network, loss: run.log({"loss": loss.item()}))
            run.watch(loop.network, log="gradients", log_freq=1)
            yield loop


@contextmanager
def tensorboard(workload: Workload) -> Iterator[Bare]:
    """`add_histogram` of each gradient at every step."""
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        steps = iter(range(2**31))

        def histograms(network: nn.Module, loss: Tensor) -> None:
            step = next(steps)
            for name, parameter in network.named_parameters():
                writer.add_histogram(name, parameter.grad, step)

        yield Bare(workload, measure=histograms)
