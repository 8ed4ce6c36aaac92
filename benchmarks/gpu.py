"""`python -m benchmarks.gpu`: samples a second on a GPU, wherever one is found."""

import torch

from benchmarks.loops import Bare, Loop, Ours, assert_same_learning
from benchmarks.report import Samples, Table, machine, median, ratio, spread, take_turns
from benchmarks.workloads import Workload, workload

PACKAGES = ("torch",)
ROWS = {"mlp": 16_384, "cnn28": 16_384, "lstm": 16_384, "resnet": 4_096}
"""128 or 256 steps an epoch."""
PRECISIONS = ("float32", "bfloat16")
COLUMNS = ("workload", "precision", "ours, samples/s", "bare, samples/s", "ours / bare", "spread of ours", "of bare")
NOTE = """Epochs in turns, on data that lie on the device, clocks read when it is done. Ours has its default statistics;
`bare` in bfloat16 is the same loop with autocast around the forward pass."""


def run(quick: bool) -> list[Table]:
    if not torch.cuda.is_available():
        return [Table("On a GPU", COLUMNS, [["not measured: no GPU", *[""] * (len(COLUMNS) - 1)]])]
    device, rounds = torch.device("cuda"), 2 if quick else 9
    rows = [
        row(name, count, precision, measured(workload(name).sized(count), precision, device, rounds))
        for name, count in ROWS.items()
        for precision in PRECISIONS
    ]
    return [Table(f"On a GPU: {torch.cuda.get_device_name()}", COLUMNS, rows, " ".join(NOTE.split()))]


def measured(workload: Workload, precision: str, device: torch.device, rounds: int) -> Samples:
    """Seconds an epoch, by contender."""
    loops: dict[str, Loop] = {
        "ours": Ours(workload, device=device, precision=precision),
        "bare": Bare(workload, device, precision),
    }
    samples = take_turns({name: loop.turn for name, loop in loops.items()}, rounds)
    if precision == "float32":
        assert_same_learning(**loops)
    return samples


def row(name: str, count: int, precision: str, taken: Samples) -> list[object]:
    ours, bare = taken["ours"], taken["bare"]
    speeds = count / median(ours), count / median(bare)
    return [name, precision, *speeds, ratio(bare, ours), spread(ours), spread(bare)]


if __name__ == "__main__":
    print(machine(*PACKAGES), end="\n\n")
    for table in run(quick=False):
        print(table.markdown())
