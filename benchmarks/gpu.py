"""`python -m benchmarks --only gpu`: samples a second on a GPU, wherever one is found."""

import torch

from benchmarks.loops import Bare, Loop, Ours, assert_same_learning
from benchmarks.report import Samples, Table, median, ratio, spread, take_turns
from benchmarks.workloads import Workload, workload
from workers.training.graph import GraphedStep

PACKAGES = ("torch",)
ROWS = {"mlp": 16_384, "cnn28": 16_384, "lstm": 16_384, "resnet": 4_096}
"""128 or 256 steps an epoch."""
PRECISIONS = ("float32", "bfloat16")
CONTENDERS = ("graph", "eager", "bare")
COLUMNS = (
    "workload", "precision", "graph, samples/s", "eager, samples/s", "bare, samples/s",
    "graph / bare", "eager / bare", "a job takes", "spread of graph", "of eager", "of bare",
)  # fmt: skip
NOTE = """Epochs in turns, on data that lie on the device, clocks read when it is done. `graph` and `eager` are ours,
with its default statistics: steps replayed as a CUDA graph wherever they can be, and none of them; `a job takes` says
which of the two a job of this definition has. `bare` in bfloat16 is the same loop with autocast around the forward
pass. Ratios are of samples a second: higher is faster."""


def run(quick: bool) -> list[Table]:
    if not torch.cuda.is_available():
        return [Table("On a GPU", COLUMNS, [["not measured: no GPU", *[""] * (len(COLUMNS) - 1)]])]
    device, rounds = torch.device("cuda"), 2 if quick else 9
    rows = [
        row(workload(name).sized(count), precision, device, rounds)
        for name, count in ROWS.items()
        for precision in PRECISIONS
    ]
    return [Table(f"On a GPU: {torch.cuda.get_device_name()}", COLUMNS, rows, " ".join(NOTE.split()))]


def row(workload: Workload, precision: str, device: torch.device, rounds: int) -> list[object]:
    taken = measured(workload, precision, device, rounds)
    chosen = Ours(workload, device=device, precision=precision).loop.step
    takes = "graph" if isinstance(chosen, GraphedStep) else "eager"
    speeds = [len(workload.x) / median(taken[name]) if name in taken else "" for name in CONTENDERS]
    ratios = [ratio(taken["bare"], taken[name]) if name in taken else "" for name in CONTENDERS[:-1]]
    spreads = [spread(taken[name]) if name in taken else "" for name in CONTENDERS]
    return [workload.name, precision, *speeds, *ratios, takes, *spreads]


def measured(workload: Workload, precision: str, device: torch.device, rounds: int) -> Samples:
    """Seconds an epoch, by contender; none of `graph` where the steps cannot be one."""
    loops: dict[str, Loop] = {
        "graph": Ours(workload, device=device, captures=True, precision=precision),
        "eager": Ours(workload, device=device, captures=False, precision=precision),
        "bare": Bare(workload, device, precision),
    }
    samples = take_turns({name: loop.turn for name, loop in loops.items()}, rounds)
    if precision == "float32":
        for name in CONTENDERS[:-1]:
            assert_same_learning(loops[name], loops["bare"])
    if not replays(loops["graph"]):
        del samples["graph"]
    return samples


def replays(loop: Loop) -> bool:
    """Whether the steps became a graph."""
    step = loop.loop.step if isinstance(loop, Ours) else None
    return isinstance(step, GraphedStep) and step.captured is not None
