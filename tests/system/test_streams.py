"""Long-polls and event streams at a running service: many at once, and at its end."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.system.stack import KEY, Stack
from tests.waiting import await_true

LONG_POLLS, STREAMS = 60, 15
HEADERS = {"Authorization": f"Bearer {KEY}"}
LONG: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [4]},
    "data": {"dataset": "xor"},
    "training": {"epochs": 100_000},
}


class Waiting:
    """Long-polls and streams of a job, each in a thread, and what became of them."""

    def __init__(self, stack: Stack, job_id: str) -> None:
        self._url = f"{stack.url}/v1/jobs/{job_id}"
        self.polled: list[dict[str, Any]] = []
        self.streamed: list[list[str]] = []
        self.begun = 0
        self.threads = [threading.Thread(target=self._poll) for _ in range(LONG_POLLS)]
        self.threads += [threading.Thread(target=self._stream) for _ in range(STREAMS)]

    def _poll(self) -> None:
        self.begun += 1
        self.polled.append(httpx.get(f"{self._url}?wait=50", headers=HEADERS, timeout=70, verify=False).json())

    def _stream(self) -> None:
        headers = HEADERS | {"Accept": "text/event-stream"}
        types = []
        with httpx.stream("GET", f"{self._url}/events", headers=headers, timeout=70, verify=False) as reply:
            assert reply.status_code == 200
            for line in reply.iter_lines():
                if line.startswith("retry:"):
                    self.begun += 1
                if line.startswith("data: "):
                    types.append(json.loads(line.removeprefix("data: "))["type"])
        self.streamed.append(types)


@contextmanager
def waiting(stack: Stack, job_id: str) -> Iterator[Waiting]:
    """At the end of the block all of them have to come home within seconds."""
    many = Waiting(stack, job_id)
    for thread in many.threads:
        thread.start()
    await_true(lambda: many.begun == len(many.threads), 30)
    time.sleep(0.5)
    yield many
    ends_at = time.monotonic() + 15
    for thread in many.threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    assert not any(thread.is_alive() for thread in many.threads)


@pytest.mark.long
def test_all_who_wait_for_a_job_are_told_and_others_are_served_meanwhile(stack: Stack) -> None:
    job_id = stack.post(LONG)
    with waiting(stack, job_id) as many:
        for _ in range(20):
            assert stack.client.get("/v1/jobs", params={"limit": 5}).elapsed.total_seconds() < 5
        stack.cancel(job_id, "force")
        stack.follow(job_id)
    assert len(many.polled) == LONG_POLLS
    told = [event["type"] for event in stack.events(job_id)]
    assert told[-1] == "job.cancelled"
    assert many.streamed == [told] * STREAMS


@pytest.mark.quick_on("embedded")
def test_at_the_end_of_the_service_all_who_wait_are_answered(stack: Stack) -> None:
    paused = stack.post(LONG)
    stack.client.post(f"/v1/jobs/{paused}/pause")
    stack.follow(paused, "paused")
    with waiting(stack, paused) as many:
        began = time.monotonic()
        stack.launcher.terminate()
    assert time.monotonic() - began < 10
    assert len(many.polled) == LONG_POLLS
    assert {job["id"] for job in many.polled} == {paused}
    assert len(many.streamed) == STREAMS
    assert stack.launcher.wait(40) == 0
