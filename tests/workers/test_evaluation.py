"""Numbers of an evaluation, against numbers by hand and slower twins."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.catalogue import DataShape
from tests.workers.exported import trained
from workers.training.evaluation import BINS, evaluation_of

THREE = DataShape("table", "classification", 6, (2,), 3, ("a", "b", "c"))
VALUES = DataShape("table", "regression", 4, (2,), 1)
PROBABILITIES = torch.tensor(
    [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]
)
TRUTH = torch.tensor([0, 1, 1, 1, 0, 2])


def test_classes_by_hand() -> None:
    evaluation = evaluation_of(THREE)
    evaluation.add(PROBABILITIES[:4], TRUTH[:4])
    evaluation.add(PROBABILITIES[4:], TRUTH[4:])
    found = evaluation.result()
    assert found["confusion"] == [[1, 1, 0], [1, 2, 0], [0, 0, 1]]
    assert [one["support"] for one in found["classes"]] == [2, 3, 1]
    assert [one["precision"] for one in found["classes"]] == pytest.approx([1 / 2, 2 / 3, 1])
    assert [one["recall"] for one in found["classes"]] == pytest.approx([1 / 2, 2 / 3, 1])
    assert [one["f1"] for one in found["classes"]] == pytest.approx([1 / 2, 2 / 3, 1])
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["macro_f1"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    told = [0.7, 0.3, 0.8, 0.4, 0.2, 0.8]
    assert found["log_loss"] == pytest.approx(-sum(map(math.log, told)) / 6, rel=1e-6)


def test_the_calibration_error_is_the_distance_of_confidence_and_accuracy_over_bins() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(500, 3)) * 2
    probabilities = torch.tensor(logits).softmax(1)
    truth = torch.tensor(random.integers(0, 3, 500))
    evaluation = evaluation_of(THREE)
    evaluation.add(probabilities, truth)
    calibration = evaluation.result()["calibration"]
    ece = 0.0
    for index in range(BINS):
        inside = [
            (row.max().item(), row.argmax().item() == actual)
            for row, actual in zip(probabilities, truth.tolist(), strict=True)
            if index / BINS < row.max().item() <= (index + 1) / BINS
        ]
        assert calibration["bins"][index]["rows"] == len(inside)
        if inside:
            confidence, accuracy = np.mean([one for one, _ in inside]), np.mean([right for _, right in inside])
            assert calibration["bins"][index]["confidence"] == pytest.approx(confidence)
            assert calibration["bins"][index]["accuracy"] == pytest.approx(accuracy)
            ece += len(inside) / 500 * abs(confidence - accuracy)
    assert calibration["ece"] == pytest.approx(ece)


def test_a_class_that_is_never_told_has_no_precision() -> None:
    evaluation = evaluation_of(THREE)
    evaluation.add(PROBABILITIES[:1], TRUTH[:1])
    found = evaluation.result()["classes"]
    assert (found[1]["precision"], found[1]["recall"], found[1]["f1"]) == (None, None, None)


def test_rows_that_are_not_finite_are_counted_apart() -> None:
    evaluation = evaluation_of(THREE)
    evaluation.add(torch.cat([PROBABILITIES, torch.full((2, 3), torch.nan)]), torch.cat([TRUTH, TRUTH[:2]]))
    found = evaluation.result()
    assert (found["rows"], found["nonfinite"], found["accuracy"]) == (8, 2, pytest.approx(4 / 6))


def test_each_time_step_counts() -> None:
    evaluation = evaluation_of(THREE)
    evaluation.add(PROBABILITIES.reshape(2, 3, 3), TRUTH.reshape(2, 3))
    assert evaluation.result()["rows"] == 6


def test_residuals_by_hand() -> None:
    evaluation = evaluation_of(VALUES)
    evaluation.add(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [2.0]]))
    evaluation.add(torch.tensor([[3.0], [8.0]]), torch.tensor([[4.0], [6.0]]))
    found = evaluation.result()
    [output] = found["outputs"]
    assert found["rmse"] == pytest.approx(math.sqrt((1 + 0 + 1 + 4) / 4))
    assert found["mae"] == pytest.approx(1)
    assert found["r2"] == pytest.approx(1 - 6 / 20)
    assert (output["mean"], output["median"], output["min"], output["max"]) == (0.5, 0.5, -1, 2)
    assert output["std"] == pytest.approx(math.sqrt(1.25))
    assert sum(output["histogram"]["counts"]) == 4


def test_equal_targets_have_no_r2_and_nothing_has_nothing() -> None:
    evaluation = evaluation_of(VALUES)
    evaluation.add(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [3.0]]))
    assert evaluation.result()["r2"] is None
    empty = evaluation_of(VALUES)
    empty.add(torch.tensor([[torch.nan]]), torch.tensor([[3.0]]))
    assert empty.result() == {
        "task": "regression", "rows": 1, "nonfinite": 1, "rmse": None, "mae": None, "r2": None, "outputs": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "metric"),
    [
        ({"data": {"dataset": "xor"}}, "accuracy"),
        ({"data": {"dataset": "xor"}, "training": {"loss": "binary_cross_entropy", "epochs": 3}}, "accuracy"),
        ({"data": {"dataset": "diabetes"}}, "rmse"),
        (
            {"network": {"family": "rnn", "hidden": 3, "readout": "each"}, "data": {"dataset": "lookahead"}},
            "mae",
        ),
    ],
)
def test_a_job_is_evaluated_with_the_weights_of_its_best_epoch(
    changes: dict, metric: str, tmp_path: Path, folder: Path
) -> None:
    job = trained(tmp_path, folder, **changes)
    best = job.ended.runs[0]["best"]
    assert job.kept.evaluation is not None
    assert job.kept.evaluation[metric] == pytest.approx(best[f"validation_{metric}"], rel=1e-6)


def test_without_validation_there_is_no_evaluation(tmp_path: Path) -> None:
    job = trained(tmp_path, data={"dataset": "xor", "validation": None})
    assert job.kept.evaluation is None
    assert job.kept.checkpoint is not None
