"""Every `examples/*.json` through the API reaches what the README promises of it, on real data."""

import hashlib
import math
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.node import node
from tests.system.stack import EXAMPLES, KEY, Stack

PROMISES = {
    "digits_dnn": ("validation_accuracy", 0.95),
    "digits_cnn": ("validation_accuracy", 0.97),
    "digits_lstm": ("validation_accuracy", 0.93),
    "iris_dnn": ("validation_accuracy", 0.93),
    "wine_dnn": ("validation_accuracy", 0.93),
    "breast_cancer_dnn": ("validation_accuracy", 0.93),
    "diabetes_dnn": ("validation_r2", 0.40),
    "adding_lstm": ("validation_r2", 0.9),
    "xor_dnn": ("validation_accuracy", 1.0),
}


def test_every_example_has_a_promise() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.json")} == set(PROMISES)


@pytest.mark.parametrize("name", PROMISES)
def test_an_example_learns(stack: Stack, name: str) -> None:
    metric, least = PROMISES[name]
    job = stack.train(stack.example(name))
    assert job["status"] == "succeeded", job["error"]
    assert job["best"][metric] >= least
    assert job["verdict"] in ("healthy", "warning"), job["findings"]


@pytest.mark.quick_on("embedded")
def test_the_demo_tells_of_a_network_that_learns_and_of_one_that_is_repaired(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    show = runpy.run_path(str(EXAMPLES / "demo.py"))["show"]
    assert show(stack.client, stack.example("digits_cnn"))
    said = capsys.readouterr().out
    first, second, third = (said.split(f"\n{n}. ", 1)[-1].split(f"\n{n + 1}. ")[0] for n in (1, 2, 3))
    assert "HEALTHY: skill 1.00" in first
    assert "UNHEALTHY: skill 0.00" in second
    assert "fault vanishing_depth" in second
    assert "HEALTHY" in third
    assert "vanishing_depth is gone" in third
    assert "Cured." in third


def test_a_job_is_shown_from_every_side(stack: Stack) -> None:
    job = stack.train(stack.example("digits_cnn") | {"gradients": {"every_steps": 7}})
    base = f"/v1/jobs/{job['id']}"
    metrics = stack.client.get(f"{base}/metrics").json()
    assert metrics["epoch"] == list(range(1, 21))
    assert metrics["train_loss"][-1] == job["metrics"]["train_loss"]
    assert min(metrics["validation_loss"]) == job["best"]["validation_loss"]
    layers = stack.client.get(f"{base}/layers").json()["items"]
    assert [layer["name"] for layer in layers] == ["block_0", "block_1", "pooling", "hidden_0", "output"]
    gradients = stack.client.get(f"{base}/gradients").json()
    assert gradients["steps"] == sorted({*range(0, job["progress"]["steps"], 7)})
    assert {column["layer"] for column in gradients["layers"]} == {0, 1, 3, 4}
    assert all(math.isfinite(value) and value > 0 for row in gradients["values"] for value in row)
    events = [event["type"] for event in stack.client.get(f"{base}/events").json()["items"]]
    # Whether it writes checkpoints, and what is found on the way, depends on how long it takes.
    told = [event for event in events if event not in ("job.checkpoint", "job.finding")]
    assert told == ["job.queued", "job.started", *["job.epoch"] * 20, "job.succeeded"]
    assert [passage["status"] for passage in job["history"]] == ["queued", "running", "succeeded"]
    assert job["created_at"] <= job["started_at"] <= job["first_step_at"] <= job["finished_at"]
    assert job["timings"]["steps"] == job["progress"]["step"] == job["progress"]["steps"]


@pytest.mark.long
@pytest.mark.parametrize(
    "network",
    [
        {"family": "dnn", "hidden": [32, 32, 32], "residual": True, "norm": "layer", "activation": "gelu"},
        {"family": "cnn", "blocks": [{"filters": 8}, {"filters": 8, "stride": 2}], "residual": True, "norm": "batch",
         "hidden": [16]},
        {"family": "rnn", "cell": "gru", "hidden": 16, "layers": 2, "bidirectional": True, "readout": "mean"},
        {"family": "rnn", "cell": "rnn", "hidden": 16, "readout": "last", "head": [16]},
    ],
    ids=["residual dnn", "residual cnn", "bidirectional gru", "plain rnn"],
)  # fmt: skip
def test_other_networks_learn_too(stack: Stack, network: dict[str, object]) -> None:
    data = {"dataset": "digits_rows" if network["family"] == "rnn" else "digits"}
    job = stack.train({"network": network, "data": data, "training": {"epochs": 15}})
    assert job["status"] == "succeeded", job["error"]
    assert job["metrics"]["skill"] > 0.5


@pytest.mark.long
def test_a_network_reads_tokens_and_forecasts_each_step(stack: Stack) -> None:
    tokens = {
        "network": {"family": "rnn", "cell": "gru", "hidden": 32, "embedding": {"size": 8}},
        "data": {"dataset": "copy_memory", "parameters": {"length": 5}},
        "training": {"epochs": 15, "optimizer": {"kind": "adam", "learning_rate": 0.01}},
    }
    assert stack.train(tokens)["best"]["validation_accuracy"] > 0.9
    each = {
        "network": {"family": "rnn", "hidden": 16, "readout": "each"},
        "data": {"dataset": "sine", "parameters": {"each": True}},
        "training": {"epochs": 5, "optimizer": {"kind": "adam", "learning_rate": 0.01}},
    }
    assert stack.train(each)["best"]["validation_r2"] > 0.8


def test_a_job_that_diverges_shows_null_and_names_the_place(stack: Stack) -> None:
    diverging = {
        "network": {"family": "dnn", "hidden": [16], "activation": "linear"},
        "data": {"dataset": "diabetes", "normalise": "none"},
        "training": {"epochs": 30, "optimizer": {"kind": "sgd", "learning_rate": 10.0}},
        "gradients": {"every_steps": 1},
    }
    job = stack.train(diverging)
    assert job["metrics"]["train_loss"] is None
    assert job["metrics"]["nonfinite"]["train_loss"] in ("nan", "+inf")
    assert (job["status"], job["error"]["code"]) == ("failed", "nonfinite")
    gradients = stack.client.get(f"/v1/jobs/{job['id']}/gradients").json()
    step, column, name = gradients["nonfinite"][0]
    assert name in ("nan", "+inf")
    assert gradients["values"][gradients["steps"].index(step)][column] is None
    counted = stack.client.get(f"/v1/jobs/{job['id']}/gradients", params={"statistic": "nonfinite"}).json()
    assert max(value for row in counted["values"] for value in row) > 0


@pytest.mark.quick_on("embedded")
@pytest.mark.parametrize(
    "line", [("sh", "train.sh"), (sys.executable, "train.py"), ("node", "train.mjs")], ids=["sh", "py", "mjs"]
)
def test_an_example_of_a_client_submits_follows_and_downloads(
    stack: Stack, tmp_path: Path, line: tuple[str, str]
) -> None:
    program, name = line
    arguments = [] if program == "sh" else [stack.url, KEY]
    told = subprocess.run(
        [node() if program == "node" else program, str(EXAMPLES / name), *arguments],
        env=os.environ | {"KEY": KEY, "URL": stack.url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.startswith("job_")
    assert "epoch 30" in told.stdout
    job = stack.job(told.stdout.split()[0])
    assert job["status"] == "succeeded"
    files = stack.client.get(job["links"]["artifacts"]).json()["items"]
    [digest] = [file["sha256"] for file in files if file["name"] == "model.onnx"]
    assert hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest() == digest


def test_the_upload_example_goes_from_a_csv_to_a_trained_network(stack: Stack) -> None:
    environment = os.environ | {"KEY": KEY, "URL": stack.url}
    line = ["sh", str(EXAMPLES / "upload.sh")]
    said = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "colour       category   6 missing" in said
    assert "succeeded" in said.splitlines()[-1]
