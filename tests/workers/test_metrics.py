import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, mean_squared_error, r2_score
from torch.nn.functional import cross_entropy

from models.catalogue import shape_of
from workers.training.losses import Loss, constant_loss
from workers.training.metrics import Confusion, Errors, meter, skill
from workers.training.scale import TargetScale

CPU = torch.device("cpu")


def scale(offset=0.0, factor=1.0) -> TargetScale:
    return TargetScale(torch.tensor([offset]).double(), torch.tensor([factor]).double())


def measured(meter, outputs, targets, batch=7):
    """The metrics after adding the rows in batches."""
    for start in range(0, len(targets), batch):
        meter.add(outputs[start : start + batch], targets[start : start + batch])
    return meter.metrics()


@pytest.mark.parametrize("seed", range(10))
def test_classification_agrees_with_scikit_learn(seed):
    rng = torch.Generator().manual_seed(seed)
    classes, rows = 2 + 3 * seed, 5 + 40 * seed  # at first some classes are absent
    logits, y = torch.randn(rows, classes, generator=rng), torch.randint(classes, (rows,), generator=rng)
    metrics, predicted = measured(Confusion(classes, CPU), logits, y), logits.argmax(1)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(y, predicted), abs=1e-12)
    assert metrics["macro_f1"] == pytest.approx(f1_score(y, predicted, average="macro"), abs=1e-12)


def test_a_class_in_neither_truth_nor_prediction_is_left_out():
    logits, y = torch.eye(5)[[0, 1, 1]], torch.tensor([0, 1, 0])
    metrics = measured(Confusion(5, CPU), logits, y)
    assert metrics["macro_f1"] == pytest.approx(2 / 3)
    assert metrics["macro_f1"] == pytest.approx(f1_score(y, [0, 1, 1], average="macro"))


def test_a_class_that_is_never_hit_counts_as_0():
    metrics = measured(Confusion(3, CPU), torch.eye(3)[[0, 2]], torch.tensor([0, 1]))
    assert metrics["macro_f1"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", range(10))
def test_regression_agrees_with_scikit_learn_in_the_targets_own_units(seed):
    rng, outputs = np.random.default_rng(seed), 1 + seed % 3
    truth, predicted = (rng.normal(300, 20, size=(50 + seed, outputs)) for _ in range(2))
    scaled = [torch.tensor((values - 300) / 20) for values in (predicted, truth)]
    metrics = measured(Errors(scale(300, 20)), *scaled)
    assert metrics["rmse"] == pytest.approx(math.sqrt(mean_squared_error(truth, predicted)), rel=1e-10)
    assert metrics["mae"] == pytest.approx(mean_absolute_error(truth, predicted), rel=1e-10)
    assert metrics["r2"] == pytest.approx(r2_score(truth, predicted), rel=1e-10)


def test_targets_of_each_step_count_as_rows_of_their_own():
    outputs, y = torch.randn(6, 9, 2), torch.randn(6, 9, 2)
    flat = measured(Errors(scale()), outputs.reshape(54, 2), y.reshape(54, 2))
    assert measured(Errors(scale()), outputs, y) == pytest.approx(flat)


def test_r2_is_stable_where_targets_are_far_from_zero():
    rng = np.random.default_rng(0)
    truth = 1e9 + rng.normal(size=(1000, 1))
    predicted = truth + 0.1 * rng.normal(size=(1000, 1))
    metrics = measured(Errors(scale()), torch.tensor(predicted), torch.tensor(truth))
    assert metrics["r2"] == pytest.approx(r2_score(truth - 1e9, predicted - 1e9), rel=1e-6)


def test_float32_outputs_are_summed_in_double():
    outputs, y = torch.full((100_000, 1), 0.1), torch.zeros(100_000, 1)
    metrics = measured(Errors(scale()), outputs, y, batch=1000)
    assert metrics["mae"] == pytest.approx(float(np.float32(0.1)), rel=1e-12)


def test_r2_is_nan_where_all_targets_are_equal():
    metrics = measured(Errors(scale(0.1, 0.3)), torch.randn(30, 1), torch.full((30, 1), 0.7))
    assert math.isnan(metrics["r2"])
    assert math.isfinite(metrics["rmse"])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["xor", "diabetes"])
def test_one_output_that_is_not_finite_makes_every_metric_nan(name, bad):
    shape = shape_of(name, {})
    outputs = torch.randn(30, shape.outputs)
    outputs[3, 0] = bad
    y = torch.zeros(30, dtype=torch.int64) if shape.task == "classification" else torch.randn(30, 1)
    metrics = measured(meter(shape, scale(), CPU), outputs, y)
    assert all(math.isnan(value) for value in metrics.values())


@pytest.mark.parametrize(("name", "metrics"), [("xor", ["accuracy", "macro_f1"]), ("sine", ["rmse", "mae", "r2"])])
def test_a_task_has_its_metrics(name, metrics):
    shape = shape_of(name, {})
    y = torch.tensor([0, 1]) if shape.task == "classification" else torch.randn(2, 1)
    assert list(measured(meter(shape, scale(), CPU), torch.randn(2, shape.outputs), y)) == metrics


def test_a_meter_keeps_neither_the_graph_nor_the_callers_memory():
    outputs = torch.ones(4, 1, requires_grad=True)
    errors = Errors(scale())
    errors.add(outputs * 1, torch.tensor([[1.0], [2.0], [3.0], [4.0]]))
    assert not errors.outputs[0].requires_grad
    reused = torch.ones(4, 1)
    errors = Errors(scale())
    errors.add(reused, torch.zeros(4, 1))
    reused.fill_(100)
    assert errors.metrics()["mae"] == 1


def test_the_best_constant_for_classes_predicts_their_shares():
    y = torch.tensor([0] * 5 + [1] * 3 + [4] * 2)
    shares = torch.tensor([0.5, 0.3, 1e-30, 1e-30, 0.2]).double()
    expected = cross_entropy(shares.log().expand(10, 5), y).item()
    assert constant_loss(Loss("cross_entropy", 5), y) == pytest.approx(expected, rel=1e-9)
    assert constant_loss(Loss("cross_entropy", 8), torch.arange(8)) == pytest.approx(math.log(8))


def test_the_best_constant_for_numbers_predicts_their_mean():
    y = torch.randn(40, 7, 3) * torch.tensor([1.0, 5.0, 0.1]) + 100
    best = y.double().mean((0, 1)).expand(40, 7, 3)
    assert constant_loss(Loss("mse"), y) == pytest.approx(
        torch.nn.functional.mse_loss(best, y.double()).item(), rel=1e-12
    )


@pytest.mark.parametrize("value", [0.0, 0.1, 1e10])
def test_equal_targets_leave_a_constant_nothing_to_lose(value):
    assert constant_loss(Loss("mse"), torch.full((1001, 1), value)) == 0
    assert constant_loss(Loss("cross_entropy", 2), torch.zeros(1001, dtype=torch.int64)) == 0


def test_skill_is_the_share_of_the_constants_loss_that_was_learned():
    assert skill(0.25, 1.0) == 0.75
    assert skill(0.7, 0.7) == 0
    assert skill(1.4, 0.7) == -1
    assert skill(0.0, 0.0) is None
    assert math.isnan(skill(math.nan, 0.7))
