"""Following and reading a job as a client does: waiting, ETags, pages, columns, CSV."""

import csv
import threading
import time
from typing import Any

import pytest

from models.series import STEP_STATISTICS
from tests.system.conftest import Stack

SMALL: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [4]},
    "data": {"dataset": "xor"},
    "training": {"epochs": 8},
}


@pytest.fixture(scope="module")
def job(stack: Stack) -> dict[str, Any]:
    job = stack.train(SMALL)
    assert job["status"] == "succeeded"
    return job


def test_what_has_not_changed_is_304(stack: Stack, job: dict[str, Any]) -> None:
    url = f"/v1/jobs/{job['id']}"
    first = stack.client.get(url)
    assert "retry-after" not in first.headers
    again = stack.client.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert stack.client.get(url, headers={"If-None-Match": 'W/"0"'}).status_code == 200


def test_a_wait_returns_when_the_job_changes_and_not_before(stack: Stack, slow: dict[str, Any]) -> None:
    running, waiting = stack.post(slow), stack.post(slow)
    stack.follow(running, "running")
    before = stack.client.get(f"/v1/jobs/{waiting}")
    assert before.headers["retry-after"]
    # Nothing happens to it: the wait ends with its time.
    started = time.monotonic()
    headers = {"If-None-Match": before.headers["etag"]}
    assert stack.client.get(f"/v1/jobs/{waiting}?wait=0.5", headers=headers).status_code == 304
    assert time.monotonic() - started >= 0.5
    # It is cancelled by another client: the wait ends with that.
    cancel = threading.Timer(0.5, stack.client.post, [f"/v1/jobs/{waiting}/cancel"])
    cancel.start()
    reply = stack.client.get(f"/v1/jobs/{waiting}?wait=60", headers=headers)
    cancel.join()
    stack.client.post(f"/v1/jobs/{running}/cancel", json={"mode": "force"})
    assert reply.json()["status"] == "cancelled"
    assert stack.follow(running)["status"] == "cancelled"


def test_all_jobs_are_listed_once_page_by_page_newest_first(stack: Stack, job: dict[str, Any]) -> None:
    for _ in range(3):
        stack.train(SMALL)
    ids: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = stack.client.get("/v1/jobs", params={"limit": 2, **after}).json()
        assert len(page["items"]) <= 2
        ids += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert job["id"] in ids
    assert ids == sorted(set(ids), reverse=True)
    succeeded = stack.client.get("/v1/jobs", params={"status": "succeeded", "limit": 200}).json()["items"]
    assert {item["status"] for item in succeeded} == {"succeeded"}


def test_metrics_can_be_chosen_and_thinned(stack: Stack, job: dict[str, Any]) -> None:
    url = f"/v1/jobs/{job['id']}/metrics"
    whole = stack.client.get(url).json()
    chosen = stack.client.get(url, params={"names": "train_loss", "after_epoch": 3}).json()
    assert chosen == {"epoch": [4, 5, 6, 7, 8], "train_loss": whole["train_loss"][3:], "nonfinite": {}}
    thinned = stack.client.get(url, params={"points": 4}).json()["epoch"]
    assert len(thinned) <= 4
    assert {1, 8} <= set(thinned)


def test_gradients_as_csv_are_those_of_the_json(stack: Stack, job: dict[str, Any]) -> None:
    url = f"/v1/jobs/{job['id']}/gradients"
    query = {"statistic": "max_abs", "layers": "output", "from_step": 2, "to_step": 30}
    shown = stack.client.get(url, params=query).json()
    reply = stack.client.get(url, params=query, headers={"Accept": "text/csv"})
    assert reply.headers["content-type"].startswith("text/csv")
    header, *rows = csv.reader(reply.text.splitlines())
    assert header == ["step", "output.linear.weight", "output.linear.bias"]
    assert [int(row[0]) for row in rows] == shown["steps"]
    assert [[float(value) for value in row[1:]] for row in rows] == shown["values"]
    assert shown["steps"]
    assert all(2 <= step <= 30 for step in shown["steps"])


def test_what_is_measured_of_a_step_as_a_whole_is_one_column(stack: Stack, job: dict[str, Any]) -> None:
    url, found = f"/v1/jobs/{job['id']}/gradients", {}
    for statistic in STEP_STATISTICS:
        found[statistic] = stack.client.get(url, params={"statistic": statistic, "layers": "output"}).json()
        assert found[statistic]["layers"] == [{"index": 0, "layer": None, "name": "step", "kind": "step"}]
        assert found[statistic]["steps"] == found["loss"]["steps"] != []
    numbers = {name: [value for (value,) in series["values"]] for name, series in found.items()}
    for before, rho, after, predicted in zip(
        *(numbers[name] for name in ("loss", "rho", "loss_after", "predicted")), strict=True
    ):
        assert before + rho * predicted == pytest.approx(after, rel=1e-5)
    reply = stack.client.get(url, params={"statistic": "rho"}, headers={"Accept": "text/csv"})
    assert reply.text.splitlines()[0] == "step,step"


@pytest.mark.parametrize(("statistic", "is_measured"), [("dead", True), ("saturation", False)])
def test_a_statistic_is_null_for_layers_that_it_has_no_meaning_of(
    stack: Stack, job: dict[str, Any], statistic: str, is_measured: bool
) -> None:
    """The one hidden layer is of relu."""
    shown = stack.client.get(f"/v1/jobs/{job['id']}/gradients", params={"statistic": statistic}).json()
    assert [column["name"] for column in shown["layers"]] == ["hidden_0"]
    assert shown["steps"]
    assert all((value is not None and 0 <= value <= 1) is is_measured for (value,) in shown["values"])


def test_layers_carry_the_latest_statistics_of_their_tensors(stack: Stack, job: dict[str, Any]) -> None:
    hidden, output = stack.client.get(f"/v1/jobs/{job['id']}/layers").json()["items"]
    assert (hidden["parameters"], output["parameters"]) == (12, 10)
    assert [tensor["name"] for tensor in output["tensors"]] == ["output.linear.weight", "output.linear.bias"]
    assert all(tensor["latest"]["norm"] > 0 for layer in (hidden, output) for tensor in layer["tensors"])
