"""The history of a job as a list and as a stream, on both databases."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from models.lifecycle import finish
from models.states import Status
from service import feed
from tests.factories import a_claim
from tests.service.conftest import HEADERS, Api

STREAM = {"Accept": "text/event-stream"}


def events_of(text: str) -> list[dict[str, Any]]:
    """What an `EventSource` makes of a stream, comments left out."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append({"id": fields["id"], "event": fields["event"], "data": json.loads(fields["data"])})
    return found


@pytest.fixture
def ended(api: Api) -> str:
    job = str(api.post().json["id"])
    api.ask(job, "cancel")
    return job


def test_a_stream_tells_what_the_list_tells(api: Api, ended: str) -> None:
    listed = api.get(f"/{ended}/events").json["items"]
    reply = api.get(f"/{ended}/events", **STREAM)
    assert (reply.status_code, reply.mimetype) == (200, "text/event-stream")
    streamed = events_of(reply.text)
    assert [event["data"] for event in streamed] == listed
    assert [event["event"] for event in streamed] == ["job.queued", "job.cancelled"]
    assert [event["id"] for event in streamed] == [str(item["id"]) for item in listed]


def test_a_stream_goes_on_behind_last_event_id_and_after_the_end_there_is_204(api: Api, ended: str) -> None:
    first, last = (event["id"] for event in events_of(api.get(f"/{ended}/events", **STREAM).text))
    again = api.get(f"/{ended}/events", **STREAM, Last_Event_ID=first)
    assert [event["id"] for event in events_of(again.text)] == [last]
    assert api.get(f"/{ended}/events", **STREAM, Last_Event_ID=last).status_code == 204
    assert [item["id"] for item in api.get(f"/{ended}/events", Last_Event_ID=first).json["items"]] == [int(last)]
    page = api.get(f"/{ended}/events?limit=1").json
    rest = api.get(f"/{ended}/events?after={page['next']}", **STREAM)
    assert [event["id"] for event in events_of(rest.text)] == [last]


def test_a_stream_tells_each_event_as_it_comes_and_holds_no_connection(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "HEARTBEAT_SECONDS", 0.1)
    job = api.post().json["id"]
    reply = api.client.get(f"/v1/jobs/{job}/events", headers=HEADERS | STREAM)
    chunks: Iterator[bytes] = iter(reply.response)
    text = next(chunks) + next(chunks)
    assert b"job.queued" in text
    assert next(chunks) == feed.HEARTBEAT
    pool: Any = api.database.engine.pool
    assert pool.checkedout() <= 1  # the watcher's
    mine = a_claim(api.database)
    threading.Timer(0.3, lambda: _finish(api, mine)).start()
    rest = b"".join(chunks).decode()
    assert [event["event"] for event in events_of(rest)] == ["job.started", "job.succeeded"]


def _finish(api: Api, mine: Any) -> None:
    with api.database.write() as connection:
        finish(connection, mine.job_id, mine.attempt, Status.SUCCEEDED)


def test_a_stream_ends_after_its_time_though_the_job_goes_on(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MOST_SECONDS", 0.3)
    job = api.post().json["id"]
    started = time.monotonic()
    assert [event["event"] for event in events_of(api.get(f"/{job}/events", **STREAM).text)] == ["job.queued"]
    assert 0.3 <= time.monotonic() - started < 5


def test_streams_and_long_polls_share_a_number_of_places_which_are_given_back(database_url: str, tmp_path: Any) -> None:
    api = Api(database_url, tmp_path, waiters=2, threads=8)
    job = api.post().json["id"]
    open_ones = [api.client.get(f"/v1/jobs/{job}/events", headers=HEADERS | STREAM) for _ in range(2)]
    for refused in (api.get(f"/{job}/events", **STREAM), api.get(f"/{job}?wait=1")):
        assert (refused.status_code, refused.json["code"]) == (429, "too_many_waiters")
        assert "DESCENT_WAITERS" in refused.json["detail"]
        assert refused.headers["Retry-After"]
    # One that was never read, and one that was left in the middle.
    next(iter(open_ones[0].response))
    for reply in open_ones:
        reply.close()
    assert api.get(f"/{job}?wait=0.1").status_code == 200
    # What is refused for another reason takes no place.
    for _ in range(3):
        assert api.get(f"/job_{'0' * 26}/events", **STREAM).status_code == 404
    assert api.get(f"/{job}?wait=0.1").status_code == 200
    api.database.close()


def test_at_the_end_of_the_process_all_who_wait_are_sent_home(api: Api) -> None:
    job = api.post().json["id"]
    threading.Timer(0.3, api.client.application.extensions["descent"].watcher.close).start()
    started = time.monotonic()
    assert api.get(f"/{job}?wait=30").status_code == 200
    assert [event["event"] for event in events_of(api.get(f"/{job}/events", **STREAM).text)] == ["job.queued"]
    assert time.monotonic() - started < 10


def test_a_wait_ends_with_a_change_and_wakes_nobody_else(api: Api) -> None:
    jobs = [api.post().json["id"] for _ in range(2)]
    replies = {}

    def wait(job: str) -> None:
        client = api.client.application.test_client()
        replies[job] = client.get(f"/v1/jobs/{job}?wait=3", headers=HEADERS).json["status"], time.monotonic() - started

    started = time.monotonic()
    threads = [threading.Thread(target=wait, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    api.client.application.test_client().post(f"/v1/jobs/{jobs[0]}/cancel", headers=HEADERS)
    for thread in threads:
        thread.join()
    assert replies[jobs[0]][0] == "cancelled"
    assert replies[jobs[0]][1] < 2.9
    assert replies[jobs[1]] == ("queued", pytest.approx(3, abs=0.9))


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Last-Event-ID": "x"}, 422), ({"Last-Event-ID": "9" * 19}, 422), ({"Accept": "image/png"}, 406)],
)
def test_what_no_stream_begins_with_is_refused(api: Api, ended: str, headers: dict[str, str], status: int) -> None:
    reply = api.client.get(f"/v1/jobs/{ended}/events", headers=HEADERS | headers)
    assert (reply.status_code, reply.mimetype) == (status, "application/problem+json")
