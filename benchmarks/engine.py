"""`python -m benchmarks --only engine`: an epoch of the engine against what a user would pick instead."""

from collections.abc import Callable
from functools import partial

import torch
from threadpoolctl import threadpool_limits

from benchmarks import peers
from benchmarks.goals import GOALS
from benchmarks.loops import Bare, Ours, assert_same_learning
from benchmarks.report import Samples, Table, median, ratio, spread, take_turns
from benchmarks.workloads import WORKLOADS, Workload, workload

PACKAGES = ("torch", "scikit-learn", "skorch", "lightning", "keras")
ROUNDS = {"resnet": 2}
"""In a full run, where it is not 7."""
PEERS: dict[str, Callable[[Workload], peers.Contender | None]] = {
    "bare, fused Adam": lambda workload: Bare(workload, fused=True).turn,
    "DataLoader loop": lambda workload: peers.LoaderLoop(workload).turn,
    "Lightning, default": partial(peers.lightning, everything=True),
    "Lightning, all off": partial(peers.lightning, everything=False),
    "Keras 3 on torch": peers.keras,
    "skorch": peers.skorch,
    "scikit-learn": peers.scikit_learn,
}
COLUMNS = ("ours", "ours, every step", *PEERS)
NOTE = """Seconds an epoch as shares of the bare loop's: medians of epochs in turns, in one process on one thread. Each
contender has the same rows in memory, batches of the same size and Adam at the same rate, and validates nothing. Ours
measures loss and accuracy of the epoch and its statistics, at the default cadence (every 100th step of these jobs,
every 10th of resnet's) or at every step. At the end it must have learned what the bare loop has."""


def run(quick: bool) -> list[Table]:
    names = [name for name in WORKLOADS if not (quick and name == "resnet")]
    samples = {name: measured(workload(name, quick), 2 if quick else ROUNDS.get(name, 7)) for name in names}
    ratios = Table(
        "An epoch against the bare loop",
        ("workload", "bare, ms", "goal", *COLUMNS),
        [
            [name, 1000 * median(taken["bare"]), GOALS[f"engine/{name}"], *cells(taken, ratio)]
            for name, taken in samples.items()
        ],
        " ".join(NOTE.split()),
    )
    spreads = Table(
        "How the epochs are spread",
        ("workload", "bare", *COLUMNS),
        [
            [name, spread(taken["bare"]), *cells(taken, lambda taken, bare: spread(taken))]
            for name, taken in samples.items()
        ],
        "The middle half as shares of the median; of fewer than four samples all of them, in seconds.",
    )
    return [ratios, spreads]


def measured(workload: Workload, rounds: int) -> Samples:
    """Seconds an epoch, by contender."""
    torch.set_num_threads(1)
    bare, ours = Bare(workload), Ours(workload)
    contenders = {"bare": bare.turn, "ours": ours.turn, "ours, every step": Ours(workload, {"every_steps": 1}).turn}
    made = {name: make(workload) for name, make in PEERS.items()}
    with threadpool_limits(1):
        samples = take_turns(contenders | {name: turn for name, turn in made.items() if turn}, rounds)
    assert_same_learning(ours, bare)
    return samples


def cells(samples: Samples, cell: Callable[[list[float], list[float]], object]) -> list[object]:
    """One for each column; empty where a peer has no such network."""
    return [cell(samples[name], samples["bare"]) if name in samples else "" for name in COLUMNS]
