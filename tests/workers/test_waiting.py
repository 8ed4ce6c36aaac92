"""No step of an epoch waits for its device: nothing is read back before the epoch's metrics are asked for."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from models.definitions.job import JobDefinition
from workers.training import native
from workers.training.job import Trainer
from workers.training.loop import Loop
from workers.training.metrics import MeanLoss
from workers.training.networks import build
from workers.training.stopwatch import Stopwatch

READS = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "nonzero", "unique")
"""Methods of a tensor that give Python a number of the device, or a tensor whose shape depends on one."""

JOBS: dict[str, dict[str, Any]] = {
    "dnn": {"network": {"family": "dnn", "hidden": [16, 8], "norm": "batch", "dropout": 0.1}},
    "cnn": {"network": {"family": "cnn", "blocks": [{"filters": 4, "pool": "max"}], "hidden": [8]}},
    "gru": {"network": {"family": "rnn", "cell": "gru", "hidden": 8}, "data": {"dataset": "digits_rows"}},
    "regression": {"data": {"dataset": "diabetes"}, "training": {"loss": "huber"}},
    "accumulated": {"training": {"accumulate": 3, "class_weights": "balanced", "clip": {"norm": 0.1}}},
    "clipped": {"training": {"accumulate": 3, "clip": {"value": 0.1}, "optimizer": {"kind": "sgd"}}},
    "rmsprop": {"training": {"optimizer": {"kind": "rmsprop", "momentum": 0.5}, "weight_decay": 0.1}},
    "adagrad": {"training": {"optimizer": {"kind": "adagrad"}}},
}


class Watching(TorchFunctionMode):
    """Remembers what waits: reads, and indexing by truth."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in READS or (name == "__getitem__" and is_truth(args[1])):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def is_truth(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, torch.Tensor) and part.dtype == torch.bool for part in parts)


def a_loop(name: str, folder: Path, device: torch.device, resident_bytes: float = 1e9) -> Loop:
    """Every other step is sampled."""
    parts = JOBS[name]
    job = JobDefinition.model_validate(
        {
            "network": parts.get("network", {"family": "dnn", "hidden": [8]}),
            "data": {"dataset": "digits", "rows": 120} | parts.get("data", {}),
            "training": {"epochs": 600, "batch_size": 16} | parts.get("training", {}),
            "gradients": {"every_steps": 2},
        }
    )
    trainer = Trainer.prepare(job, folder, device, lambda report: None, lambda: None, Stopwatch(), resident_bytes)
    trainer.network = build(job.network, trainer.shape).to(device)
    return trainer.loop(0)


@pytest.mark.parametrize("name", JOBS)
def test_a_step_reads_nothing_back(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as a CPU can show it: with the statistics that a GPU computes. Copies to a GPU it cannot show."""
    monkeypatch.setattr(native, "LIBRARY", None)
    loop = a_loop(name, folder, torch.device("cpu"))
    watching, at_the_end = Watching(), []
    plain = MeanLoss.mean

    def mean(losses: MeanLoss) -> float | None:
        at_the_end.append(len(watching.seen))
        return plain(losses)

    monkeypatch.setattr(MeanLoss, "mean", mean)
    with watching:
        loop.train_epoch()
    assert at_the_end == [0], watching.seen
    assert "tolist" in watching.seen  # of the mean


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("resident_bytes", [1e9, 0])
@pytest.mark.parametrize("name", JOBS)
def test_on_a_gpu_no_step_waits(
    name: str, resident_bytes: float, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = a_loop(name, folder, torch.device("cuda"), resident_bytes)
    loop.train_epoch()  # in which a graph is recorded
    plain = MeanLoss.mean

    def mean(losses: MeanLoss) -> float | None:
        torch.cuda.set_sync_debug_mode("default")
        return plain(losses)

    monkeypatch.setattr(MeanLoss, "mean", mean)
    torch.cuda.set_sync_debug_mode("error")
    try:
        loop.train_epoch()
    finally:
        torch.cuda.set_sync_debug_mode("default")
