"""What a client can do to a service: cancel at every moment, and ask for numbers that are no numbers, or too many."""

import json
import math
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.system.stack import Stack
from tests.waiting import await_true

TINY: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [4]},
    "data": {"dataset": "xor"},
    "training": {"epochs": 3},
}


@pytest.mark.fault(19)
@pytest.mark.parametrize("times", [40, pytest.param(1000, marks=pytest.mark.long)])
def test_a_cancel_at_any_moment_leaves_one_terminal_state(stack: Stack, times: int) -> None:
    """From before the claim to after the finish; the invariants look for a second end."""
    chance = random.Random(19)

    def post_and_cancel(delay: float) -> tuple[str, int]:
        job_id = stack.post(TINY)
        time.sleep(delay)
        return job_id, stack.cancel(job_id, chance.choice([None, "force"]))

    with ThreadPoolExecutor(2) as clients:
        answers = list(clients.map(post_and_cancel, [chance.choice([0, chance.uniform(0, 0.3)]) for _ in range(times)]))
    ends = set()
    for job_id, answer in answers:
        status = stack.follow(job_id)["status"]
        ends.add(status)
        # Asked in time it is cancelled, or has finished before its worker heard of it.
        assert status in (("succeeded",) if answer == 409 else ("cancelled", "succeeded"))
    assert ends == {"cancelled", "succeeded"}


@pytest.mark.fault(19)
def test_twenty_cancels_at_once_are_one(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = stack.post(slow)
    stack.await_runner(job_id)
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda number: stack.cancel(job_id, "force" if number % 2 else None), range(20)))
    assert set(answers) == {202}
    assert stack.follow(job_id)["status"] == "cancelled"
    assert stack.event_types(job_id) == ["job.queued", "job.started", "job.cancelling", "job.cancelled"]


@pytest.mark.fault(21)
@pytest.mark.parametrize("rate", [1e3, 1e6])
def test_a_job_that_diverges_tells_it_in_valid_json_and_harms_no_other(stack: Stack, rate: float) -> None:
    wild = {
        "network": {"family": "dnn", "hidden": [8], "activation": "relu"},
        "data": {"dataset": "diabetes"},
        "training": {"epochs": 3, "optimizer": {"kind": "sgd", "learning_rate": rate}},
    }
    job = stack.train(wild)
    for what in ("", "/metrics", "/gradients", "/gradients?statistic=max_abs", "/layers", "/events"):
        text = stack.client.get(f"/v1/jobs/{job['id']}{what}").text
        json.loads(text, parse_constant=pytest.fail)
    named = stack.client.get(f"/v1/jobs/{job['id']}/gradients").json()
    numbers = [value for row in named["values"] for value in row]
    assert sum(value is None for value in numbers) == len(named["nonfinite"])
    assert all(math.isfinite(value) for value in numbers if value is not None)
    assert any(value is None or value > 1e6 for value in numbers)
    assert stack.train(TINY)["status"] == "succeeded"


@pytest.mark.long
@pytest.mark.fault(21)
def test_a_job_with_a_million_rows_of_statistics_is_read_quickly(stack: Stack) -> None:
    """10 000 sampled steps of 102 tensors."""
    deep = {
        "network": {"family": "dnn", "hidden": [4] * 50},
        "data": {"dataset": "xor", "parameters": {"rows": 1280}, "validation": None},
        "training": {"epochs": 500, "batch_size": 64},
        "gradients": {"every_steps": 1},
    }
    job = stack.follow(stack.post(deep), seconds=280)
    assert (job["status"], job["progress"]["step"]) == ("succeeded", 10_000)
    began = time.monotonic()
    thinned = stack.client.get(f"/v1/jobs/{job['id']}/gradients", params={"points": 1000}).json()
    assert time.monotonic() - began < 5
    assert len(thinned["values"]) <= 1000
    assert len(thinned["values"][0]) == 102


def test_a_job_that_was_cancelled_holds_no_slot(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = stack.post(slow)
    stack.await_runner(job_id)
    stack.cancel(job_id)
    stack.follow(job_id)
    assert stack.train(TINY)["status"] == "succeeded"
    await_true(lambda: not stack.runners())
