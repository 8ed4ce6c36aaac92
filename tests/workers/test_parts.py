"""Parts that are mapped: the same batches and the same training as resident ones, in bounded memory."""

import gc
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.catalogue import DataShape
from models.definitions.data import Data
from models.definitions.job import JobDefinition
from models.reports import Ended, EpochEnded, Report
from workers.datasets import arrays, bundled, shelf
from workers.datasets.arrays import Arrays
from workers.training import job, parts, scale
from workers.training.data import prepare
from workers.training.parts import Mapped, Part, Resident
from workers.training.stopwatch import Stopwatch

CPU = torch.device("cpu")
DIGITS = {"dataset": "digits", "rows": 500}
SINE: dict[str, Any] = {"dataset": "sine", "parameters": {"rows": 300}}
COPY = {"dataset": "copy_memory", "parameters": {"rows": 200, "length": 5}}
BLOCKS = {"family": "cnn", "blocks": [{"filters": 4, "pool": "max"}, {"filters": 4}], "norm": "batch"}
AUTOENCODER = {"kind": "autoencoder", "epochs": 2}


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Jobs find also the generated sets in files, and read small pieces."""

    def load(name: str, parameters: dict[str, Any], folder: Path) -> Arrays:
        made = arrays.load(name, parameters, folder)
        bundled.publish(tmp_path / name, made.x, made.y)
        return arrays.mapped(name, tmp_path)

    monkeypatch.setattr(shelf, "load", load)
    monkeypatch.setattr(parts, "BLOCK_VALUES", 5000)
    monkeypatch.setattr(scale, "CHUNK_VALUES", 3000)


def a_part(x: Any, resident_bytes: float = 0, **data: Any) -> Part:
    """The training part of a table."""
    x = np.asarray(x, np.float32)
    shape = DataShape("table", "classification", len(x), x.shape[1:], 2)
    definition = Data(**{"dataset": "xor", "validation": None} | data)
    return prepare(definition, Arrays(x, np.arange(len(x)) % 2), shape, CPU, resident_bytes).training


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("reader")]


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize(
    ("network", "data", "training"),
    [
        ({"family": "dnn", "hidden": [16], "dropout": 0.2}, DIGITS, {}),
        ({"family": "dnn", "hidden": [16]}, DIGITS, {"max_steps": 11}),
        ({"family": "dnn", "hidden": [16]}, DIGITS | {"validation": None, "normalise": "minmax"}, {}),
        ({"family": "dnn", "hidden": [16, 8]}, DIGITS, {"pretraining": AUTOENCODER}),
        ({"family": "dnn", "hidden": [16]}, {"dataset": "diabetes", "label_noise": 0.2}, {"batch_size": 7}),
        ({"family": "dnn", "hidden": [16]}, SINE | {"features": "last"}, {}),
        (BLOCKS, DIGITS, {"batch_size": 50, "restarts": 2}),
        ({"family": "rnn", "cell": "lstm", "hidden": 8}, DIGITS | {"dataset": "digits_rows"}, {}),
        ({"family": "rnn", "hidden": 8, "readout": "each"}, SINE | {"parameters": {"rows": 300, "each": True}}, {}),
        ({"family": "rnn", "hidden": 8, "embedding": {"size": 3}}, COPY, {"class_weights": "balanced"}),
    ],
)
def test_a_mapped_job_trains_bit_for_bit_as_a_resident_one(
    folder: Path, network: dict[str, Any], data: dict[str, Any], training: dict[str, Any]
) -> None:
    plain = {"network": network, "data": data, "training": {"epochs": 3} | training}
    found = []
    for resident_bytes, way in ((1e12, Resident), (0, Mapped)):
        reports: list[Report] = []
        definition = JobDefinition.model_validate(plain)
        watch = Stopwatch()
        trainer = job.Trainer.prepare(definition, folder, CPU, reports.append, lambda: None, watch, resident_bytes)
        assert {type(trainer.data.training), type(trainer.data.validation)} <= {way, type(None)}
        assert trainer.run() == "succeeded"
        metrics = [report.metrics for report in reports if isinstance(report, EpochEnded)]
        found.append((metrics, trainer.runs, trainer.network.state_dict()))
    resident, mapped = found
    assert mapped[:2] == resident[:2]
    assert all(torch.equal(mapped[2][name], value) for name, value in resident[2].items())


@pytest.mark.parametrize("block", [1, 40, 100, 10**6])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_batches_are_slices_of_the_order_however_much_is_read_at_once(
    monkeypatch: pytest.MonkeyPatch, block: int, size: int
) -> None:
    monkeypatch.setattr(parts, "BLOCK_VALUES", block)
    x = np.random.default_rng(0).normal(size=(100, 2))
    order = torch.randperm(80, generator=torch.Generator().manual_seed(1))
    resident, mapped = (a_part(x, limit, rows=80) for limit in (1e9, 0))
    for part in (resident, mapped):
        batches = list(part.batches(order, size, 5))
        assert [len(y) for _, y in batches] == [min(size, 80 - size * step) for step in range(5) if size * step < 80]
        for index, found in enumerate(zip(*batches, strict=True)):
            assert torch.equal(torch.cat(found), (resident.x, resident.y)[index][order[: 5 * size]])
        assert torch.equal(torch.cat([x for x, _ in part.in_order(size)]), resident.x)


def test_what_is_larger_than_the_limit_is_mapped() -> None:
    x = np.zeros((50, 3))
    assert isinstance(a_part(x, 50 * 3 * 4), Resident)
    assert isinstance(a_part(x, 50 * 3 * 4 - 1), Mapped)
    tokens = DataShape("tokens", "classification", 50, (3,), 2)
    for limit, way in ((50 * 3 * 8, Resident), (50 * 3 * 8 - 1, Mapped)):
        whole = Arrays(x.astype(np.int64), np.arange(50) % 2)
        assert isinstance(prepare(Data(dataset="copy_memory"), whole, tokens, CPU, limit).training, way)


def test_the_reader_is_gone_when_the_batches_are_and_when_the_caller_leaves_early() -> None:
    part = a_part(np.zeros((1000, 600)))
    assert len(list(part.in_order(100))) == 10
    assert readers() == []
    for _ in part.in_order(100):
        assert len(readers()) == 1
        break
    assert readers() == []


def test_what_fails_in_the_reader_is_raised_where_the_batches_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    read, calls = parts.rows_of, iter(range(100))

    def torn(*arguments: Any, **options: Any) -> torch.Tensor:
        if next(calls) == 3:
            raise OSError("the disk is gone")
        return read(*arguments, **options)

    part = a_part(np.zeros((1000, 600)))
    monkeypatch.setattr(parts, "rows_of", torn)
    monkeypatch.setattr(parts, "BLOCK_VALUES", 1)
    batches = part.in_order(100)
    assert [len(next(batches)[1]) for _ in range(3)] == [100, 100, 100]
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert readers() == []


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize("pretraining", [None, AUTOENCODER])
def test_no_reader_outlives_a_job_that_is_cancelled_or_fails(folder: Path, pretraining: Any) -> None:
    plain = {"network": {"family": "dnn", "hidden": [4]}, "data": DIGITS, "training": {"pretraining": pretraining}}
    definition = JobDefinition.model_validate(plain)
    reports: list[Report] = []
    job.train_job(definition, folder, CPU, reports.append, lambda: "cancel", 0)
    assert [report.outcome for report in reports if isinstance(report, Ended)] == ["cancelled"]
    assert readers() == []

    def fail() -> bool:
        assert len(readers()) == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        job.train_job(definition, folder, CPU, reports.append, fail, 0)
    gc.collect()
    assert readers() == []


MEASURED = """
import sys, threading, time
import numpy as np, torch
from models.catalogue import DataShape
from models.definitions.data import Data
from workers.datasets.arrays import Arrays
from workers.training.data import prepare

def private():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("RssAnon"))

def watch():
    while True:
        seen.append(private())
        time.sleep(0.002)

x = np.load(sys.argv[1], mmap_mode="r")
shape = DataShape("image", "classification", len(x), x.shape[1:], 2)
before, seen = private(), []
threading.Thread(target=watch, daemon=True).start()
definition = Data(dataset="digits", validation=0.1)
prepared = prepare(definition, Arrays(x, np.arange(len(x)) % 2), shape, torch.device("cpu"), float(sys.argv[2]))
for part in (prepared.training, prepared.validation):
    for batch in part.batches(torch.randperm(len(part)), 64, 10**6):
        seen.append(private())
print(max(seen) - before)
"""


def test_a_mapped_part_holds_a_few_blocks_and_a_resident_one_everything(tmp_path: Path) -> None:
    rows = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (25_000, 3, 32, 32))
    size = rows.nbytes
    assert size > 300e6

    def peak(resident_bytes: float) -> int:
        command = [sys.executable, "-c", MEASURED, str(tmp_path / "x.npy"), str(resident_bytes)]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    assert peak(0) < 40e6
    assert size < peak(1e12) < 1.2 * size
