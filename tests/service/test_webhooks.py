"""`/v1/webhooks`: made, changed, read and taken away; what may not be called is refused."""

from typing import Any

import pytest
from werkzeug.test import TestResponse

from models import webhooks
from models.definitions.callback import DEFAULT_EVENTS
from models.ids import new_id
from tests.service.conftest import HEADERS, SMALL, Api

URL = "https://example.com/hooks"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def make(api: Api, **changes: Any) -> TestResponse:
    return api.client.post("/v1/webhooks", json={"url": URL} | changes, headers=HEADERS)


def ask(api: Api, path: str, body: Any = None, method: str = "POST", **headers: str) -> TestResponse:
    sent = {} if body is None else {"json": body}
    return api.client.open(f"/v1/webhooks{path}", method=method, headers=headers or HEADERS, **sent)


def test_a_webhook_from_its_making_to_its_end(api: Api) -> None:
    made = make(api, name="ours")
    webhook = made.json["id"]
    assert (made.status_code, made.headers["Location"]) == (201, f"/v1/webhooks/{webhook}")
    assert made.json["secret"].startswith("whsec_")
    assert made.json["events"] == list(DEFAULT_EVENTS)
    shown = ask(api, f"/{webhook}", method="GET")
    assert shown.json == {name: value for name, value in made.json.items() if name != "secret"}
    assert ask(api, "", method="GET").json["items"] == [shown.json]

    changed = ask(api, f"/{webhook}", {"events": ["job.failed"], "enabled": False}, "PATCH")
    assert (changed.status_code, changed.json["events"], changed.json["enabled"]) == (200, ["job.failed"], False)
    assert changed.json["disabled_reason"] == webhooks.BY_CLIENT
    assert ask(api, f"/{webhook}/ping").json["code"] == "illegal_move"
    assert ask(api, f"/{webhook}", {"enabled": True}, "PATCH").json["disabled_at"] is None

    rotated = ask(api, f"/{webhook}/rotate", {"secret": SECRET, "overlap_seconds": 60})
    assert (rotated.status_code, rotated.json["secret"]) == (200, SECRET)
    assert rotated.json["old_secret_until"] is not None
    assert ask(api, f"/{webhook}", method="DELETE").status_code == 204
    assert ask(api, f"/{webhook}", method="GET").status_code == 404


def test_a_webhook_is_made_once_however_often_it_is_asked_for(api: Api) -> None:
    headers = HEADERS | {"Idempotency-Key": "a-hook"}
    first, again = (api.client.post("/v1/webhooks", json={"url": URL}, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == {name: value for name, value in first.json.items() if name != "secret"}
    other = api.client.post("/v1/webhooks", json={"url": f"{URL}/other"}, headers=headers)
    assert other.json["code"] == "key_reused"
    assert len(ask(api, "", method="GET").json["items"]) == 1


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"url": "http://example.com/"}, "/url"),
        ({"url": "https://127.0.0.1/"}, "/url"),
        ({"url": "https://[::1]/"}, "/url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "/url"),
        ({"url": "https://user:password@example.com/"}, "/url"),
        ({"url": "javascript:alert(1)"}, "/url"),
        ({"url": "https://example.com/\0"}, "/url"),
        ({"url": f"https://example.com/{'x' * 2000}"}, "/url"),
        ({"url": 1}, "/url"),
        ({"events": []}, "/events"),
        ({"events": ["job.exploded"]}, "/events/0"),
        ({"events": "job.failed"}, "/events"),
        ({"secret": "whsec_short"}, "/secret"),
        ({"secret": "a" * 40}, "/secret"),
        ({"name": "x" * 201}, "/name"),
        ({"owner": "key_bootstrap"}, "/owner"),
    ],
)
@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_wrong_webhook_is_refused_with_its_place(api: Api, changes: dict[str, Any], pointer: str) -> None:
    refused = make(api, **changes)
    assert refused.status_code == 422, refused.text
    assert [item["pointer"] for item in refused.json["errors"]] == [pointer]
    assert ask(api, "", method="GET").json["items"] == []


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_wrong_change_leaves_everything_as_it_is(api: Api) -> None:
    webhook = make(api).json["id"]
    before = ask(api, f"/{webhook}", method="GET").json
    for body in ({"url": "http://example.com/", "name": "x"}, {"secret": SECRET}, {"events": None}, []):
        assert ask(api, f"/{webhook}", body, "PATCH").status_code == 422
    assert ask(api, f"/{webhook}", method="GET").json == before


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_callback_that_may_not_be_called_is_refused_with_its_place(api: Api) -> None:
    for callback, pointer in (
        ({"url": "http://example.com/"}, "/callback/url"),
        ({"url": "https://10.0.0.1/"}, "/callback/url"),
        ({"url": "x"}, "/callback/url"),
        ({"url": URL, "secret": "x"}, "/callback/secret"),
        ({"url": URL, "events": ["x"]}, "/callback/events/0"),
    ):
        body = SMALL | {"callback": callback}
        for path in ("/v1/jobs", "/v1/estimates"):
            refused = api.client.post(path, json=body, headers=HEADERS)
            assert refused.status_code == 422, refused.text
            assert [item["pointer"] for item in refused.json["errors"]] == [pointer]
    job = api.post().json["id"]
    patch = [{"op": "add", "path": "/callback", "value": {"url": "http://example.com/"}}]
    refused = api.ask(job, "clones", {"patch": patch})
    assert [item["pointer"] for item in refused.json["errors"]] == ["/callback/url"]


@pytest.mark.parametrize("backend", ["sqlite"])
def test_the_secret_of_a_callback_is_in_no_answer(api: Api) -> None:
    job = api.post(callback={"url": URL, "secret": SECRET})
    assert job.json["definition"]["callback"] == {"url": URL, "events": list(DEFAULT_EVENTS), "secret": None}
    hooks = ask(api, f"?job={job.json['id']}", method="GET")
    assert [hook["url"] for hook in hooks.json["items"]] == [URL]
    clone = api.ask(job.json["id"], "clones", {"patch": []})
    for reply in (job, hooks, clone, api.get(f"/{job.json['id']}")):
        assert SECRET not in reply.text


def test_a_test_call_is_in_the_log_and_can_be_sent_again(api: Api) -> None:
    webhook = make(api).json["id"]
    pings = [ask(api, f"/{webhook}/ping") for _ in range(3)]
    assert {ping.status_code for ping in pings} == {202}
    first = pings[0].json
    assert (first["type"], first["status"], first["job"], first["attempts"]) == ("webhook.ping", "pending", None, [])
    assert api.client.get(first["links"]["self"], headers=HEADERS).json == first
    page = ask(api, f"/{webhook}/deliveries?limit=2", method="GET").json
    rest = ask(api, f"/{webhook}/deliveries?limit=2&after={page['next']}", method="GET").json
    assert [item["id"] for item in page["items"] + rest["items"]] == [ping.json["id"] for ping in reversed(pings)]
    assert rest["next"] is None
    assert ask(api, f"/{webhook}/deliveries?status=delivered", method="GET").json["items"] == []
    assert ask(api, f"/{webhook}/deliveries?status=lost", method="GET").status_code == 422
    again = ask(api, f"/{webhook}/deliveries/{first['id']}/redeliver")
    assert (again.status_code, again.json["status"]) == (202, "pending")
    assert ask(api, f"/{webhook}/deliveries/{new_id('dlv')}/redeliver").status_code == 404
    assert ask(api, f"/{make(api).json['id']}/deliveries/{first['id']}", method="GET").status_code == 404


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_key_that_only_reads_changes_nothing(api: Api) -> None:
    webhook = make(api).json["id"]
    reader = api.a_key("read", owner="key_bootstrap")
    assert ask(api, f"/{webhook}", method="GET", **reader).status_code == 200
    for path, method in (
        ("", "POST"),
        (f"/{webhook}", "PATCH"),
        (f"/{webhook}", "DELETE"),
        (f"/{webhook}/ping", "POST"),
    ):
        assert ask(api, path, {"url": URL}, method, **reader).status_code == 403


@pytest.mark.parametrize("backend", ["sqlite"])
def test_one_too_many_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST", 1)
    make(api)
    assert (make(api).status_code, make(api).json["code"]) == (409, "too_many_webhooks")
    assert api.client.post("/v1/jobs", json=SMALL | {"callback": {"url": URL}}, headers=HEADERS).status_code == 202
