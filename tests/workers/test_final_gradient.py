"""Statistics are of the gradient that the optimizer steps along: accumulated, clipped, in float32, once a step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.definitions.job import JobDefinition
from models.reports import EpochEnded, Report, Sampled
from models.series import STATISTICS, Chunk
from workers.training.job import train_job

CPU = torch.device("cpu")


def sampled(folder: Path, network: dict[str, Any] | None = None, **training: Any) -> tuple[Any, list[EpochEnded]]:
    """Every statistic of every step, by name [steps, tensors], and the epochs."""
    plain = {
        "network": {"family": "dnn", "hidden": [16, 8], "activation": "tanh"} | (network or {}),
        "data": {"dataset": "wine", "rows": 120},
        "training": {"epochs": 2} | training,
        "gradients": {"every_steps": 1},
    }
    reports: list[Report] = []
    train_job(JobDefinition.model_validate(plain), folder, CPU, reports.append, lambda: None)
    series = [report for report in reports if isinstance(report, Sampled) and report.series == "tensors"]
    values = np.concatenate([Chunk.decode(report.data).values for report in series])
    return (
        {name: values[:, index] for index, name in enumerate(STATISTICS)},
        [report for report in reports if isinstance(report, EpochEnded)],
    )


@pytest.mark.parametrize("more", [{}, {"class_weights": "balanced"}, {"clip": {"norm": 0.1}}])
def test_batches_that_are_accumulated_make_the_step_of_one_large_batch(folder: Path, more: dict[str, Any]) -> None:
    whole, whole_epochs = sampled(folder, batch_size=50, **more)
    parts, parts_epochs = sampled(folder, batch_size=10, accumulate=5, **more)
    assert len(whole["norm"]) == 6  # of 50, 50 and 20 rows, twice
    for name in STATISTICS:
        np.testing.assert_allclose(parts[name], whole[name], rtol=2e-4, atol=1e-7, err_msg=name)
    for one, other in zip(parts_epochs, whole_epochs, strict=True):
        assert one.metrics["validation_loss"] == pytest.approx(other.metrics["validation_loss"], rel=1e-5)


def test_a_recurrent_job_may_accumulate_too(folder: Path) -> None:
    network = {"family": "rnn", "cell": "gru", "hidden": 6, "readout": "mean"}
    reports: list[Report] = []
    for batch_size, accumulate in ((400, 1), (100, 4)):
        plain = {
            "network": network,
            "data": {"dataset": "adding", "parameters": {"length": 12, "rows": 1000}},
            "training": {"epochs": 1, "batch_size": batch_size, "accumulate": accumulate},
            "gradients": {"every_steps": 1},
        }
        train_job(JobDefinition.model_validate(plain), folder, CPU, reports.append, lambda: None)
    series = [Chunk.decode(r.data).values for r in reports if isinstance(r, Sampled) and r.series == "tensors"]
    np.testing.assert_allclose(series[0][:, :2], series[1][:, :2], rtol=1e-3, atol=1e-6)
    assert sum(isinstance(r, Sampled) and r.series == "time" for r in reports) == 2


def test_the_train_loss_of_accumulated_batches_is_the_mean_over_rows(folder: Path) -> None:
    _, whole = sampled(folder, batch_size=50)
    _, parts = sampled(folder, batch_size=10, accumulate=5)
    assert parts[0].metrics["train_loss"] == pytest.approx(whole[0].metrics["train_loss"], rel=1e-5)


def test_a_last_batch_of_one_row_is_left_out_where_batch_norm_is(folder: Path) -> None:
    values, _ = sampled(folder, {"norm": "batch"}, batch_size=17, accumulate=4)  # 7 batches, and one row
    assert len(values["norm"]) == 2 * 2


def test_norms_are_taken_before_and_after_clipping(folder: Path) -> None:
    values, _ = sampled(folder, batch_size=20, clip={"norm": 0.25})
    total, clipped = (np.sqrt((values[name].astype(float) ** 2).sum(1)) for name in ("norm", "norm_clipped"))
    assert (total > 0.25).any()
    np.testing.assert_allclose(clipped, np.minimum(total, 0.25), rtol=1e-4)
    plain, _ = sampled(folder, batch_size=20)
    np.testing.assert_array_equal(plain["norm"], plain["norm_clipped"])


def test_under_bfloat16_they_are_those_of_a_float32_gradient(folder: Path) -> None:
    """Autocast computes the layers in bfloat16; what the optimizer gets is float32, and that is what is measured."""
    halves, _ = sampled(folder, batch_size=40, precision="bfloat16", optimizer={"kind": "sgd", "learning_rate": 0.5})
    floats, _ = sampled(folder, batch_size=40, optimizer={"kind": "sgd", "learning_rate": 0.5})
    np.testing.assert_allclose(halves["norm"][:2], floats["norm"][:2], rtol=0.05)
    moved = halves["update_ratio"][1:] * halves["weight_norm"][:-1]
    np.testing.assert_allclose(moved, 0.5 * halves["norm"][1:], rtol=1e-3)


def test_a_step_moves_the_weights_by_what_was_measured(folder: Path) -> None:
    """Gradient descent by hand from the statistics alone: ||dw|| = rate x ||g after clipping||."""
    rate = 0.1
    optimizer = {"kind": "sgd", "learning_rate": rate}
    values, _ = sampled(folder, batch_size=30, accumulate=2, clip={"norm": 0.2}, optimizer=optimizer)
    moved = values["update_ratio"][1:] * values["weight_norm"][:-1]
    np.testing.assert_allclose(moved, rate * values["norm_clipped"][1:], rtol=1e-3)
