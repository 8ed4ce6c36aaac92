"""The textbook and estimates as a client reads them; `make textbook` runs all of its jobs."""

import time
from typing import Any

import pytest

from tests.system.conftest import Stack


def chapters(stack: Stack) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = stack.client.get("/v1/textbook").json()["items"]
    return items


def test_every_claim_has_what_it_needs(stack: Stack) -> None:
    found = chapters(stack)
    assert len(found) >= 21
    assert [chapter["place"] for chapter in found] == list(range(1, len(found) + 1))
    for chapter in found:
        assert all(chapter[part] for part in ("name", "title", "claim", "why", "expected", "checks"))
        assert set(chapter["repairs"]) <= set(chapter["diagnoses"]) <= set(chapter["jobs"])
        assert stack.client.get(f"/v1/textbook/{chapter['name']}").json() == chapter
    assert stack.client.get("/v1/textbook/no").status_code == 404


def test_every_job_of_the_textbook_can_be_posted_as_it_is(stack: Stack) -> None:
    for chapter in chapters(stack):
        for definition in chapter["jobs"].values():
            reply = stack.client.post("/v1/estimates", json=definition)
            assert reply.status_code == 200, reply.text


def test_a_claim_holds(stack: Stack) -> None:
    jobs = stack.client.get("/v1/textbook/xor").json()["jobs"]
    assert stack.train(jobs["perceptron"])["best"]["validation_accuracy"] <= 0.75
    assert stack.train(jobs["hidden layer"])["best"]["validation_accuracy"] == 1.0


def test_a_failure_is_named_and_its_repair_is_the_cure(stack: Stack) -> None:
    chapter = stack.client.get("/v1/textbook/xor").json()
    jobs = {name: stack.train(definition) for name, definition in chapter["jobs"].items()}
    assert jobs["hidden layer"]["verdict"] == "healthy"
    said = stack.client.get(jobs["perceptron"]["links"]["diagnosis"]).json()
    assert said["findings"][0]["code"] in chapter["diagnoses"]["perceptron"]
    reply = stack.client.post(f"/v1/jobs/{jobs['perceptron']['id']}/repairs")
    assert reply.status_code == 202, reply.text
    child = stack.follow(reply.json()["id"])
    assert child["best"]["validation_accuracy"] >= chapter["repairs"]["perceptron"]["at_least"]
    assert stack.client.get(child["links"]["diagnosis"]).json()["repair"]["cured"]


def test_a_trillion_weights_are_estimated_and_refused(stack: Stack) -> None:
    dense = stack.client.get("/v1/textbook/million_pixels").json()["estimates"]["dense"]
    started = time.monotonic()
    reply = stack.client.post("/v1/estimates", json=dense)
    print(f"{1000 * (time.monotonic() - started):.1f} ms")
    assert reply.json()["total"]["parameters"] > 10**12
    assert reply.json()["warnings"][0]["code"] == "too_large"
    wrong = stack.client.post("/v1/estimates", json=dense | {"data": {"input_shape": [0], "classes": 2}})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/data/input_shape/0")


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_gradients_over_time_and_of_layers(stack: Stack, cell: str) -> None:
    network = {"family": "rnn", "cell": cell, "hidden": 8, "layers": 2, "bidirectional": True, "head": [4]}
    data = {"dataset": "adding", "parameters": {"length": 12, "rows": 200}}
    job = stack.train({"network": network, "data": data, "training": {"epochs": 2}})
    over_time = stack.client.get(job["links"]["gradients_time"]).json()
    names = ["recurrent_0", "recurrent_0 (reverse)", "recurrent_1", "recurrent_1 (reverse)"]
    assert [layer["name"] for layer in over_time["layers"]] == names
    assert over_time["time_steps"] == list(range(12))
    assert len(over_time["values"]) == len(over_time["steps"]) > 1
    sample = over_time["values"][0]
    assert [len(row) for row in sample] == [12] * 4
    # The readout takes the last forward state: before it the gradient only comes back through time.
    assert 0 < sample[2][0] < sample[2][-1]
    one = stack.client.get(job["links"]["gradients_time"], params={"layers": "recurrent_1"}).json()
    assert one["values"][0] == sample[2:]
    gains = stack.client.get(job["links"]["gradients"], params={"statistic": "gain"}).json()
    assert [layer["name"] for layer in gains["layers"]] == ["head_0"]
    assert gains["values"][0][0] > 0


def test_a_network_without_recurrence_has_no_gradients_over_time(stack: Stack) -> None:
    job = stack.train({"network": {"family": "dnn", "hidden": [4]}, "data": {"dataset": "xor"},
                       "training": {"epochs": 1}})  # fmt: skip
    assert stack.client.get(job["links"]["gradients_time"]).json()["layers"] == []


def test_restarts_and_pretraining_are_recorded(stack: Stack) -> None:
    training = {"epochs": 2, "restarts": 3, "pretraining": {"kind": "autoencoder", "epochs": 1}}
    job = stack.train({"network": {"family": "dnn", "hidden": [4]}, "data": {"dataset": "xor"}, "training": training})
    assert [run["seed"] for run in job["runs"]] == [0, 1, 2]
    assert job["best"]["validation_loss"] == min(run["best"]["validation_loss"] for run in job["runs"])
    assert [layer["layer"] for layer in job["runs"][0]["pretraining"]] == ["hidden_0"]
    assert job["progress"]["epoch"] == job["progress"]["epochs"] == 6
    assert stack.client.get(job["links"]["metrics"]).json()["run"] == [0, 0, 1, 1, 2, 2]


def test_a_job_stops_when_its_seconds_are_over(stack: Stack) -> None:
    job = stack.train({"network": {"family": "dnn", "hidden": [4]}, "data": {"dataset": "xor"},
                       "training": {"max_seconds": 0.5}})  # fmt: skip
    assert (job["status"], job["status_reason"]) == ("succeeded", "the seconds of max_seconds are over")
