"""API keys: made once, kept as a hash, replaced and taken back, and no way to guess one by the clock."""

import hmac
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from models.keys import PREFIX_LENGTH, hash_of
from models.tables import ApiKey
from service import known_keys
from tests.service.conftest import HEADERS, SMALL, Api
from tests.statements import statements

NEW = {"name": "a team", "scopes": ["read", "write"]}


def make(api: Api, **changes: Any) -> TestResponse:
    return api.client.post("/v1/keys", json=NEW | changes, headers=HEADERS)


def status(api: Api, secret: str, path: str = "/v1/usage") -> int:
    return api.client.get(path, headers={"Authorization": f"Bearer {secret}"}).status_code


def test_the_secret_is_shown_once_and_only_its_hash_is_stored(api: Api) -> None:
    made = make(api)
    assert (made.status_code, made.headers["Location"]) == (201, f"/v1/keys/{made.json['id']}")
    secret = made.json["secret"]
    assert secret.startswith(made.json["prefix"])
    assert len(secret) == len("dsc_") + 43
    with api.database.read() as connection:
        stored = str(connection.execute(select(ApiKey.__table__)).one()._asdict())
    assert secret[PREFIX_LENGTH:] not in stored
    assert hash_of(secret) in stored
    shown = api.client.get(f"/v1/keys/{made.json['id']}", headers=HEADERS)
    assert shown.json == {name: value for name, value in made.json.items() if name != "secret"}
    assert [item["id"] for item in api.client.get("/v1/keys", headers=HEADERS).json["items"]] == [made.json["id"]]
    assert status(api, secret) == 200


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["root"]}, "/scopes/0"),
        ({"scopes": "read"}, "/scopes"),
        ({"name": ""}, "/name"),
        ({"name": "a\0"}, "/name"),
        ({"name": 1}, "/name"),
        ({"owner": "me"}, "/owner"),
        ({"owner": "*"}, "/owner"),
        ({"owner": f"key_{'0' * 26}"}, "/owner"),
        ({"expires_at": "tomorrow"}, "/expires_at"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "9999-99-99T00:00:00Z"}, "/expires_at"),
        ({"secret": "x" * 40}, "/secret"),
    ],
)
def test_a_wrong_key_is_refused_with_its_place(api: Api, changes: dict[str, Any], pointer: str) -> None:
    refused = make(api, **changes)
    assert refused.status_code == 422, refused.text
    assert [item["pointer"] for item in refused.json["errors"]] == [pointer]
    assert api.client.get("/v1/keys", headers=HEADERS).json["items"] == []


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["read"], {"GET"}),
        (["write"], {"POST"}),
        (["read", "write"], {"GET", "POST"}),
        (["metrics"], {"METRICS"}),
        (["admin"], {"GET", "POST", "METRICS", "KEYS"}),
    ],
)
def test_scopes_allow_what_they_say(api: Api, scopes: list[str], allowed: set[str]) -> None:
    headers = api.a_key(*scopes)
    replies = {
        "GET": api.client.get("/v1/jobs", headers=headers),
        "POST": api.client.post("/v1/jobs", json=SMALL, headers=headers),
        "METRICS": api.client.get("/metrics", headers=headers),
        "KEYS": api.client.get("/v1/keys", headers=headers),
    }
    assert {name for name, reply in replies.items() if reply.status_code != 403} == allowed
    assert {reply.json["code"] for name, reply in replies.items() if name not in allowed} <= {"forbidden"}


def test_every_call_of_the_contract_says_its_scope_and_keeps_to_it(api: Api) -> None:
    reader, writer = api.a_key("read"), api.a_key("write")
    for path, item in api.client.get("/openapi.json").json["paths"].items():
        for method, call in item.items():
            if not path.startswith(("/v1/", "/metrics")):
                assert "security" not in call
                continue
            [[scope]] = [needed["key"] for needed in call["security"]]
            wrong = writer if scope == "read" else reader
            reply = api.client.open(path, method=method.upper(), headers=wrong)
            assert reply.status_code == 403, (method, path)
            assert "403" in call["responses"], (method, path)


def test_a_reader_estimates_and_predicts_but_sends_no_files(api: Api) -> None:
    reader = api.a_key("read")
    assert api.client.post("/v1/estimates", json=SMALL, headers=reader).status_code == 200
    path = f"/v1/jobs/job_{'0' * 26}/predictions"
    assert api.client.post(path, json={"inputs": [[0, 1]]}, headers=reader).status_code == 404
    assert api.client.post(path, data=b"a", content_type="text/csv", headers=reader).status_code == 403


def test_rotation_keeps_the_owner_and_both_keys_for_the_overlap(api: Api) -> None:
    old = make(api).json
    job = api.client.post("/v1/jobs", json=SMALL, headers={"Authorization": f"Bearer {old['secret']}"}).json["id"]
    rotated = api.client.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_seconds": 60}, headers=HEADERS)
    assert rotated.status_code == 201
    new = rotated.json
    same = ("owner", "name", "scopes")
    assert [new[name] for name in same] == [old[name] for name in same]
    assert (new["replaces"], new["id"] != old["id"]) == (old["id"], True)
    for key in (old, new):
        assert status(api, key["secret"], f"/v1/jobs/{job}") == 200
    with api.database.write() as connection:
        connection.execute(update(ApiKey).where(ApiKey.id == old["id"]).values(expires_at=1.0))
    api.client.application.extensions["descent"].keys.forget(old["prefix"])  # type: ignore[attr-defined]
    assert status(api, old["secret"]) == 401
    assert status(api, new["secret"], f"/v1/jobs/{job}") == 200
    again = api.client.post(f"/v1/keys/{old['id']}/rotate", headers=HEADERS)
    assert (again.status_code, again.json["code"]) == (409, "illegal_move")


def test_an_overlap_of_nothing_ends_the_old_key_at_once(api: Api) -> None:
    old = make(api).json
    assert status(api, old["secret"]) == 200
    api.client.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_seconds": 0}, headers=HEADERS)
    assert status(api, old["secret"]) == 401


def test_a_key_expires(api: Api) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    key = make(api, expires_at=soon).json
    assert status(api, key["secret"]) == 200
    time.sleep(1.2)
    assert status(api, key["secret"]) == 401
    assert api.client.get(f"/v1/keys/{key['id']}", headers=HEADERS).json["expired"] is True


def test_a_key_that_is_taken_back_opens_nothing_and_its_jobs_stay(api: Api) -> None:
    key = make(api).json
    headers = {"Authorization": f"Bearer {key['secret']}"}
    job = api.client.post("/v1/jobs", json=SMALL, headers=headers).json["id"]
    assert api.client.delete(f"/v1/keys/{key['id']}", headers=HEADERS).status_code == 204
    assert status(api, key["secret"]) == 401
    assert api.client.delete(f"/v1/keys/{key['id']}", headers=HEADERS).status_code == 404
    heir = api.a_key("read", owner=key["owner"])
    assert api.client.get(f"/v1/jobs/{job}", headers=heir).status_code == 200


def test_a_key_taken_back_elsewhere_is_let_in_for_five_seconds_at_most(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert known_keys.FRESH_SECONDS == 5
    monkeypatch.setattr(known_keys, "FRESH_SECONDS", 0.2)
    key = make(api).json
    assert status(api, key["secret"]) == 200
    with api.database.write() as connection:
        connection.execute(ApiKey.__table__.delete())  # type: ignore[attr-defined]
    time.sleep(0.25)
    assert status(api, key["secret"]) == 401


def test_a_known_key_costs_no_statement(api: Api) -> None:
    secret = make(api).json["secret"]
    find = api.client.application.extensions["descent"].keys.find  # type: ignore[attr-defined]
    assert find(secret)
    with statements(api.database) as asked:
        assert find(secret)
        assert find(secret[:-1] + ("a" if secret[-1] != "a" else "b")) is None
        assert find("x" * 47) is None
    assert [text for text in asked if "last_used_at" not in text] == []


def test_its_last_use_is_noted_beside_the_requests_once_a_minute(api: Api) -> None:
    key = make(api).json
    for _ in range(3):
        assert status(api, key["secret"]) == 200

    def last_used() -> str | None:
        found: str | None = api.client.get(f"/v1/keys/{key['id']}", headers=HEADERS).json["last_used_at"]
        return found

    end = time.monotonic() + 10
    while last_used() is None and time.monotonic() < end:
        time.sleep(0.05)
    first = last_used()
    assert first is not None
    api.client.application.extensions["descent"].keys.forget(key["prefix"])  # type: ignore[attr-defined]
    assert status(api, key["secret"]) == 200
    time.sleep(0.2)
    assert last_used() == first


def test_a_wrong_secret_takes_the_same_steps_as_a_right_one(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = make(api).json["secret"]
    keys = api.client.application.extensions["descent"].keys  # type: ignore[attr-defined]
    keys.find(secret)
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def note(given: str, known: str) -> bool:
        compared.append((len(given), len(known)))
        return compare(given, known)

    monkeypatch.setattr(hmac, "compare_digest", note)
    wrong = [secret[:at] + ("-" if secret[at] != "-" else "_") + secret[at + 1 :] for at in (5, PREFIX_LENGTH, 46)]
    steps = []
    for given in (secret, *wrong, "k" * 31, ""):
        keys.find(given)
        steps.append(compared[:])
        compared.clear()
    assert steps == [[(64, 64)] * 2] * 6


@pytest.mark.parametrize("path", ["", "/rotate"])
def test_an_unknown_key_is_a_404(api: Api, path: str) -> None:
    for key in (f"key_{'0' * 26}", "key_1", "key_bootstrap"):
        call = api.client.post if path else api.client.get
        assert call(f"/v1/keys/{key}{path}", headers=HEADERS).status_code == 404


@pytest.mark.parametrize("body", [{"overlap_seconds": -1}, {"overlap_seconds": 1e9}, {"expires_at": "x"}, {"x": 1}, []])
def test_a_wrong_rotation_leaves_the_key_as_it_is(api: Api, body: Any) -> None:
    key = make(api).json
    assert api.client.post(f"/v1/keys/{key['id']}/rotate", json=body, headers=HEADERS).status_code == 422
    assert [item["id"] for item in api.client.get("/v1/keys", headers=HEADERS).json["items"]] == [key["id"]]
    assert status(api, key["secret"]) == 200
