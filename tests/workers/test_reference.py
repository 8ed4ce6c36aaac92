"""The cheap models are those of scikit-learn, and know what can be known of data that are easy, hard or noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor

from models.catalogue import DataShape
from models.definitions.job import JobDefinition
from workers.training.cheap_models import (
    NEIGHBOURS,
    RIDGES,
    neighbours_mean,
    neighbours_shares,
    ridge,
    softmax_regression,
)
from workers.training.data import Prepared
from workers.training.job import Trainer
from workers.training.parts import Resident
from workers.training.reference import Skills, reference_skills
from workers.training.scale import target_scale
from workers.training.stopwatch import Stopwatch

CPU = torch.device("cpu")


def reference(folder: Path, network: dict[str, Any], resident_bytes: float = 2**40, **data: Any) -> dict[str, Skills]:
    plain = {"network": network, "data": data, "training": {"epochs": 1}}
    definition = JobDefinition.model_validate(plain)
    given = folder, CPU, lambda _: None, lambda: None, Stopwatch()
    return Trainer.prepare(definition, *given, resident_bytes=resident_bytes).reference()


DNN = {"family": "dnn", "hidden": [4]}
TABLE = DataShape("table", "regression", 300, (4,), 1)


def of_rows(x: torch.Tensor, y: torch.Tensor, shape: DataShape) -> dict[str, Skills]:
    return reference_skills(Prepared(Resident(x=x, y=y), None, target_scale(None, CPU)), shape, "mse")


def test_the_linear_model_of_classes_is_that_of_scikit_learn() -> None:
    torch.manual_seed(0)
    x, others = torch.randn(200, 5, dtype=torch.float64), torch.randn(30, 5, dtype=torch.float64)
    y = (x[:, 0] + 0.5 * torch.randn(200) > 0).long() + (x[:, 1] > 1).long()
    twin = LogisticRegression(C=1.0, tol=1e-9, max_iter=1000).fit(x.numpy(), y.numpy())
    logits = softmax_regression(x, y[:, None], others, 3)
    for rows, found in zip((x, others), logits, strict=True):
        np.testing.assert_allclose(found[:, 0].softmax(-1).numpy(), twin.predict_proba(rows.numpy()), atol=2e-3)


def test_a_ridge_has_the_penalty_that_errs_least_on_rows_left_out() -> None:
    torch.manual_seed(0)
    x, others = torch.randn(40, 25, dtype=torch.float64), torch.randn(9, 25, dtype=torch.float64)
    x, others = x - x.mean(0), others - x.mean(0)
    y = x[:, :2] + 2 * torch.randn(40, 2, dtype=torch.float64)

    def error(penalty: float) -> float:
        kept = [np.arange(40) != row for row in range(40)]
        fits = [Ridge(40 * penalty).fit(x[rows].numpy(), y[rows].numpy()) for rows in kept]
        left_out = [fit.predict(x[[row]].numpy()) - y[[row]].numpy() for row, fit in enumerate(fits)]
        return float(np.square(left_out).mean())

    best = min(RIDGES.tolist(), key=error)
    twin = Ridge(40 * best).fit(x.numpy(), y.numpy())
    for rows, found in zip((x, others), ridge(x, y, others), strict=True):
        np.testing.assert_allclose(found.numpy(), twin.predict(rows.numpy()), rtol=1e-8)


def test_the_neighbours_are_those_of_scikit_learn_and_no_row_is_its_own() -> None:
    torch.manual_seed(0)
    x, others = torch.randn(50, 3, dtype=torch.float64), torch.randn(9, 3, dtype=torch.float64)
    y = torch.randn(50, 2, dtype=torch.float64)
    own, of_others = neighbours_mean(x, y, others)
    twin = KNeighborsRegressor(NEIGHBOURS).fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(of_others.numpy(), twin.predict(others.numpy()))
    rest = KNeighborsRegressor(NEIGHBOURS).fit(x[1:].numpy(), y[1:].numpy())
    np.testing.assert_allclose(own[:1].numpy(), rest.predict(x[:1].numpy()))
    classes = (y[:, :1] > 0).long()
    shares, _ = neighbours_shares(x, classes, others, 2)
    among = KNeighborsRegressor(NEIGHBOURS).fit(x[1:].numpy(), classes[1:].numpy()).predict(x[:1].numpy())
    assert shares[0, 0, 1].exp().item() == pytest.approx((10 * among.item() + 0.5) / 11)


def test_classes_that_are_easy_are_nearly_known(folder: Path) -> None:
    drawn = torch.get_rng_state()
    found = reference(folder, DNN, dataset="digits")
    assert torch.equal(torch.get_rng_state(), drawn)
    assert found["linear"]["validation_skill"] == pytest.approx(0.95, abs=0.03)
    assert found["neighbours"]["validation_skill"] == pytest.approx(0.92, abs=0.03)
    assert found == reference(folder, DNN, resident_bytes=0, dataset="digits")


def test_a_regression_that_half_is_noise_is_half_known(folder: Path) -> None:
    found = reference(folder, DNN, dataset="diabetes")
    assert found["linear"]["train_skill"] == pytest.approx(0.51, abs=0.03)
    assert found["neighbours"]["train_skill"] == pytest.approx(0.43, abs=0.05)


@pytest.mark.parametrize(("loss", "skill"), [("mse", 0.51), ("mae", 0.34), ("huber", 0.45)])
def test_a_regression_is_measured_by_the_loss_of_the_job(loss: str, skill: float, folder: Path) -> None:
    """A mean distance falls by less than its square."""
    plain = {"network": DNN, "data": {"dataset": "diabetes"}, "training": {"epochs": 1, "loss": loss}}
    given = folder, CPU, lambda _: None, lambda: None, Stopwatch()
    trainer = Trainer.prepare(JobDefinition.model_validate(plain), *given)
    assert trainer.reference()["linear"]["train_skill"] == pytest.approx(skill, abs=0.03)


def test_what_no_line_divides_the_neighbours_know(folder: Path) -> None:
    found = reference(folder, DNN, dataset="xor")
    linear, neighbours = found["linear"]["train_skill"], found["neighbours"]["train_skill"]
    assert linear is not None
    assert neighbours is not None
    assert linear < 0.1
    assert neighbours > 0.8


def test_of_noise_nothing_is_known() -> None:
    torch.manual_seed(0)
    found = of_rows(torch.randn(300, 4), torch.randn(300, 1), TABLE)
    assert all(skills["train_skill"] == pytest.approx(0, abs=0.15) for skills in found.values())
    assert all(skills["validation_skill"] is None for skills in found.values())


@pytest.mark.parametrize("vocabulary", [5, 5000])
def test_tokens_are_one_hot_or_counted(vocabulary: int) -> None:
    torch.manual_seed(0)
    x = torch.randint(1, 5, (300, 6))
    x[:150, 3] = 0
    shape = DataShape("tokens", "classification", 300, (6,), 2, ("a", "b"), vocabulary=vocabulary)
    found = of_rows(x, (torch.arange(300) < 150).long(), shape)
    assert all(skills["train_skill"] is not None and skills["train_skill"] > 0.6 for skills in found.values())


def test_each_time_step_may_have_its_own_class() -> None:
    torch.manual_seed(0)
    x = torch.randint(0, 2, (300, 6))
    shape = DataShape("tokens", "classification", 300, (6,), 2, ("a", "b"), per_step=True, vocabulary=2)
    found = of_rows(x, x.flip(1), shape)
    assert all(skills["train_skill"] is not None and skills["train_skill"] > 0.6 for skills in found.values())


def test_targets_that_are_all_equal_have_no_skill_and_many_targets_no_model() -> None:
    assert of_rows(torch.randn(30, 4), torch.ones(30, 1), TABLE)["linear"]["train_skill"] is None
    assert of_rows(torch.randn(30, 4), torch.randn(30, 5000), TABLE) == {}
