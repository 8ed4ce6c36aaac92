"""Webhooks go to real receivers: they are down, slow, wrong or gone, and are told in the end or refused by rule."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from models import webhooks
from models.database import database_now
from models.signatures import new_secret
from models.tables import Delivery
from service.outgoing import post
from service.sender import AT_ONCE_OF_AN_OWNER
from tests.conftest import free_port
from tests.receiver import Answer, Handler, Receiver, dripping, slow, status, torn
from tests.service.conftest import HEADERS, Api

ROOT = Path(__file__).parents[2]
QUICK = {"webhook_hosts": "127.0.0.1", "webhook_retries": "0.1,0.1,0.1,0.1,0.1,0.1", "webhook_seconds": 0.6}
on_sqlite = pytest.mark.parametrize("backend", ["sqlite"])


class Sending(Api):
    """The API with its sender at work."""

    def __init__(self, database_url: str, folder: Path, **settings: Any) -> None:
        super().__init__(database_url, folder, **QUICK | settings)
        self.sender = self.client.application.extensions["descent"].sender
        self.sender.start()

    def hook(self, url: str, **more: Any) -> dict[str, Any]:
        made = self.client.post("/v1/webhooks", json={"url": url} | more, headers=HEADERS)
        assert made.status_code == 201, made.text
        found: dict[str, Any] = made.json
        return found

    def ping(self, hook: dict[str, Any]) -> str:
        return str(self.client.post(f"/v1/webhooks/{hook['id']}/ping", headers=HEADERS).json["links"]["self"])

    def ended(self, delivery: str) -> dict[str, Any]:
        """A delivery, once it is delivered or given up."""
        return await_it(lambda: found if (found := self.look(delivery))["status"] != "pending" else None)

    def look(self, delivery: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(delivery, headers=HEADERS).json
        return found

    def close(self) -> None:
        self.sender.close()
        await_it(lambda: not (self.sender._thread.is_alive() or self.sender._under_way))
        super().close()


def await_it(ask: Callable[[], Any], seconds: float = 15) -> Any:
    end = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)
    return found


@pytest.fixture
def sending(database_url: str, tmp_path: Path) -> Iterator[Sending]:
    sending = Sending(database_url, tmp_path)
    yield sending
    sending.close()


def test_a_job_that_ends_is_told_as_get_shows_it_and_signed(sending: Sending, receiver: Receiver) -> None:
    hook = sending.hook(receiver.url)
    job = sending.post(name="told").json["id"]
    sending.ask(job, "cancel")
    await_it(lambda: receiver.received)
    [call] = receiver.received
    told = call.verified(hook["secret"])
    assert (told["type"], told["data"]) == ("job.cancelled", sending.get(f"/{job}").json)
    assert told["timestamp"] >= told["data"]["finished_at"]
    assert call.headers["content-type"] == "application/json"
    assert call.headers["user-agent"].startswith("Descent/")
    [delivery] = sending.client.get(f"/v1/webhooks/{hook['id']}/deliveries", headers=HEADERS).json["items"]
    assert (delivery["id"], delivery["job"]) == (call.id, job)
    shown = sending.ended(delivery["links"]["self"])
    assert shown["body"].encode() == call.body
    assert shown["status"] == "delivered"
    [attempt] = shown["attempts"]
    assert (attempt["status"], attempt["error"], attempt["answer"]) == (200, None, "ok")


@on_sqlite
def test_a_callback_is_told_with_its_own_secret(sending: Sending, receiver: Receiver) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    job = sending.post(callback={"url": receiver.url, "events": ["job.cancelled"], "secret": secret}).json["id"]
    sending.ask(job, "cancel")
    await_it(lambda: receiver.received)
    assert receiver.received[0].verified(secret)["data"]["id"] == job


@on_sqlite
def test_a_receiver_that_is_down_for_a_while_is_told_when_it_is_back(sending: Sending) -> None:
    with Receiver() as gone:
        hook = sending.hook(gone.url)
    delivery = sending.ping(hook)
    await_it(lambda: len(sending.look(delivery)["attempts"]) >= 2)
    with Receiver(gone.port) as back:
        shown = sending.ended(delivery)
    assert shown["status"] == "delivered"
    assert {attempt["error"] for attempt in shown["attempts"][:-1]} == {"no_connection"}
    assert len(back.received) == 1


@on_sqlite
@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (status(500), "status", 500),
        (status(404), "status", 404),
        (status(429, Retry_After="0"), "status", 429),
        (status(302, Location="http://127.0.0.1:1/"), "redirected", 302),
        (slow(1.0), "timeout", None),
        (dripping, "timeout", None),
        (torn, "broken", None),
    ],
    ids=["500", "404", "429", "redirect", "slow", "dripping", "torn"],
)
def test_a_receiver_that_fails_is_told_again_with_the_same_message(
    sending: Sending, receiver: Receiver, answer: Answer, error: str, code: int | None
) -> None:
    receiver.answers = [answer, status(202)]
    hook = sending.hook(receiver.url)
    shown = sending.ended(sending.ping(hook))
    assert [(attempt["status"], attempt["error"]) for attempt in shown["attempts"]] == [(code, error), (202, None)]
    assert shown["status"] == "delivered"
    first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)
    assert second.verified(hook["secret"])["data"] == {"webhook": hook["id"]}


@on_sqlite
def test_a_receiver_that_never_takes_it_is_given_up_and_told_when_it_is_asked_for(
    sending: Sending, receiver: Receiver
) -> None:
    receiver.answers = [status(503)] * 7
    delivery = sending.ping(sending.hook(receiver.url))
    shown = sending.ended(delivery)
    assert (shown["status"], len(shown["attempts"]), shown["next_attempt_at"]) == ("failed", 7, None)
    assert len({call.id for call in receiver.received}) == 1
    assert sending.client.post(f"{delivery}/redeliver", headers=HEADERS).status_code == 202
    again = sending.ended(delivery)
    assert (again["status"], len(again["attempts"])) == ("delivered", 8)
    assert receiver.received[-1].id == shown["id"]


@on_sqlite
def test_a_longer_pause_that_the_receiver_asks_for_is_kept(sending: Sending, receiver: Receiver) -> None:
    receiver.answers = [status(503, Retry_After="1")]
    sending.ended(sending.ping(sending.hook(receiver.url)))
    first, second = receiver.received
    assert second.at - first.at >= 1


@on_sqlite
def test_a_receiver_that_is_gone_is_told_nothing_more(sending: Sending, receiver: Receiver) -> None:
    receiver.answers = [status(410)]
    hook = sending.hook(receiver.url)
    shown = sending.ended(sending.ping(hook))
    assert (shown["status"], shown["attempts"][0]["error"]) == ("failed", "gone")
    found = sending.client.get(f"/v1/webhooks/{hook['id']}", headers=HEADERS).json
    assert (found["enabled"], found["disabled_reason"]) == (False, webhooks.GONE)
    sending.ask(sending.post().json["id"], "cancel")
    assert len(receiver.received) == 1


@on_sqlite
def test_a_name_at_a_private_address_is_refused_when_it_is_to_be_called(sending: Sending, receiver: Receiver) -> None:
    """`localhost` is a name like any other, until it is resolved."""
    shown = sending.ended(sending.ping(sending.hook(f"https://localhost:{receiver.port}/")))
    assert shown["status"] == "failed"
    [attempt] = shown["attempts"]
    assert (attempt["error"], attempt["status"]) == ("refused_address", None)
    assert "not public" in attempt["detail"]
    assert receiver.received == []


@on_sqlite
def test_a_redirect_is_not_followed(sending: Sending, receiver: Receiver) -> None:
    with Receiver() as other:
        receiver.answers = [status(307, Location=other.url)]
        sending.ended(sending.ping(sending.hook(receiver.url)))
        assert other.received == []


@on_sqlite
def test_both_secrets_sign_while_one_takes_the_place_of_the_other(sending: Sending, receiver: Receiver) -> None:
    hook = sending.hook(receiver.url)
    rotated = sending.client.post(f"/v1/webhooks/{hook['id']}/rotate", headers=HEADERS).json
    sending.ended(sending.ping(hook))
    for secret in (hook["secret"], rotated["secret"]):
        assert receiver.received[0].verified(secret)


def test_two_senders_side_by_side_deliver_each_message_once(database_url: str, tmp_path: Path) -> None:
    with Receiver() as receiver:
        senders = [Sending(database_url, tmp_path / name) for name in ("a", "b")]
        hook = senders[0].hook(receiver.url)
        pings = [senders[place % 2].ping(hook) for place in range(20)]
        assert {senders[0].ended(delivery)["status"] for delivery in pings} == {"delivered"}
        assert sorted(call.id for call in receiver.received) == sorted(path.rpartition("/")[2] for path in pings)
        for sender in senders:
            sender.close()


@on_sqlite
def test_what_a_dead_sender_held_is_sent_by_another(
    sending: Sending, receiver: Receiver, database_url: str, tmp_path: Path
) -> None:
    """As after KILL between a claim and the call: the claim runs out."""
    sending.sender._deliver = lambda message: None
    delivery = sending.ping(sending.hook(receiver.url))
    await_it(lambda: sending.sender._under_way)
    sending.sender.close()
    sending.sender._under_way.clear()
    with sending.database.write() as connection:
        connection.execute(update(Delivery).values(due_at=database_now() - 1))
    another = Sending(database_url, tmp_path / "another")
    assert another.ended(delivery)["attempts"][0]["attempt"] == 2
    assert len(receiver.received) == 1
    another.close()


@on_sqlite
def test_a_slow_receiver_holds_up_neither_those_of_others_nor_requests(
    database_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    sending, is_over = Sending(database_url, tmp_path, webhook_seconds=30), threading.Event()

    def wait(handler: Handler) -> None:
        is_over.wait(20)
        status(200)(handler)

    receiver.answers = [wait] * 8
    hook = sending.hook(receiver.url)
    pings = [sending.ping(hook) for _ in range(8)]
    await_it(lambda: len(receiver.received) == AT_ONCE_OF_AN_OWNER)
    other = sending.a_key()
    with Receiver() as quick:
        made = sending.client.post("/v1/webhooks", json={"url": quick.url}, headers=other).json
        sending.client.post(f"/v1/webhooks/{made['id']}/ping", headers=other)
        await_it(lambda: quick.received)
    assert len(receiver.received) == AT_ONCE_OF_AN_OWNER
    is_over.set()
    assert {sending.ended(delivery)["status"] for delivery in pings} == {"delivered"}
    sending.close()


@on_sqlite
def test_the_example_takes_each_message_once_and_nothing_that_is_not_signed(sending: Sending) -> None:
    port, secret = free_port(), new_secret()
    line = [sys.executable, str(ROOT / "examples" / "webhook_receiver.py"), str(port)]
    with subprocess.Popen(line, env=os.environ | {"SECRET": secret}, stdout=subprocess.PIPE, text=True) as example:
        assert example.stdout
        assert example.stdout.readline() == f"listening on {port}\n"
        url = f"http://127.0.0.1:{port}/"
        hook = sending.hook(url, secret=secret)
        delivery = sending.ping(hook)
        sending.ended(delivery)
        sending.client.post(f"{delivery}/redeliver", headers=HEADERS)
        sending.ended(delivery)
        sending.ended(sending.ping(hook))
        assert post(url, {}, b"x", frozenset({"127.0.0.1"}), 1.0).status == 401
        example.terminate()
        said = example.stdout.read().splitlines()
    assert said == ["webhook.ping None None"] * 2 + ["refused: Missing required headers"]
