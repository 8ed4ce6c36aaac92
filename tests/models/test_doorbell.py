"""The ring of the API and the ear of a worker: Kombu on one side, Celery on the other."""

import threading
import time
from pathlib import Path

import pytest
from celery.contrib.testing.worker import start_worker

from models.doorbell import Doorbell
from models.queue import DOORBELL, create_connection, ring
from models.settings import Settings
from workers.celery_app import create_celery


@pytest.fixture(params=["files", "valkey"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of each broker."""
    url = "" if request.param == "files" else request.getfixturevalue("redis_server")
    return Settings(data=tmp_path, broker_url=url)


def test_a_ring_wakes_a_celery_worker(settings: Settings) -> None:
    app, heard = create_celery(settings), threading.Event()

    @app.task(name=DOORBELL, shared=False)
    def hear() -> None:
        heard.set()

    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        Doorbell(settings).ring()
        assert heard.wait(20)


def test_the_message_is_the_one_that_celery_would_send(settings: Settings) -> None:
    app = create_celery(settings)
    sent = []
    with create_connection(settings) as connection, app.connection_for_read() as other, other.channel() as channel:
        queue = app.amqp.queues["descent"].bind(channel)
        queue.declare()
        for send in (lambda: ring(connection), lambda: app.send_task(DOORBELL, ignore_result=True)):
            send()
            sent.append(queue.get(no_ack=True))
    ours, theirs = sent
    assert ours.payload == theirs.payload
    assert (ours.content_type, ours.content_encoding) == (theirs.content_type, theirs.content_encoding)
    marks = {"id", "root_id"}
    assert {ours.headers[name] for name in marks} == {ours.properties["correlation_id"]}
    assert {name: theirs.headers[name] for name in ours.headers.keys() - marks} == {
        name: ours.headers[name] for name in ours.headers.keys() - marks
    }


@pytest.mark.fault(8)
def test_a_file_of_the_broker_that_is_half_written_costs_no_ring(tmp_path: Path) -> None:
    exchange = tmp_path / "broker" / "control" / "descent.exchange"
    exchange.parent.mkdir(parents=True)
    exchange.write_text("")
    Doorbell(Settings(data=tmp_path)).ring()
    end = time.monotonic() + 10
    while not list((tmp_path / "broker" / "messages").glob("*.descent.msg")):
        assert time.monotonic() < end, "nobody is rung any more"
        time.sleep(0.05)
