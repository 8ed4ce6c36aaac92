"""Webhooks of the running service: told of what a worker did, and not less when processes are killed."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from service.sender import SPARE_SECONDS
from tests.receiver import Receiver
from tests.system.stack import WEBHOOK_SECONDS, Stack
from tests.waiting import await_true

SMALL: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [8]},
    "data": {"dataset": "xor"},
    "training": {"epochs": 3},
}
ENDED = b'{"type":"job.succeeded"'
TWO_CLAIMS = 2 * (WEBHOOK_SECONDS + SPARE_SECONDS)
"""Nearly always at once; a sender that is killed during an attempt leaves it to another as late as this."""


@contextmanager
def a_hook(stack: Stack, url: str, *events: str) -> Iterator[dict[str, Any]]:
    made = stack.client.post("/v1/webhooks", json={"url": url} | ({"events": list(events)} if events else {}))
    assert made.status_code == 201, made.text
    try:
        yield made.json()
    finally:
        assert stack.client.delete(f"/v1/webhooks/{made.json()['id']}").status_code == 204


def test_a_job_is_told_from_its_queue_to_its_end(stack: Stack) -> None:
    events = ("job.queued", "job.started", "job.epoch", "job.succeeded")
    with Receiver() as receiver, a_hook(stack, receiver.url, *events) as hook:
        secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        callback = {"url": receiver.url, "events": ["job.succeeded"], "secret": secret}
        job = stack.train(SMALL | {"callback": callback})
        # Several are sent at once: the last to happen need not be the last to come.
        await_true(lambda: not _pending(stack, hook), TWO_CLAIMS)
        await_true(lambda: sum(call.body.startswith(ENDED) for call in receiver.received) == 2, TWO_CLAIMS)
        told = [call.verified(hook["secret"]) for call in receiver.received if _is_by(call, hook["secret"])]
        [called] = [call.verified(secret) for call in receiver.received if not _is_by(call, hook["secret"])]
    assert {one["type"] for one in told} == set(events)
    [last] = [one for one in told if one["type"] == "job.succeeded"]
    for one in (last, called):
        assert one["data"]["id"] == job["id"]
        assert {name: one["data"][name] for name in ("status", "verdict", "metrics", "best")} == {
            name: job[name] for name in ("status", "verdict", "metrics", "best")
        }
    assert len({call.id for call in receiver.received}) == len(receiver.received)


def _is_by(call: Any, secret: str) -> bool:
    try:
        call.verified(secret)
    except WebhookVerificationError:
        return False
    return True


def test_what_a_receiver_missed_it_is_told_though_the_api_was_killed(stack: Stack) -> None:
    with Receiver() as gone:
        url, port = gone.url, gone.port
    with a_hook(stack, url, "job.succeeded") as hook:
        jobs = {stack.train(SMALL)["id"] for _ in range(2)}
        for pid in stack.processes("-m granian"):
            os.kill(pid, signal.SIGKILL)
        with Receiver(port) as back:
            stack.await_ready()
            await_true(lambda: not _pending(stack, hook), TWO_CLAIMS)
            assert {_job_of(call, hook) for call in back.received} == jobs
            assert len(back.received) == len(jobs)


def _pending(stack: Stack, hook: dict[str, Any]) -> list[Any]:
    page = stack.client.get(f"/v1/webhooks/{hook['id']}/deliveries", params={"status": "pending"}).json()
    return list(page["items"])


@pytest.mark.long
def test_what_a_receiver_missed_it_is_told_after_all_was_killed_and_started_again(stack: Stack) -> None:
    with Receiver() as gone:
        url, port = gone.url, gone.port
    with a_hook(stack, url, "job.succeeded") as hook:
        first = stack.train(SMALL)["id"]
        second = stack.post(SMALL | {"training": {"epochs": 200}})
        os.kill(stack.worker(), signal.SIGKILL)
        stack.kill()
        with Receiver(port) as back:
            stack.start()
            stack.follow(second)
            await_true(lambda: not _pending(stack, hook), TWO_CLAIMS)
            assert {_job_of(call, hook) for call in back.received} == {first, second}
            assert len(back.received) == 2


def _job_of(call: Any, hook: dict[str, Any]) -> str:
    return str(call.verified(hook["secret"])["data"]["id"])
