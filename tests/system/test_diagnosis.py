"""What a job learned or did not, said by a running service: diagnosis, policies, repairs, and the filters of lists."""

import os
import signal
from typing import Any

import pytest
from sqlalchemy import update

from models.database import Database
from models.tables import Job
from tests.system.stack import Stack
from tests.system.test_lifecycle_calls import ask, running
from tests.waiting import await_true

Reply = dict[str, Any]

DIGITS = {"dataset": "digits"}
STEPS_OF_EPOCH = 23
VERDICTS = ("healthy", "warning", "unhealthy")
DEAD_INIT = {"kind": "normal", "std": 0.8, "bias": -100}


def dnn(data: dict[str, Any] | None = None, training: dict[str, Any] | None = None, **network: Any) -> dict[str, Any]:
    """A network of two layers on digits that is all right, but for what a test wants to be wrong."""
    layers = {"family": "dnn", "hidden": [32, 32]} | network
    return {"network": layers, "data": DIGITS | (data or {}), "training": {"epochs": 5} | (training or {})}


def vanishing(epochs: int = 12, **changes: Any) -> dict[str, Any]:
    """Twelve sigmoid layers, of which the first ones do not move."""
    return dnn(training={"epochs": epochs}, hidden=[32] * 12, activation="sigmoid", init="xavier") | changes


def dead(**changes: Any) -> dict[str, Any]:
    """No unit answers to any row."""
    return dnn(init=DEAD_INIT) | changes


def diverging(rate: float = 1e4, **policies: str) -> dict[str, Any]:
    """Without a bend in it and at a huge rate, its numbers are infinite within a few steps."""
    training = {"epochs": 10, "optimizer": {"kind": "sgd", "learning_rate": rate}}
    return dnn(training=training, activation="linear") | {"policies": policies}


def diagnosis(stack: Stack, job_id: str) -> Reply:
    reply = stack.client.get(f"/v1/jobs/{job_id}/diagnosis")
    assert reply.status_code == 200, reply.text
    found: Reply = reply.json()
    return found


def codes(found: Reply) -> list[str]:
    return [finding["code"] for finding in found["findings"]]


def flight(stack: Stack, job_id: str) -> Reply:
    reply = stack.client.get(f"/v1/jobs/{job_id}/gradients/flight")
    assert reply.status_code == 200, reply.text
    found: Reply = reply.json()
    return found


def listed(stack: Stack, **wanted: Any) -> list[str]:
    reply = stack.client.get("/v1/jobs", params={"limit": 200} | wanted)
    assert reply.status_code == 200, reply.text
    return [item["id"] for item in reply.json()["items"]]


def judged_again(stack: Stack, job_id: str) -> Reply:
    """The diagnosis out of the stored numbers, as if its runner had said nothing."""
    database = Database(stack.database_url)
    try:
        with database.write() as connection:
            forgotten = {"diagnosis": None, "version": Job.version + 1}
            connection.execute(update(Job).where(Job.id == job_id).values(forgotten))
    finally:
        database.close()
    return diagnosis(stack, job_id)


def told(stack: Stack, job_id: str, kind: str = "job.finding") -> list[Any]:
    return [event["data"] for event in stack.events(job_id) if event["type"] == kind]


def test_a_network_too_deep_for_its_gradient_is_named_repaired_and_counted(stack: Stack) -> None:
    job = stack.train(vanishing())
    found = diagnosis(stack, job["id"])
    assert (job["status"], job["verdict"]) == ("succeeded", "unhealthy")
    assert (found["complete"], found["verdict"], codes(found)[0]) == (True, "unhealthy", "vanishing_depth")
    [cause, *_] = found["findings"]
    gain = next(measured for measured in cause["evidence"] if measured["statistic"] == "gain_per_layer")
    assert gain["value"] == pytest.approx(gain["expected"], rel=0.1)
    assert gain["value"] < gain["threshold"]
    assert (cause["severity"], cause["first_step"]) == ("fault", 0)
    # Its first steps make it likely; half-way it is sure.
    events = [event for event in told(stack, job["id"]) if event["code"] == "vanishing_depth"]
    assert [event["severity"] for event in events] == ["warning", "fault"]
    assert job["id"] in listed(stack, finding="vanishing_depth", verdict="unhealthy")

    remedy = cause["remedies"][0]["id"]
    before = {item["remedy"]: item for item in tried(stack)}.get(remedy, {"tried": 0, "ended": 0, "cured": 0})
    child = ask(stack, job["id"], "repairs")
    assert (child["parent"], child["origin"]) == (job["id"], "repair")
    child = stack.follow(child["id"])
    repair = diagnosis(stack, child["id"])["repair"]
    assert {"code": "vanishing_depth", "gone": True} in repair["findings"]
    assert repair["metric"]["after"] > repair["metric"]["before"] + 0.5
    assert (repair["of"], repair["remedy"], repair["cured"]) == (job["id"], remedy, True)
    assert child["id"] not in listed(stack, finding="vanishing_depth")
    assert listed(stack, parent=job["id"]) == [child["id"]]

    [shown] = stack.job(job["id"])["repairs"]
    assert shown == {name: child[name] for name in ("id", "status", "verdict")} | {
        "remedy": remedy,
        "finding": "vanishing_depth",
    }
    [after] = [item for item in tried(stack) if item["remedy"] == remedy and item["finding"] == "vanishing_depth"]
    assert {name: after[name] - before[name] for name in ("tried", "ended", "cured")} == dict.fromkeys(
        ("tried", "ended", "cured"), 1
    )
    # A client that asks the parent again sees the repair: what it knew has another ETag.
    assert stack.job(job["id"])["findings"] == job["findings"]


def tried(stack: Stack) -> list[Reply]:
    items: list[Reply] = stack.client.get("/v1/remedies").json()["items"]
    return items


@pytest.mark.quick_on("production")
def test_a_job_repairs_itself_where_its_definition_asks_for_it(stack: Stack) -> None:
    job = stack.train(vanishing(repair={"max_jobs": 2}))
    [said] = told(stack, job["id"], "job.repair")
    child = stack.follow(said["job"])
    assert (child["parent"], child["origin"]) == (job["id"], "repair")
    repair = diagnosis(stack, child["id"])["repair"]
    assert (repair["remedy"], repair["cured"]) == (said["remedy"], True)
    # It has no fault: that was the last of them.
    assert listed(stack, parent=child["id"]) == []
    assert told(stack, child["id"], "job.repair") == []


@pytest.mark.quick_on("embedded")
def test_a_policy_ends_a_hopeless_job_within_its_first_steps(stack: Stack) -> None:
    # As long as a repaired one needs to catch up with a linear model.
    job = stack.train(dead(policies={"dead_at_init": "stop"}, training={"epochs": 20}))
    assert (job["status"], job["error"]["class"], job["error"]["code"]) == ("failed", "numeric", "dead_at_init")
    assert job["progress"]["step"] == 3
    found = diagnosis(stack, job["id"])
    assert (found["complete"], codes(found)[0]) == (True, "dead_at_init")
    # It was ended before there could be anything that is no number.
    assert "nonfinite" not in codes(found)
    assert [finding["code"] for finding in job["findings"]] == codes(found)
    assert job["error"]["detail"] == found["findings"][0]["explanation"]
    assert judged_again(stack, job["id"]) == found
    child = stack.follow(ask(stack, job["id"], "repairs")["id"])
    assert (child["status"], diagnosis(stack, child["id"])["repair"]["cured"]) == ("succeeded", True)


@pytest.mark.quick_on("embedded")
def test_without_a_policy_the_same_job_goes_on(stack: Stack) -> None:
    job = stack.train(dead())
    assert (job["status"], job["verdict"], job["progress"]["epoch"]) == ("succeeded", "unhealthy", 5)
    assert codes(diagnosis(stack, job["id"]))[0] == "dead_at_init"


@pytest.mark.quick_on("embedded")
def test_a_diverging_job_is_stopped_and_says_where_it_began(stack: Stack) -> None:
    job = stack.train(diverging())
    assert (job["status"], job["error"]["class"], job["error"]["code"]) == ("failed", "numeric", "nonfinite")
    found = diagnosis(stack, job["id"])
    assert "nonfinite" in codes(found)
    incident = found["incident"]
    assert (incident["action"], incident["count"]) == ("stop", 1)
    # At once where the host decides, with the compiled library; else at the end of the epoch: all between is masked.
    assert job["progress"]["step"] in (incident["step"] + 1, STEPS_OF_EPOCH)
    assert incident["layer"] in (0, 1, 2)
    assert 0 < len(incident["rows"]) <= 64
    assert len(set(incident["rows"])) == len(incident["rows"])
    # The flight recorder ends with the step whose update was not applied.
    last = flight(stack, job["id"])
    assert last["step"] == list(range(incident["step"] + 1))
    assert last["applied"] == [True] * incident["step"] + [False]
    assert [step for step, _ in last["nonfinite"]["gradient_norm"]] == [incident["step"]]
    assert last["loss"][0] < last["loss"][1]
    assert judged_again(stack, job["id"]) == found


@pytest.mark.quick_on("production")
def test_a_diverging_job_goes_on_where_its_policy_says_so(stack: Stack) -> None:
    job = stack.train(diverging(nonfinite="continue"))
    assert (job["status"], job["verdict"]) == ("succeeded", "unhealthy")
    found = diagnosis(stack, job["id"])
    assert found["incident"]["action"] == "continue"
    # Its weights stay what they were, so that every step after the first fares as that did.
    assert found["incident"]["count"] == job["progress"]["step"] - found["incident"]["step"]
    assert not all(flight(stack, job["id"])["applied"])
    assert judged_again(stack, job["id"]) == found


@pytest.mark.quick_on("embedded")
def test_a_diverging_job_goes_back_and_on_at_a_lower_rate(stack: Stack) -> None:
    job = stack.train(diverging(30.0, nonfinite="rollback_and_lower_rate"))
    found = diagnosis(stack, job["id"])
    assert (job["status"], found["incident"]["action"]) == ("succeeded", "rollback_and_lower_rate")
    assert job["best"]["validation_skill"] > 0.5
    assert job["metrics"]["learning_rate"] < 30.0
    assert judged_again(stack, job["id"]) == found


@pytest.mark.quick_on("production")
def test_one_that_goes_back_in_vain_fails_after_five_times(stack: Stack) -> None:
    job = stack.train(diverging(1e6, nonfinite="rollback_and_lower_rate"))
    assert (job["status"], job["error"]["code"]) == ("failed", "nonfinite")
    incident = diagnosis(stack, job["id"])["incident"]
    assert (incident["action"], incident["count"]) == ("stop", 6)


def test_a_job_is_diagnosed_while_it_runs(stack: Stack) -> None:
    job_id = stack.post(vanishing(100_000))
    path, tag, found = f"/v1/jobs/{job_id}", "", []
    while not found:
        reply = stack.client.get(path, params={"wait": 30}, headers={"If-None-Match": tag})
        assert reply.status_code == 200
        tag, found = reply.headers["ETag"], reply.json()["findings"]
    said = stack.client.get(f"{path}/diagnosis")
    assert (said.json()["complete"], codes(said.json())[0]) == (False, "vanishing_depth")
    assert said.headers["Retry-After"]
    # The same ETag as the job's: what changes is seen by either.
    await_true(lambda: matches(stack, f"{path}/diagnosis", stack.client.get(path).headers["ETag"]))
    stack.cancel(job_id, "force")
    stack.follow(job_id)
    assert not matches(stack, f"{path}/diagnosis", tag)
    assert diagnosis(stack, job_id)["complete"] is True
    assert codes(diagnosis(stack, job_id))[0] == "vanishing_depth"


def matches(stack: Stack, path: str, tag: str) -> bool:
    """Whether what is there is as it was under this ETag."""
    return stack.client.get(path, headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.quick_on("production")
@pytest.mark.fault(1)
def test_a_job_that_is_killed_on_the_way_is_diagnosed_like_one_that_was_left_alone(stack: Stack) -> None:
    definition = vanishing(60, gradients={"every_steps": 5})
    whole = stack.train(definition)
    job_id = stack.post(definition)
    await_true(lambda: told(stack, job_id, "job.checkpoint"), 60)
    os.kill(stack.await_runner(job_id), signal.SIGKILL)
    await_true(lambda: len(told(stack, job_id, "job.checkpoint")) > 1 or stack.job(job_id)["terminal"], 60)
    os.kill(stack.worker(), signal.SIGKILL)
    job = stack.follow(job_id)
    assert (job["status"], job["attempt"] > 1) == ("succeeded", True)
    found = diagnosis(stack, job_id)
    assert found | {"job": whole["id"]} == diagnosis(stack, whole["id"])
    events = [(event["code"], event["severity"]) for event in told(stack, job_id)]
    assert len(events) == len(set(events))
    assert judged_again(stack, job_id) == found


KINDS: dict[str, dict[str, Any]] = {
    "healthy": dnn(training={"epochs": 30}),
    "unhealthy": vanishing(3),
    "pre-training": vanishing(3, training={"epochs": 3, "pretraining": {"kind": "autoencoder", "epochs": 1}}),
    "restarts": dnn(training={"restarts": 3}),
    "restarts that diverge": diverging(nonfinite="continue") | {"training": diverging()["training"] | {"restarts": 2}},
    "bfloat16": dnn(training={"precision": "bfloat16"}),
    "max_seconds": dnn(training={"epochs": 100_000, "max_seconds": 1}),
    "max_steps": dnn(training={"epochs": None, "max_steps": 2}),
    "no validation": dnn(data={"validation": None}),
    "no validation, diverging": diverging() | {"data": DIGITS | {"validation": None}},
    "no hidden layers measured": vanishing(3, gradients={"activations": False}),
    "every step": vanishing(3, gradients={"every_steps": 1}),
    "hardly any step": dnn() | {"gradients": {"every_steps": 1000}},
    "batch norm": dnn(norm="batch", training={"batch_size": 256}),
    "perceptron": dnn(hidden=[]),
    "regression": dnn(data={"dataset": "diabetes", "normalise": "none"}),
    "recurrent": {
        "network": {"family": "rnn", "cell": "rnn", "hidden": 16, "layers": 2, "bidirectional": True},
        "data": {"dataset": "digits_rows"},
        "training": {"epochs": 2},
    },
    "tokens": {
        "network": {"family": "rnn", "cell": "gru", "hidden": 16, "embedding": {"size": 8}},
        "data": {"dataset": "copy_memory", "parameters": {"length": 5}},
        "training": {"epochs": 2},
    },
    "convolutions": {
        "network": {"family": "cnn", "blocks": [{"filters": 8}], "norm": "batch", "residual": True},
        "data": DIGITS,
        "training": {"epochs": 2},
    },
}


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_job_has_a_verdict_and_its_stored_numbers_say_the_same(stack: Stack, kind: str) -> None:
    job = stack.train(KINDS[kind])
    found = diagnosis(stack, job["id"])
    assert (found["complete"], found["verdict"]) == (True, job["verdict"])
    assert found["verdict"] in VERDICTS
    assert (job["error"] or {}).get("code") in (None, "nonfinite")
    assert [finding["code"] for finding in job["findings"]] == codes(found)
    assert {*codes(found)} <= {event["code"] for event in told(stack, job["id"])}
    assert judged_again(stack, job["id"]) == found


def accepts(stack: Stack, definition: dict[str, Any]) -> bool:
    """Whether a job like this is admitted; the one that asked is cancelled at once."""
    reply = stack.client.post("/v1/jobs", json=definition)
    if reply.status_code == 202:
        stack.cancel(reply.json()["id"], "force")
    return bool(reply.status_code == 202)


@pytest.mark.quick_on("embedded")
def test_a_job_of_two_processes_has_the_diagnosis_of_one(stack: Stack) -> None:
    alone = stack.train(vanishing(3))
    shared = vanishing(3, resources={"device": "cpu", "processes": 2})
    with stack.another_worker(DESCENT_SLOTS="2"):
        # What the API knows of the workers may be a few seconds old.
        await_true(lambda: accepts(stack, shared))
        job = stack.train(shared)
    found = diagnosis(stack, job["id"])
    assert (job["status"], codes(found)) == ("succeeded", codes(diagnosis(stack, alone["id"])))
    assert judged_again(stack, job["id"]) == found


@pytest.mark.quick_on("production")
def test_a_job_that_was_paused_has_the_diagnosis_of_one_that_was_not(stack: Stack) -> None:
    definition = vanishing(40)
    job_id = running(stack, definition)
    ask(stack, job_id, "pause")
    assert stack.follow(job_id, "paused")["status"] == "paused"
    assert diagnosis(stack, job_id)["complete"] is False
    ask(stack, job_id, "resume")
    assert stack.follow(job_id)["status"] == "succeeded"
    whole = stack.train(definition)
    found = diagnosis(stack, job_id)
    assert found | {"job": whole["id"]} == diagnosis(stack, whole["id"])
    assert judged_again(stack, job_id) == found


def test_lists_agree_with_what_jobs_show(stack: Stack) -> None:
    jobs = [stack.train(definition) for definition in (vanishing(2), dnn(training={"epochs": 2}))]
    for job in jobs:
        assert job["id"] in listed(stack, verdict=job["verdict"])
        for finding in job["findings"]:
            assert job["id"] in listed(stack, finding=finding["code"])
    assert listed(stack, parent=jobs[0]["id"]) == []


def test_wrong_calls_are_refused(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = stack.post(slow)
    reply = stack.client.post(f"/v1/jobs/{job_id}/repairs", json={})
    assert (reply.status_code, reply.json()["code"]) == (409, "illegal_move")
    assert diagnosis(stack, job_id)["complete"] is False
    stack.cancel(job_id, "force")
    stack.follow(job_id)
    absent = f"job_{'0' * 26}"
    for path in ("diagnosis", "gradients/flight"):
        assert stack.client.get(f"/v1/jobs/{absent}/{path}").status_code == 404
    assert stack.client.post(f"/v1/jobs/{absent}/repairs").status_code == 404
    for body in ({"remedy": 1}, {"remedy": "a\0b"}, {"remedy": "x" * 10_000}, {"other": 1}, []):
        assert stack.client.post(f"/v1/jobs/{job_id}/repairs", json=body).status_code == 422
    for query in ({"verdict": "ill"}, {"finding": "cold"}, {"parent": "x"}):
        reply = stack.client.get("/v1/jobs", params=query)
        assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, f"/{next(iter(query))}")
