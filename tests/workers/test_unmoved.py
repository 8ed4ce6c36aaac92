"""A job ends with the same weights, bit for bit, whatever is recorded of it: not at all, every step, less or more."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.definitions.job import JobDefinition
from models.reports import EpochEnded, Report, Sampled
from workers.training.job import Trainer
from workers.training.recorder import UNSAMPLED, Recorder
from workers.training.stopwatch import Stopwatch

DIGITS, ROWS = {"dataset": "digits", "rows": 300}, {"dataset": "digits_rows", "rows": 300}
LSTM = {"family": "rnn", "cell": "lstm", "hidden": 8}
JOBS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "dnn with dropout": ({"family": "dnn", "hidden": [16, 8], "dropout": 0.3}, DIGITS, {}),
    "dnn with batch norm": ({"family": "dnn", "hidden": [16, 8], "norm": "batch"}, DIGITS, {"batch_size": 16}),
    "cnn with both": (
        {"family": "cnn", "blocks": [{"filters": 4, "pool": "max"}], "hidden": [8], "norm": "batch", "dropout": 0.2},
        DIGITS,
        {"clip": {"norm": 0.5}, "optimizer": {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9}},
    ),
    "lstm with dropout": (LSTM | {"dropout": 0.3}, ROWS, {"clip": {"value": 0.01}}),
    "accumulated": ({"family": "dnn", "hidden": [16], "dropout": 0.3}, DIGITS, {"batch_size": 8, "accumulate": 3}),
    "rmsprop": ({"family": "dnn", "hidden": [16], "activation": "gelu"}, DIGITS, {"optimizer": {"kind": "rmsprop"}}),
    "adagrad": ({"family": "dnn", "hidden": [16]}, DIGITS, {"optimizer": {"kind": "adagrad"}, "batch_size": 8}),
}  # fmt: skip
EVERYTHING: dict[str, Any] = {"every_steps": 1}
RECORDED: dict[str, dict[str, Any]] = {
    "everything at every step": EVERYTHING,
    "without activations": EVERYTHING | {"activations": False, "time": False},
    "now and then": {"every_steps": 5},
}

Result = tuple[dict[str, torch.Tensor], list[dict[str, float | None]], torch.Tensor]


@pytest.mark.parametrize("recorded", RECORDED)
@pytest.mark.parametrize("name", JOBS)
def test_recording_moves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, recorded: str) -> None:
    weights, metrics, drawn = result(name, RECORDED[recorded], folder)
    monkeypatch.setattr(Recorder, "step", lambda *_: UNSAMPLED)
    bare_weights, bare_metrics, bare_drawn = result(name, {}, folder)
    assert weights.keys() == bare_weights.keys()
    assert all(torch.equal(weights[tensor], bare_weights[tensor]) for tensor in weights)
    assert metrics == bare_metrics
    assert torch.equal(drawn, bare_drawn)


def result(name: str, gradients: dict[str, Any], folder: Path) -> Result:
    """Weights and buffers of the last step, metrics, and where the random generator is."""
    network, data, training = JOBS[name]
    asked = {"max_steps": 14, "batch_size": 40} | training
    definition = JobDefinition.model_validate(
        {"network": network, "data": data, "training": asked, "gradients": gradients}
    )
    reports: list[Report] = []
    device = torch.device("cpu")
    trainer = Trainer.prepare(definition, folder, device, reports.append, lambda: None, Stopwatch())
    trainer.run_once(0)
    assert trainer.network is not None
    metrics = [report.metrics for report in reports if isinstance(report, EpochEnded)]
    return trainer.network.state_dict(), metrics, torch.get_rng_state()


def test_what_waits_to_be_reported_can_be_read_and_stays(folder: Path) -> None:
    network, data, _ = JOBS["dnn with dropout"]
    plain = {"network": network, "data": data, "training": {"epochs": 2}, "gradients": {"every_steps": 1}}
    reports: list[Report] = []
    device = torch.device("cpu")
    trainer = Trainer.prepare(
        JobDefinition.model_validate(plain), folder, device, reports.append, lambda: None, Stopwatch()
    )
    trainer.network = trainer.build_network()
    loop = trainer.loop(seed=0)
    loop.train_epoch()
    waiting, again = loop.recorder.pending(), loop.recorder.pending()
    assert not any(isinstance(report, Sampled) for report in reports)
    assert waiting.keys() == {"tensors", "layers", "steps"}
    loop.recorder.finish()
    reported = {report.series: report.data for report in reports if isinstance(report, Sampled)}
    assert {series: chunk.encode() for series, chunk in waiting.items()} == reported
    assert {series: chunk.encode() for series, chunk in again.items()} == reported
    assert loop.recorder.pending() == {}
