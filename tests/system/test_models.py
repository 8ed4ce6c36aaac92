"""What a trained job leaves, through every room and on both back ends: files, predictions, evaluations."""

import io
import os
import runpy
import signal
import time
from typing import Any

import pytest
from pyarrow import parquet

from tests.system.stack import EXAMPLES, Stack
from tests.waiting import await_true

DEFINITION: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [8]},
    "data": {"dataset": "xor"},
    "training": {"epochs": 30, "optimizer": {"kind": "adam", "learning_rate": 0.05}},
}


def test_the_round_trip_gives_equal_outputs_over_http_in_onnx_runtime_and_in_plain_torch(embedded: Stack) -> None:
    run = runpy.run_path(str(EXAMPLES / "round_trip.py"))["run"]
    differences = run(embedded.client)
    assert differences.keys() == {"dnn", "cnn", "rnn", "sequential"}
    assert max(differences.values()) <= 1e-5, differences


def states(stack: Stack, job_id: str) -> dict[str, str]:
    items = stack.client.get(f"/v1/jobs/{job_id}/artifacts").json()["items"]
    return {item["name"]: item["state"] for item in items}


def await_files(stack: Stack, job_id: str) -> None:
    await_true(lambda: set(states(stack, job_id).values()) == {"ready"}, 60)


def test_a_job_is_evaluated_and_predicts_for_a_file(stack: Stack) -> None:
    job = stack.train(DEFINITION)
    base = f"/v1/jobs/{job['id']}"
    await_files(stack, job["id"])
    [own] = stack.client.get(f"{base}/evaluations").json()["items"]
    assert own["result"]["accuracy"] == pytest.approx(job["best"]["validation_accuracy"])
    asked = stack.client.post(f"{base}/evaluations", json={"dataset": "xor", "parameters": {"seed": 5}})
    sent = stack.client.post(f"{base}/predictions", content="a,b\n0,1\n1,1\n", headers={"Content-Type": "text/csv"})
    both = [ended(stack, reply.headers["Location"]) for reply in (asked, sent)]
    assert both[0]["result"]["rows"] == 400
    assert both[0]["result"]["accuracy"] > 0.9
    table = parquet.read_table(io.BytesIO(stack.client.get(both[1]["result"]["url"]).content))
    rows = stack.client.post(f"{base}/predictions", json={"inputs": [[0, 1], [1, 1]]}).json()["outputs"]
    assert table["predicted_class"].to_pylist() == [row["class"] for row in rows] == ["1", "0"]
    wrong = stack.client.post(f"{base}/predictions", content="a,b\n0,x\n", headers={"Content-Type": "text/csv"})
    failed = ended(stack, wrong.headers["Location"])
    assert (failed["status"], failed["error"]["class"]) == ("failed", "user")
    assert stack.client.delete(base).status_code == 204
    assert not list((stack.data / "objects" / "artifacts").glob(f"{job['id']}/*/*"))


def ended(stack: Stack, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def has_ended() -> bool:
        found.update(stack.client.get(place).json())
        return found["finished_at"] is not None

    await_true(has_ended, 60)
    return found


@pytest.mark.quick_on("production")
@pytest.mark.fault(23)
def test_files_are_made_later_where_the_worker_dies_with_the_job(stack: Stack) -> None:
    """KILL as soon as the job has ended: nothing is lost, and another worker makes them."""
    job_id = stack.post(DEFINITION)
    while not stack.job(job_id)["terminal"]:
        time.sleep(0.005)
    os.kill(stack.worker(), signal.SIGKILL)
    await_true(lambda: stack.workers() and stack.worker_is_up(), 60)
    await_files(stack, job_id)


@pytest.mark.long
def test_a_network_of_texts_predicts_for_texts(stack: Stack) -> None:
    good, bad = ("a fine day", "fine and good"), ("a grim day", "grim and cold")
    lines = [
        "text,label",
        *(f"{text},{label}" for _ in range(10) for label, some in (("good", good), ("bad", bad)) for text in some),
    ]
    options = {"text": "text", "target": "label"}
    sent = stack.client.post("/v1/datasets", files={"file": ("texts.csv", "\n".join(lines))}, data=options).json()
    network = {"family": "rnn", "cell": "gru", "hidden": 8, "embedding": {"size": 8}}
    training = {"epochs": 30, "batch_size": 8, "optimizer": {"kind": "adam", "learning_rate": 0.03}}
    job = stack.train({"network": network, "data": {"dataset": sent["id"]}, "training": training})
    await_files(stack, job["id"])
    body = {"inputs": ["a fine day", "Grim, and cold!", ["grim"]]}
    reply = stack.client.post(f"/v1/jobs/{job['id']}/predictions?allow_unhealthy=true", json=body)
    assert [output["class"] for output in reply.json()["outputs"]] == ["good", "bad", "bad"]
    # Its words have other numbers in texts of which they are the most frequent ones.
    others = "\n".join(["text,label", *['"grim, grim!",bad'] * 20, *["a fine one,good"] * 10])
    options |= {"length": str(sent["input_shape"][0])}
    other = stack.client.post("/v1/datasets", files={"file": ("others.csv", others)}, data=options).json()
    asked = stack.client.post(f"/v1/jobs/{job['id']}/evaluations", json={"dataset": other["id"]})
    assert ended(stack, asked.headers["Location"])["result"]["accuracy"] == 1
