"""Tasks in the process that does them: what they give, and what of what goes wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.evaluations import admit_evaluation
from models.settings import Settings
from models.storage import Stored
from models.tasks import Kind
from models.uploads import no_uploads
from tests.workers.exported import FACTS, Trained, trained
from workers.datasets import bundled
from workers.datasets.arrays import load
from workers.do_task import do
from workers.task_process import Order
from workers.training.model import read_model

NOISY: dict[str, Any] = {"dataset": "xor", "parameters": {"noise": 0.5, "seed": 3}}


def order(job: Trained, kind: Kind, request: dict[str, Any] | None = None, facts: Any = None) -> Order:
    assert job.kept.checkpoint is not None
    return Order(kind, "job_1", job.kept.checkpoint, request or {}, facts or {})


def test_an_export_names_what_it_made(tmp_path: Path) -> None:
    job = trained(tmp_path)
    outcome = do(order(job, Kind.EXPORT, facts=FACTS), job.settings)
    assert outcome.error is None
    assert {one.name for one in outcome.made if one.stored} == {
        "weights.safetensors", "model.onnx", "definition.json", "model-card.md",
    }  # fmt: skip


DIABETES: dict[str, Any] = {"dataset": "diabetes", "normalise": "minmax"}


@pytest.mark.parametrize(("data", "metric"), [({"dataset": "iris"}, "accuracy"), (DIABETES, "rmse")])
def test_an_evaluation_takes_all_rows_as_they_are(data: dict[str, Any], metric: str, tmp_path: Path) -> None:
    folder = tmp_path / "datasets"
    bundled.ingest(folder)
    job = trained(tmp_path, folder, data=data)
    definition = {"network": {"family": "dnn", "hidden": [4]}, "data": data}
    request = admit_evaluation(definition, {"dataset": data["dataset"]}, no_uploads)
    outcome = do(order(job, Kind.EVALUATION, request), job.settings)
    assert outcome.result is not None
    raw = load(data["dataset"], {}, folder)
    with torch.inference_mode():
        outputs = read_model(job.path_of_checkpoint()).deployed()(torch.from_numpy(np.array(raw.x))).numpy()
    is_right = (outputs.argmax(1) == raw.y).mean()
    found = is_right if metric == "accuracy" else np.sqrt(np.square(outputs - raw.y).mean())
    assert outcome.result[metric] == pytest.approx(found, rel=1e-5)
    assert outcome.result["rows"] == len(raw.y)


def test_other_data_are_scaled_as_those_of_the_job(tmp_path: Path) -> None:
    job = trained(tmp_path, training={"epochs": 40})
    definition = {"network": {"family": "dnn", "hidden": [4]}, "data": {"dataset": "xor"}}
    same = {"dataset": "xor", "parameters": {"seed": 7}}
    results = []
    for body in (same, NOISY):
        outcome = do(order(job, Kind.EVALUATION, admit_evaluation(definition, body, no_uploads)), job.settings)
        assert outcome.result is not None
        results.append(outcome.result)
    assert [result["rows"] for result in results] == [400, 400]
    assert results[0]["accuracy"] > results[1]["accuracy"]


def test_a_checkpoint_that_is_gone_or_damaged_is_an_error_that_says_so(tmp_path: Path) -> None:
    job = trained(tmp_path)
    gone = Order(Kind.EXPORT, "job_1", Stored("artifacts/job_1/no/checkpoint.pt", 1, "00"))
    outcome = do(gone, job.settings)
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["retryable"]) == ("model_unavailable", False)
    job.path_of_checkpoint().write_bytes(b"torn")
    damaged = do(order(job, Kind.EXPORT), job.settings)
    assert damaged.error is not None
    assert damaged.error["code"] == "model_unavailable"


def test_whatever_goes_wrong_is_an_outcome(tmp_path: Path) -> None:
    job = trained(tmp_path)
    outcome = do(order(job, Kind.EVALUATION, {"data": {"dataset": "iris"}}), Settings(data=tmp_path))
    assert outcome.error is not None
    assert outcome.error["code"] == "model_unavailable"
