"""What is reported of the data equals what numpy says of the rows as they are trained on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.catalogue import DataShape
from models.definitions.job import JobDefinition
from models.reports import Facts, Report
from workers.training import facts as module
from workers.training.job import Trainer
from workers.training.losses import constant_loss
from workers.training.parts import Mapped, Resident
from workers.training.stopwatch import Stopwatch

NETWORKS: dict[str, dict[str, Any]] = {
    "iris": {"family": "dnn", "hidden": [4]},
    "diabetes": {"family": "dnn", "hidden": [4]},
    "digits": {"family": "cnn", "blocks": [{"filters": 2}]},
    "digits_rows": {"family": "rnn", "cell": "gru", "hidden": 4},
}


def a_trainer(folder: Path, dataset: str, resident_bytes: float = 2**40, **data: Any) -> tuple[Trainer, dict[str, Any]]:
    """And what it reports."""
    reports: list[Report] = []
    chosen = {"dataset": dataset, **data}
    definition = JobDefinition.model_validate(
        {"network": NETWORKS[dataset], "data": chosen, "training": {"max_steps": 1}}
    )
    device = torch.device("cpu")
    trainer = Trainer.prepare(
        definition, folder, device, reports.append, lambda: None, Stopwatch(), resident_bytes=resident_bytes
    )
    trainer.run()
    (found,) = (report.values for report in reports if isinstance(report, Facts))
    return trainer, found


AXES = {"iris": 0, "diabetes": 0, "digits": (0, 2, 3), "digits_rows": (0, 1)}


@pytest.mark.parametrize("normalise", ["standard", "none"])
@pytest.mark.parametrize("dataset", NETWORKS)
def test_the_inputs_are_as_the_network_sees_them(folder: Path, dataset: str, normalise: str) -> None:
    trainer, found = a_trainer(folder, dataset, normalise=normalise)
    part = trainer.data.training
    assert isinstance(part, Resident)
    x = part.x.double().numpy()
    assert found["rows"] == len(x)
    assert found["input_mean"] == pytest.approx(x.mean(), abs=1e-9)
    assert found["input_rms"] == pytest.approx(np.sqrt(np.square(x).mean()))
    deviations = x.std(axis=AXES[dataset])
    varying = deviations[deviations > 0]
    assert (found["feature_std_min"], found["feature_std_max"]) == pytest.approx((varying.min(), varying.max()))
    assert found["input_nonfinite"] == 0


@pytest.mark.parametrize("normalise", ["standard", "none"])
def test_the_targets_of_a_regression_are_as_trained_on(folder: Path, normalise: str) -> None:
    trainer, found = a_trainer(folder, "diabetes", normalise=normalise)
    y = trainer.data.training.y.double().numpy()
    expected = (y.mean(), np.sqrt(np.square(y).mean()), y.std())
    assert (found["target_mean"], found["target_rms"], found["target_std"]) == pytest.approx(expected, abs=1e-9)
    assert "class_counts" not in found


def test_classes_are_counted_and_constants_are_those_of_the_skill(folder: Path) -> None:
    trainer, found = a_trainer(folder, "iris")
    training, validation = trainer.data.training, trainer.data.validation
    assert validation is not None
    assert found["class_counts"] == training.y.bincount().tolist()
    assert found["constant_loss"] == constant_loss(trainer.loss, training.y)
    assert found["validation_constant_loss"] == constant_loss(trainer.loss, validation.y)
    assert "target_mean" not in found


def test_of_many_rows_some_are_read_evenly(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 100)
    trainer, found = a_trainer(folder, "digits", resident_bytes=0, normalise="none")
    part = trainer.data.training
    assert isinstance(part, Mapped)
    chosen = part.rows[np.arange(100) * len(part) // 100]
    assert found["input_mean"] == pytest.approx(np.asarray(part.source[chosen], float).mean())


def test_what_is_not_finite_is_counted_and_shown_as_none() -> None:
    x = torch.tensor([[1.0, torch.nan], [2.0, torch.inf], [3.0, 0.0]])
    shape = DataShape("table", "classification", 3, (2,), 2, ("a", "b"))
    found = module.of_inputs(Resident(y=torch.zeros(3, dtype=torch.int64), x=x), shape)
    assert found["input_nonfinite"] == 2
    assert module._finite(found["input_mean"]) is None
