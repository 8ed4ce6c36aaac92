"""Real jobs: each fault is named rightly by what was measured, and healthy networks of every kind have none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.diagnosis.finding import Diagnosis
from models.reports import Diagnosed, Report
from tests.factories import a_definition
from workers.datasets.bundled import publish
from workers.training.job import train_job

DIGITS = {"dataset": "digits", "rows": 400}
BLOBS = {"dataset": "blobs", "parameters": {"rows": 300, "classes": 4, "features": 6}}
XOR = {"dataset": "xor", "parameters": {"rows": 200}}
SPIRALS = {"dataset": "spirals", "parameters": {"rows": 300}}
CIRCLES = {"dataset": "circles", "parameters": {"rows": 300}}
WINE_RAW = {"dataset": "wine", "normalise": "none"}
COPY = {"dataset": "copy_memory", "parameters": {"length": 40, "rows": 300}}
ADDING = {"dataset": "adding", "parameters": {"length": 20, "rows": 500}}
MLP = {"family": "dnn", "hidden": [32, 32]}


def sgd(rate: float, momentum: float = 0.0) -> dict[str, Any]:
    return {"kind": "sgd", "learning_rate": rate, "momentum": momentum}


def adam(rate: float) -> dict[str, Any]:
    return {"kind": "adam", "learning_rate": rate}


def one_in_twenty(noise: float) -> dict[str, Any]:
    parameters = {"rows": 400, "classes": 2, "features": 4, "majority": 0.95, "noise": noise}
    return {"dataset": "blobs", "parameters": parameters}


def deep(layers: int, activation: str = "relu", width: int = 32, **more: Any) -> dict[str, Any]:
    return {"family": "dnn", "hidden": [width] * layers, "activation": activation} | more


SICK: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "constant_init": (deep(2, init="zeros"), BLOBS, {"epochs": 20}),
    "wrong_output": (MLP | {"output": "softmax"}, DIGITS, {"epochs": 20}),
    "unnormalised_input": (MLP, WINE_RAW, {"epochs": 30, "optimizer": sgd(0.05)}),
    "dead_at_init": (MLP | {"init": {"kind": "he", "bias": -10.0}}, BLOBS, {"epochs": 20}),
    "saturated": (deep(4, "tanh", init={"kind": "normal", "std": 3.0}), DIGITS, {"epochs": 12}),
    "exploding_depth": (deep(8, init={"kind": "normal", "std": 0.7}), BLOBS, {"epochs": 20, "optimizer": sgd(0.05)}),
    "exploding_time": (
        {"family": "rnn", "cell": "rnn", "hidden": 24, "recurrent_init": {"kind": "orthogonal", "gain": 3.0}},
        ADDING,
        {"epochs": 12, "optimizer": adam(0.003)},
    ),
    "vanishing_depth": (deep(12, "sigmoid", init="default"), DIGITS, {"epochs": 15}),
    "vanishing_time": ({"family": "rnn", "cell": "rnn", "hidden": 24, "embedding": {"size": 8}}, COPY,
                       {"epochs": 12, "optimizer": adam(0.003), "clip": {"norm": 1.0}}),
    "learning_rate_too_high": (MLP, DIGITS, {"epochs": 15, "optimizer": sgd(8.0)}),
    "learning_rate_too_low": (MLP, DIGITS, {"epochs": 15, "optimizer": adam(1e-6)}),
    "overfit": (deep(2, width=128), {"dataset": "digits", "rows": 80, "label_noise": 0.4},
                {"epochs": 120, "batch_size": 16}),
    "slow": (MLP, DIGITS, {"epochs": 2, "batch_size": 32, "optimizer": sgd(0.05)}),
    "no_signal": (MLP, BLOBS | {"label_noise": 1.0}, {"epochs": 15}),
    "plateau": ({"family": "dnn", "hidden": []}, XOR, {"epochs": 40, "optimizer": adam(0.02)}),
    # Arms of a spiral pull a boundary to all sides: momentum adds up what single rows disagree about.
    "batch_too_small": (MLP, SPIRALS, {"epochs": 15, "batch_size": 1, "optimizer": sgd(0.02, 0.9)}),
    # Ended when it gives the frequent class to every row.
    "class_imbalance": (MLP, one_in_twenty(4.0), {"epochs": 4, "optimizer": sgd(0.01)}),
    # No step is longer than float32 can tell from none.
    "stalled": (MLP, DIGITS, {"epochs": 10, "optimizer": sgd(0.05), "clip": {"norm": 1e-9}}),
}  # fmt: skip

CONSEQUENCES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "dying_units": (deep(3), DIGITS, {"epochs": 15, "optimizer": adam(0.3)}),
    "nonfinite": (deep(3, "linear"), DIGITS, {"epochs": 5, "optimizer": sgd(1e4)}),
}
"""Of steps that are far too long, which come first."""

HEALTHY: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "digits": (MLP, DIGITS, {"epochs": 25}),
    "circles": (MLP, CIRCLES, {"epochs": 40, "optimizer": adam(0.005)}),
    "raw iris": (MLP, {"dataset": "iris", "normalise": "none"}, {"epochs": 60, "optimizer": adam(0.005)}),
    "regression": (MLP, {"dataset": "sine", "parameters": {"rows": 400, "length": 12}}, {"epochs": 30}),
    "little signal": (MLP, {"dataset": "diabetes"}, {"epochs": 10}),
    "one class in twenty rows": (MLP, one_in_twenty(2.0), {"epochs": 30}),
    "three sigmoid layers": (deep(3, "sigmoid", init="default"), DIGITS, {"epochs": 40, "optimizer": adam(0.01)}),
    "batch norm": (
        {"family": "cnn", "blocks": [{"filters": 8, "pool": "max"}, {"filters": 16}, {"filters": 16}], "norm": "batch"},
        DIGITS,
        {"epochs": 10, "optimizer": adam(0.003)},
    ),
    "fifty residual layers": (deep(50, residual=True, norm="layer", width=24), DIGITS, {"epochs": 10}),
    "dropout": (deep(2, width=128, dropout=0.5), DIGITS, {"epochs": 30, "optimizer": adam(0.003)}),
    "stacked lstm": ({"family": "rnn", "cell": "lstm", "hidden": 24, "layers": 2}, {"dataset": "digits_rows",
                     "rows": 400}, {"epochs": 15, "optimizer": adam(0.01)}),
    "bidirectional gru": (
        {"family": "rnn", "cell": "gru", "hidden": 24, "bidirectional": True},
        {"dataset": "digits_rows", "rows": 400},
        {"epochs": 12, "optimizer": adam(0.01)},
    ),
    "each time step": (
        {"family": "rnn", "cell": "rnn", "hidden": 24, "readout": "each", "bidirectional": True},
        {"dataset": "lookahead", "parameters": {"length": 12, "rows": 300, "lag": 1}},
        {"epochs": 20, "optimizer": adam(0.01)},
    ),
}  # fmt: skip


def diagnosis_of(network: Any, data: Any, training: Any, folder: Path, **more: Any) -> Diagnosis:
    reports: list[Report] = []
    torch.set_num_threads(1)
    definition = a_definition(network=network, data=data, training=training, **more)
    train_job(definition, folder, torch.device("cpu"), reports.append, lambda: None)
    return next(report.diagnosis for report in reversed(reports) if isinstance(report, Diagnosed))


@pytest.mark.parametrize("code", SICK)
def test_a_sick_job_is_named_rightly(code: str, folder: Path) -> None:
    diagnosis = diagnosis_of(*SICK[code], folder)
    assert (diagnosis.verdict, diagnosis.findings[0].code) == ("unhealthy", code), diagnosis.findings


@pytest.mark.parametrize("code", CONSEQUENCES)
def test_what_follows_from_steps_too_long_is_named_as_their_consequence(code: str, folder: Path) -> None:
    cause, *others = diagnosis_of(*CONSEQUENCES[code], folder).findings
    assert (cause.code, cause.severity) == ("learning_rate_too_high", "fault")
    assert code in cause.consequences
    assert code in [finding.code for finding in others]


def test_where_the_data_give_no_more_a_job_that_learned_as_much_is_warned(folder: Path) -> None:
    diagnosis = diagnosis_of(MLP, {"dataset": "diabetes"}, {"epochs": 10}, folder)
    assert (diagnosis.verdict, diagnosis.findings[0].code) == ("warning", "low_signal")


def test_raw_targets_alone_are_the_cause(folder: Path, tmp_path: Path) -> None:
    """Features that come standardised, as scikit-learn has them, and targets in their own units."""
    x, y = (np.load(folder / "diabetes" / name) for name in ("x.npy", "y.npy"))
    publish(tmp_path / "diabetes", (x - x.mean(axis=0)) / x.std(axis=0), y)
    diagnosis = diagnosis_of(MLP, {"dataset": "diabetes", "normalise": "none"}, {"epochs": 20}, tmp_path)
    assert (diagnosis.verdict, diagnosis.findings[0].code) == ("unhealthy", "unnormalised_target")
    assert "unnormalised_input" not in [finding.code for finding in diagnosis.findings]


def test_a_nan_in_the_data_is_the_cause_of_all_that_follows(folder: Path, tmp_path: Path) -> None:
    x, y = (np.load(folder / "digits" / name) for name in ("x.npy", "y.npy"))
    x[:, 0, 3, 3] = np.where(np.arange(len(x)) % 100 == 7, np.nan, x[:, 0, 3, 3])
    publish(tmp_path / "digits", x, y)
    diagnosis = diagnosis_of(MLP, DIGITS | {"normalise": "none"}, {"epochs": 5}, tmp_path)
    assert (diagnosis.verdict, diagnosis.findings[0].code) == ("unhealthy", "nonfinite")
    assert "the data have such values" in diagnosis.findings[0].explanation


def test_raw_features_and_targets_are_both_named(folder: Path) -> None:
    diagnosis = diagnosis_of(MLP, {"dataset": "diabetes", "normalise": "none"}, {"epochs": 20}, folder)
    assert [finding.code for finding in diagnosis.findings][:2] == ["unnormalised_input", "unnormalised_target"]


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_job_has_no_fault(name: str, folder: Path) -> None:
    diagnosis = diagnosis_of(*HEALTHY[name], folder)
    assert diagnosis.verdict in ("healthy", "warning"), diagnosis.findings
