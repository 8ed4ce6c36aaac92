"""Synthetic records for the rules: what a healthy job would have measured, with what a test wants to be different."""

from typing import Any

import numpy as np

from models.diagnosis.diagnose import diagnose
from models.diagnosis.evidence import Evidence, Gathering, Samples
from models.diagnosis.finding import Diagnosis
from models.metrics import METRICS
from models.series import SERIES
from models.shapes import Architecture
from models.time_axis import time_axis
from tests.factories import a_definition

SAMPLES, EPOCHS = 30, 20
DEEP = {"family": "dnn", "hidden": [16] * 6}
PLAIN_RNN = {"family": "rnn", "cell": "rnn", "hidden": 8}
ADDING = {"dataset": "adding", "parameters": {"length": 30}}

FAILING = {"skill": 0.02, "validation_skill": 0.01, "train_loss": 0.68, "validation_loss": 0.69}
"""Epochs of a job that learned nothing; the loss of guessing is 0.693."""
FACTS = {
    "constant_loss": 0.693,
    "validation_constant_loss": 0.693,
    "input_mean": 0.0,
    "input_rms": 1.0,
    "feature_std_min": 1.0,
    "feature_std_max": 1.0,
    "class_counts": [160, 160],
    "reference": {"nearest": {"train_skill": 0.95, "validation_skill": 0.95}},
}
HEALTHY: dict[str, dict[str, float]] = {
    "tensors": {"norm": 0.5, "norm_clipped": 0.5, "weight_norm": 4.0, "update_ratio": 2e-3},
    "layers": {"gradient_rms": 0.1, "preactivation_rms": 1.0, "activation_rms": 0.7, "gain": 1.0, "dead": 0.1,
               "saturation": 0.7},
    "time": {"norm": 0.1},
    "steps": {"loss": 0.7, "rho": 0.8, "loss_after": 0.69, "predicted": -0.01, "probe_gradient": float("nan")},
    "flight": {},
}  # fmt: skip


def a_record(
    network: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
    epochs: dict[str, Any] | None = None,
    complete: bool = True,
    incident: Any = None,
    planned_steps: int = EPOCHS * 5,
    **statistics: Any,
) -> Evidence:
    """`epochs` and `statistics` (named `series__statistic`, e.g. `steps__rho`) are numbers, or arrays that broadcast to
    [epochs], [samples] or [samples, columns]."""
    changes = {"network": network or DEEP, "training": {"epochs": EPOCHS} | (training or {})}
    definition = a_definition(**changes, **({"data": data} if data else {}))
    empty = Gathering(definition).evidence(complete)
    series = {name: _series(name, columns, statistics) for name, columns in _columns(empty.architecture).items()}
    return Evidence(definition, FACTS | (facts or {}), _epochs(epochs or {}), series, incident, complete, planned_steps)


def _columns(architecture: Architecture) -> dict[str, int]:
    axis = time_axis(architecture)
    return {
        "tensors": len(architecture.tensors),
        "layers": len(architecture.hidden),
        "time": len(axis.layers) * len(axis.time_steps) if axis else 0,
        "steps": 1,
        "flight": 0,
    }


def _series(name: str, columns: int, statistics: dict[str, Any]) -> Samples:
    values = np.zeros((SAMPLES, len(SERIES[name]), columns), np.float32)
    for place, statistic in enumerate(SERIES[name]):
        given = np.asarray(statistics.get(f"{name}__{statistic}", HEALTHY[name].get(statistic, 0.0)), float)
        values[:, place] = given[:, None] if given.shape == (SAMPLES,) else given
    return Samples(name, np.arange(SAMPLES) * 3, values if columns else values[:0])


def _epochs(given: dict[str, Any]) -> dict[str, np.ndarray]:
    falling = np.linspace(0.69, 0.05, EPOCHS)
    healthy = {"train_loss": falling, "validation_loss": falling + 0.01, "train_accuracy": 0.97,
               "validation_accuracy": 0.97, "skill": 0.93, "validation_skill": 0.92}  # fmt: skip
    values = {name: np.broadcast_to(np.asarray(value, float), EPOCHS) for name, value in (healthy | given).items()}
    missing = np.full(EPOCHS, np.nan)
    return {"step": np.arange(1, EPOCHS + 1) * 5.0} | {name: values.get(name, missing) for name in METRICS}


def codes(diagnosis: Diagnosis) -> list[str]:
    return [finding.code.value for finding in diagnosis.findings]


def faults(evidence: Evidence) -> list[str]:
    return [finding.code.value for finding in diagnose(evidence).findings if finding.severity == "fault"]
