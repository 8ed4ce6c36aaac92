"""`PATCH /v1/jobs/{id}`: name, tags and priority, on both databases."""

from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.service.conftest import HEADERS, Api


def patch(api: Api, job: str, body: Any, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.client.patch(f"/v1/jobs/{job}", json=body, headers=HEADERS | named)


def test_name_and_tags_change_and_the_definition_stays(api: Api) -> None:
    job = api.post(name="a", tags=["x"], priority=3).json
    reply = patch(api, job["id"], {"name": "b", "tags": ["y", "z"]})
    assert (reply.status_code, reply.json["name"], reply.json["tags"]) == (200, "b", ["y", "z"])
    assert (reply.json["priority"], reply.json["definition"]) == (3, job["definition"])
    assert [found["id"] for found in api.get("?tag=z&name=b").json["items"]] == [job["id"]]
    assert api.get("?tag=x").json["items"] == []


def test_a_change_is_seen_by_those_who_know_the_version_before(api: Api) -> None:
    job = api.post().json["id"]
    tag = api.get(f"/{job}").headers["ETag"]
    changed = patch(api, job, {"name": "b"}).headers["ETag"]
    assert changed != tag
    assert api.get(f"/{job}", If_None_Match=tag).status_code == 200
    # The same again changes nothing.
    assert patch(api, job, {"name": "b"}).headers["ETag"] == changed
    assert patch(api, job, {}).headers["ETag"] == changed


def test_a_priority_decides_the_order_of_those_that_wait(api: Api) -> None:
    first, second = api.post().json["id"], api.post().json["id"]
    assert patch(api, second, {"priority": 1}).json["priority"] == 1
    assert [api.position(job) for job in (second, first)] == [1, 2]
    patch(api, first, {"priority": 1})
    assert [api.position(job) for job in (first, second)] == [1, 2]
    patch(api, first, {"priority": -1})
    assert [api.position(job) for job in (second, first)] == [1, 2]


def test_a_job_that_has_ended_keeps_its_priority_and_may_be_renamed(api: Api) -> None:
    job = api.post().json["id"]
    api.ask(job, "cancel")
    assert api.get(f"/{job}").json["name"] == ""
    refused = patch(api, job, {"name": "b", "priority": 1})
    assert (refused.status_code, refused.json["code"]) == (409, "illegal_move")
    assert patch(api, job, {"name": "b"}).status_code == 200
    assert api.get(f"/{job}").json["name"] == "b"


def test_if_match_of_another_version_is_412_and_nothing_is_done(api: Api) -> None:
    job = api.post().json["id"]
    tag = api.get(f"/{job}").headers["ETag"]
    assert patch(api, job, {"name": "b"}, If_Match=tag).status_code == 200
    for wrong in (tag, '"0"', "nonsense", ""):
        reply = patch(api, job, {"name": "c"}, If_Match=wrong)
        assert (reply.status_code, reply.json["code"]) == (412, "other_version")
    assert api.get(f"/{job}").json["name"] == "b"
    assert patch(api, job, {"name": "c"}, If_Match="*").status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": None}, "/name"),
        ({"name": "a" * 201}, "/name"),
        ({"tags": ["a", ""]}, "/tags/1"),
        ({"tags": "a"}, "/tags"),
        ({"priority": 1001}, "/priority"),
        ({"priority": "1"}, "/priority"),
        ({"status": "succeeded"}, "/status"),
        ([], ""),
    ],
)
def test_what_cannot_be_changed_is_refused_with_its_place(api: Api, body: Any, pointer: str) -> None:
    job = api.post().json["id"]
    reply = patch(api, job, body)
    assert reply.status_code == 422
    assert [error["pointer"] for error in reply.json["errors"]] == [pointer]
    assert api.client.patch(f"/v1/jobs/{job}", headers=HEADERS).status_code == 415
    assert patch(api, f"job_{'0' * 26}", {"name": "b"}).status_code == 404
