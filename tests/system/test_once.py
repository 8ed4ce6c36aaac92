"""Clients that lose answers and ask again: each job is made once, on both back ends."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.system.flaky_proxy import FATES, FlakyProxy
from tests.system.stack import KEY, Stack
from tests.waiting import await_true

TINY: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [4]},
    "data": {"dataset": "xor"},
    "training": {"epochs": 1},
}
JOBS = 200
TIMES = 4
"""Each POST, and three repetitions of it."""


def send(client: httpx.Client, url: str, key: str, body: dict[str, Any]) -> httpx.Response | None:
    """The answer to a POST; None if it was lost."""
    try:
        return client.post(f"{url}/v1/jobs", json=body, headers={"Idempotency-Key": key})
    except httpx.TransportError:
        return None


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """One that takes a new connection for each request."""
    headers = {"Authorization": f"Bearer {KEY}", "Connection": "close"}
    with httpx.Client(headers=headers, timeout=30, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        yield client


@pytest.mark.long
def test_a_client_that_repeats_every_post_over_a_flaky_line_makes_each_job_once(
    stack: Stack, client: httpx.Client
) -> None:
    tag = f"once-{time.time_ns()}"

    def submit(number: int) -> set[str]:
        """Sends a job four times whatever is answered, and then, as a last resort, over a good line."""
        key, body, found = f"{tag}-{number}", TINY | {"name": str(number), "tags": [tag]}, set()
        for url in (*[proxy.url] * TIMES, stack.url):
            reply = send(client, url, key, body)
            if reply is not None and reply.status_code in (200, 202):
                found.add(str(reply.json()["id"]))
            elif reply is not None:
                assert (reply.status_code, reply.json()["code"]) == (409, "in_flight"), reply.text
                time.sleep(float(reply.headers["Retry-After"]))
        return found

    with FlakyProxy(stack.port, seed=8) as proxy, ThreadPoolExecutor(8) as clients:
        answered = list(clients.map(submit, range(JOBS)))
    assert set(proxy.fates) == set(FATES)
    assert all(len(ids) <= 1 for ids in answered)
    listed = stack.client.get("/v1/jobs", params={"tag": tag, "limit": 200}).json()
    assert listed["next"] is None
    assert sorted(int(job["name"]) for job in listed["items"]) == list(range(JOBS))
    assert {job["id"] for job in listed["items"]} >= set().union(*answered)


def test_a_job_whose_api_died_before_the_answer_is_not_made_again(stack: Stack, client: httpx.Client) -> None:
    key = f"killed-{time.time_ns()}"
    first = send(client, stack.url, key, TINY)
    assert first is not None
    assert first.status_code == 202
    # As if that answer had been lost with the process that committed the job.
    for pid in stack.processes("-m granian"):
        os.kill(pid, signal.SIGKILL)
    await_true(stack.answers, 30)
    second = send(client, stack.url, key, TINY)
    assert second is not None
    assert (second.status_code, second.json()["id"]) == (200, first.json()["id"])
