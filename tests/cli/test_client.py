"""Calls to a service that loses answers, asks for patience, or sends something else."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli import client as module
from cli.client import Client
from cli.commands.keys import _made
from cli.failures import Failure, KeyRefused, Refused, Unreachable
from cli.paths import job_path
from cli.place import Place
from cli.session import Session

LOST = "lost"
"""In the place of an answer: the connection ends without one."""
FILE = b"weights" * 1000


class Service(ThreadingHTTPServer):
    """Answers by turns what it was told to; the last answer again and again."""

    daemon_threads = True

    def __init__(self, *answers: Any) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def place(self) -> Place:
        return Place(f"http://127.0.0.1:{self.server_address[1]}", "dsc_key", "a test")

    def handle_error(self, *_: Any) -> None: ...


class Handler(BaseHTTPRequestHandler):
    server: Service

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer == LOST:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers, said = answer
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: Any) -> None: ...


OK = (200, {}, {"id": "job_1"})
LATER = (429, {"Retry-After": "1"}, {"code": "queue_full", "detail": "The queue is full."})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.01)


@pytest.fixture
def serve() -> Iterator[Any]:
    started: list[Service] = []

    def start(*answers: Any) -> Service:
        service = Service(*answers)
        threading.Thread(target=service.serve_forever, daemon=True).start()
        started.append(service)
        return service

    yield start
    for service in started:
        service.shutdown()
        service.server_close()


def test_a_post_whose_answer_is_lost_is_repeated_with_its_key(serve: Any) -> None:
    service = serve(LOST, LOST, OK)
    assert Client(service.place).post("/v1/jobs", b"{}") == {"id": "job_1"}
    keys = {headers["Idempotency-Key"] for _, _, headers, _ in service.asked}
    assert (len(service.asked), len(keys)) == (3, 1)
    assert {body for *_, body in service.asked} == {b"{}"}


def test_what_may_not_be_done_twice_is_not_repeated(serve: Any) -> None:
    service = serve(LOST, OK)
    with pytest.raises(Unreachable):
        Client(service.place).ask("POST", "/v1/keys", repeatable=False, content=b"{}")
    assert len(service.asked) == 1


def test_what_is_sent_is_made_anew_for_each_try(serve: Any) -> None:
    service = serve(LOST, OK)
    Client(service.place).ask("POST", "/v1/datasets", content=lambda: iter([b"abc"]), headers={"Content-Length": "3"})
    assert [body for *_, body in service.asked] == [b"abc", b"abc"]


def test_it_waits_as_long_as_the_service_asks_and_its_patience_lasts(serve: Any) -> None:
    service = serve(LATER, OK)
    began = time.monotonic()
    assert Client(service.place).get("/v1/jobs") == {"id": "job_1"}
    assert 0.9 < time.monotonic() - began < 3
    with pytest.raises(Refused, match="queue_full: The queue is full"):
        Client(serve(LATER).place).get("/v1/jobs", patience=0.5)


def test_where_nobody_listens_it_gives_up_soon_and_waits_for_one_that_it_knows(serve: Any) -> None:
    service = serve(OK)
    client = Client(service.place)
    client.get("/v1/jobs")
    service.shutdown()
    service.server_close()
    began = time.monotonic()
    with pytest.raises(Unreachable, match="There is no Descent at"):
        Client(service.place).get("/v1/jobs")
    assert time.monotonic() - began < 2
    told: list[str] = []
    with pytest.raises(Unreachable):
        client.ask("GET", "/v1/jobs", patience=1.5, told=told.append)
    assert "trying again" in told[0]


def test_a_job_is_followed_through_304_and_lost_connections(serve: Any) -> None:
    job = {"id": "job_1", "terminal": False}
    answers = [(200, {"ETag": 'W/"1"'}, job), (304, {}, b""), LOST, (200, {"ETag": 'W/"2"'}, job | {"terminal": True})]
    service = serve(*answers)
    found = list(Client(service.place).changes("job_1", 1, 5, lambda _: None))
    assert [job["terminal"] for job in found] == [False, True]
    assert [path.partition("?")[2] for _, path, *_ in service.asked] == ["", "wait=1", "", ""]


@pytest.mark.parametrize(("status", "kind"), [(401, KeyRefused), (403, KeyRefused), (404, Refused), (500, Refused)])
def test_refusals_are_failures(serve: Any, status: int, kind: type[Failure]) -> None:
    for body in ({"code": "c", "detail": "It is so."}, b"<html>", b"[]"):
        with pytest.raises(kind):
            Client(serve((status, {}, body)).place).get("/v1/jobs")


def test_a_file_is_there_whole_or_not_at_all(serve: Any, tmp_path: Path) -> None:
    service, target = serve((200, {}, FILE)), tmp_path / "weights"
    came: list[int] = []
    Client(service.place).save("/file", target, hashlib.sha256(FILE).hexdigest(), came.append)
    assert (target.read_bytes(), sum(came)) == (FILE, len(FILE))
    target.write_bytes(b"before")
    with pytest.raises(Failure, match="damaged"):
        Client(service.place).save("/file", target, "0" * 64, came.append)
    with pytest.raises(Refused):
        Client(serve((404, {}, {"code": "not_found", "detail": "No."})).place).save("/file", target, None, came.append)
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]
    assert target.read_bytes() == b"before"


def test_an_id_is_one_part_of_a_path() -> None:
    assert job_path("../keys?a", "plots") == "/v1/jobs/..%2Fkeys%3Fa/plots"


def test_a_new_key_that_something_else_answers_with_is_a_failure(serve: Any) -> None:
    session = Session(serve((200, {}, b"<html>")).place, as_json=False)
    with pytest.raises(Failure, match="is no Descent"):
        _made(session, "/v1/keys", {})
