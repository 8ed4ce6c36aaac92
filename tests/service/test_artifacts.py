"""Files of a job over HTTP: listed, whole, in parts, and not at all."""

import base64
import hashlib
from pathlib import Path

import pytest
from sqlalchemy import update

from models import artifacts
from models.artifacts import ONNX, WEIGHTS, State, remove_orphans
from models.database import Database
from models.tables import Artifact
from tests.service.conftest import HEADERS, Api
from tests.service.models import a_succeeded_job

CONTENT = bytes(range(256)) * 10
SIZE = len(CONTENT)
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'


@pytest.fixture
def job(api: Api, database: Database) -> str:
    return a_succeeded_job(api, database, api.storage, {WEIGHTS: CONTENT})


def test_the_list_says_what_there_is_and_what_is_being_made(api: Api, job: str) -> None:
    items = {item["name"]: item for item in api.get(f"/{job}/artifacts").json["items"]}
    assert {name: item["state"] for name, item in items.items()} == {
        "weights.safetensors": "ready", "model.onnx": "pending", "definition.json": "pending",
        "model-card.md": "pending", "checkpoint.pt": "ready",
    }  # fmt: skip
    assert items[WEIGHTS]["sha256"] == ETAG.strip('"')
    assert items[WEIGHTS]["size"] == SIZE
    assert api.read(items[WEIGHTS]["url"]).data == CONTENT


def test_a_file_comes_with_all_that_a_client_may_check(api: Api, job: str) -> None:
    reply = api.get(f"/{job}/artifacts/{WEIGHTS}")
    assert (reply.status_code, reply.data) == (200, CONTENT)
    assert reply.headers["ETag"] == ETAG
    assert reply.headers["Content-Length"] == str(SIZE)
    assert reply.headers["Accept-Ranges"] == "bytes"
    assert reply.headers["Content-Disposition"] == f"attachment; filename={WEIGHTS}"
    digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    assert reply.headers["Repr-Digest"] == f"sha-256=:{digest}:"


def test_head_has_the_headers_and_no_body(api: Api, job: str) -> None:
    reply = api.client.head(f"/v1/jobs/{job}/artifacts/{WEIGHTS}", headers=HEADERS)
    assert (reply.status_code, reply.data, reply.headers["Content-Length"]) == (200, b"", str(SIZE))


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=100-199", (100, 200)),
        ("bytes=2500-", (2500, SIZE)),
        ("bytes=2500-99999", (2500, SIZE)),
        ("bytes=-10", (SIZE - 10, SIZE)),
    ],
)
def test_a_range_is_a_part(wanted: str, part: tuple[int, int], api: Api, job: str) -> None:
    reply = api.get(f"/{job}/artifacts/{WEIGHTS}", Range=wanted)
    assert (reply.status_code, reply.data) == (206, CONTENT[slice(*part)])
    assert reply.headers["Content-Range"] == f"bytes {part[0]}-{part[1] - 1}/{SIZE}"
    assert reply.headers["Content-Length"] == str(part[1] - part[0])


@pytest.mark.parametrize("wanted", ["bytes=-99999", "bytes=0-", "rows=0-1", "bytes=0-1,5-6", "bytes=9-2", "nonsense"])
def test_all_of_it_several_parts_and_nonsense_are_answered_whole(wanted: str, api: Api, job: str) -> None:
    reply = api.get(f"/{job}/artifacts/{WEIGHTS}", Range=wanted)
    assert (reply.status_code, reply.data) == (200, CONTENT)


def test_a_range_beyond_the_end_is_416_with_the_size(api: Api, job: str) -> None:
    reply = api.get(f"/{job}/artifacts/{WEIGHTS}", Range=f"bytes={SIZE}-")
    assert (reply.status_code, reply.headers["Content-Range"]) == (416, f"bytes */{SIZE}")
    assert reply.mimetype == "application/problem+json"


def test_a_known_file_is_not_sent_again(api: Api, job: str) -> None:
    reply = api.get(f"/{job}/artifacts/{WEIGHTS}", If_None_Match=ETAG)
    assert (reply.status_code, reply.data) == (304, b"")
    assert api.get(f"/{job}/artifacts/{WEIGHTS}", If_None_Match='"other"').status_code == 200
    modified = api.get(f"/{job}/artifacts/{WEIGHTS}").headers["Last-Modified"]
    assert api.get(f"/{job}/artifacts/{WEIGHTS}", If_Modified_Since=modified).status_code == 304


@pytest.mark.parametrize(("condition", "status"), [(ETAG, 206), ('"other"', 200), (f"W/{ETAG}", 200)])
def test_a_range_holds_only_for_the_bytes_it_was_meant_for(condition: str, status: int, api: Api, job: str) -> None:
    reply = api.get(f"/{job}/artifacts/{WEIGHTS}", Range="bytes=0-9", If_Range=condition)
    assert reply.status_code == status


def test_a_file_that_is_being_made_is_409_and_one_that_could_not_be_is_404(
    api: Api, job: str, database: Database
) -> None:
    pending = api.get(f"/{job}/artifacts/{ONNX}")
    assert (pending.status_code, pending.json["code"], pending.headers["Retry-After"]) == (409, "model_pending", "1")
    with database.write() as connection:
        of_name = Artifact.job_id == job, Artifact.name == ONNX
        connection.execute(update(Artifact).where(*of_name).values(state=State.FAILED, reason="It is too large."))
    failed = api.get(f"/{job}/artifacts/{ONNX}")
    assert failed.status_code == 404
    assert "It is too large." in failed.json["detail"]


@pytest.mark.parametrize("name", ["model.bin", "..", "%2e%2e%2fdescent.db", "checkpoints"])
def test_other_names_are_404(name: str, api: Api, job: str) -> None:
    assert api.get(f"/{job}/artifacts/{name}").status_code == 404


def test_a_job_that_has_not_succeeded_has_none(api: Api) -> None:
    job_id = api.post().json["id"]
    assert api.get(f"/{job_id}/artifacts").json["items"] == []
    reply = api.get(f"/{job_id}/artifacts/{WEIGHTS}")
    assert (reply.status_code, "queued" in reply.json["detail"]) == (404, True)


def test_bytes_that_are_gone_are_an_error_and_not_half_an_answer(api: Api, job: str) -> None:
    artifacts.remove(api.storage, job)
    assert api.get(f"/{job}/artifacts/{WEIGHTS}").status_code == 503


def test_a_job_that_is_deleted_takes_its_bytes_along(api: Api, job: str) -> None:
    assert list(api.storage.list("artifacts/"))
    assert api.delete(job).status_code == 204
    assert list(api.storage.list("artifacts/")) == []
    assert api.get(f"/{job}/artifacts").status_code == 404


def test_bytes_of_a_job_that_is_gone_are_collected(api: Api, job: str, database: Database, tmp_path: Path) -> None:
    api.storage.write("artifacts/job_gone/try_1/model.onnx", [b"late"])
    with database.read() as connection:
        assert remove_orphans(connection, api.storage) == ["job_gone"]
    assert {listed.key.split("/")[1] for listed in api.storage.list("artifacts/")} == {job}
