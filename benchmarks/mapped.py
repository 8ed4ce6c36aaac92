"""`python -m benchmarks --only mapped`: data that stay on the disk beside data in memory, in time and in bytes held."""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.process_memory import held
from benchmarks.report import Table, median, ratio, spread, take_turns
from models.catalogue import DataShape
from models.definitions.data import Data
from workers.datasets.arrays import Arrays
from workers.training.data import prepare
from workers.training.parts import Part

BATCH = 64
WAYS = {"resident": 2**60, "mapped": 0}
"""By name, most bytes to keep in memory."""
ROWS = {"table": ((64,), 6_400, 100_000), "image": ((3, 32, 32), 640, 10_000)}
"""By kind: shape of a row, rows in quick mode and otherwise."""
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "table": lambda: nn.Sequential(
        nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    ),
    "image": lambda: nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2048, 64), nn.ReLU(), nn.Linear(64, 10),
    ),
}  # fmt: skip


def run(quick: bool) -> list[Table]:
    """Time and memory of both ways."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: write(Path(folder) / f"{kind}.npy", kind, quick) for kind in ROWS}
        return [epochs(files, 3 if quick else 9), memory(files["image"], quick)]


def write(path: Path, kind: str, quick: bool) -> Path:
    """Random numbers, by the thousand."""
    row, few, many = ROWS[kind]
    x = np.lib.format.open_memmap(path, "w+", np.float32, (few if quick else many, *row))
    rng = np.random.default_rng(0)
    for start in range(0, len(x), 1000):
        x[start : start + 1000] = rng.random(x[start : start + 1000].shape, np.float32)
    x.flush()
    return path


def part_of(path: Path, way: str) -> Part:
    """All rows for training, in ten classes."""
    x = np.load(path, mmap_mode="r")
    shape = DataShape(path.stem, "classification", len(x), x.shape[1:], 10)  # type: ignore[arg-type]
    arrays = Arrays(x, np.arange(len(x)) % 10)
    return prepare(Data(dataset="digits", validation=None), arrays, shape, torch.device("cpu"), WAYS[way]).training


def epochs(files: dict[str, Path], rounds: int) -> Table:
    rows = []
    for kind, path in files.items():
        parts = {way: part_of(path, way) for way in WAYS}
        for what, network in (("read", None), ("trained on", NETWORKS[kind]())):
            samples = take_turns({way: partial(epoch, part, network) for way, part in parts.items()}, rounds)
            times = [median(samples[way]) for way in WAYS]
            share = ratio(samples["mapped"], samples["resident"])
            rows.append([f"{kind} {parts['mapped'].source.shape}, {what}", *times, share, spread(samples["mapped"])])
    columns = ("rows", "resident, ms an epoch", "mapped, ms an epoch", "mapped / resident", "spread of mapped")
    note = "Batches of 64 in a random order, from a file that the system has cached; one thread trains, one reads."
    return Table("Data on the disk: time", columns, rows, note)


def epoch(part: Part, network: nn.Module | None) -> float:
    """Milliseconds for a pass in a random order."""
    optimizer = torch.optim.Adam(network.parameters()) if network else None
    started = time.perf_counter()
    for x, y in part.batches(torch.randperm(len(part)), BATCH, len(part)):
        if network and optimizer:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
    return (time.perf_counter() - started) * 1000


def memory(path: Path, quick: bool) -> Table:
    """In a process of its own for each way, with a larger file of nothing but zeros."""
    zeros = path.with_name("zeros") / path.name
    zeros.parent.mkdir()
    size = np.lib.format.open_memmap(zeros, "w+", np.float32, (5_000 if quick else 80_000, 3, 32, 32)).nbytes
    rows = []
    for way in WAYS:
        line = [sys.executable, "-m", "benchmarks.mapped", way, str(zeros)]
        peak = int(subprocess.run(line, capture_output=True, check=True, text=True).stdout)
        rows.append([way, size / 1e6, peak / 1e6])
    columns = ("", "data, MB", "most held, MB")
    return Table("Data on the disk: memory", columns, rows, "Private memory (RssAnon) above that before, one epoch.")


def peak(way: str, path: Path) -> int:
    """Most private bytes above those at the start, while the data are prepared and read once."""
    seen = [held("RssAnon")]
    ended = threading.Event()
    watcher = threading.Thread(target=watch, args=(seen, ended))
    watcher.start()
    epoch(part_of(path, way), None)
    ended.set()
    watcher.join()
    return max(seen) - seen[0]


def watch(seen: list[int], ended: threading.Event) -> None:
    while not ended.wait(0.002):
        seen.append(held("RssAnon"))


if __name__ == "__main__":
    print(peak(sys.argv[1], Path(sys.argv[2])))  # a process of its own, for `memory`
