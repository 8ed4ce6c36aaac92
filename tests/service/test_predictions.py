"""Predictions over HTTP: right, with their verdict, and refused where there is nothing to predict with."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update
from werkzeug.test import TestResponse

from migrations.migrate import migrate
from models import artifacts, tasks
from models.artifacts import ONNX, State
from models.database import Database
from models.storage import Stored
from models.tables import Artifact, Job
from models.tasks import Kind
from tests.service.conftest import HEADERS, Api
from tests.service.models import a_succeeded_job, set_verdict

TRAIN = """
import sys, json
from pathlib import Path
from tests.workers.exported import trained
from models.artifacts import ONNX
folder, jobs = Path(sys.argv[1]), json.loads(sys.argv[2])
for name, changes in jobs.items():
    job = trained(folder / name, folder, **changes)
    (folder / f"{name}.onnx").write_bytes(job.path(job.export()[ONNX]).read_bytes())
"""
JOBS: dict[str, dict[str, Any]] = {
    "classes": {"data": {"dataset": "xor"}},
    "values": {"data": {"dataset": "adding", "parameters": {"rows": 50}}, "network": {"family": "rnn", "hidden": 3}},
    "steps": {
        "data": {"dataset": "lookahead", "parameters": {"rows": 50}},
        "network": {"family": "rnn", "hidden": 3, "readout": "each"},
    },
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Models that were trained and exported; in another process, for this one has no torch."""
    folder = tmp_path_factory.mktemp("models")
    for name in JOBS:
        (folder / name).mkdir()
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", TRAIN, str(folder), json.dumps(JOBS)], check=True)
    return {name: (folder / f"{name}.onnx").read_bytes() for name in JOBS}


@pytest.fixture
def ask(api: Api, database: Database, files: dict[str, bytes]) -> Callable[..., TestResponse]:
    known: dict[str, str] = {}

    def ask(name: str, body: Any, query: str = "", **options: Any) -> TestResponse:
        if name not in known:
            known[name] = a_succeeded_job(api, database, api.storage, {ONNX: files[name]}, **JOBS[name])
        given = options or {"json": body}
        return api.client.post(f"/v1/jobs/{known[name]}/predictions{query}", headers=HEADERS, **given)

    return ask


Ask = Callable[..., TestResponse]


def test_a_class_with_the_probability_of_each(ask: Ask) -> None:
    reply = ask("classes", {"inputs": [[0, 1], [1, 1.0]]})
    assert reply.status_code == 200
    assert reply.headers["Descent-Verdict"] == "unknown"
    for output in reply.json["outputs"]:
        assert list(output["probabilities"]) == ["0", "1"]
        assert sum(output["probabilities"].values()) == pytest.approx(1)
        assert output["class"] == max(output["probabilities"], key=output["probabilities"].get)


def test_sequences_of_several_lengths_each_as_if_it_were_alone(ask: Ask) -> None:
    random = np.random.default_rng(0)
    rows = [random.normal(size=(length, 2)).tolist() for length in (30, 7, 30, 1)]
    together = ask("values", {"inputs": rows}).json["outputs"]
    alone = [ask("values", {"inputs": [row]}).json["outputs"][0] for row in rows]
    assert [one["value"] for one in together] == pytest.approx([one["value"] for one in alone], rel=1e-5)


def test_a_list_for_each_time_step(ask: Ask) -> None:
    [output] = ask("steps", {"inputs": [[[0.1], [0.2], [0.3]]]}).json["outputs"]
    assert [list(step) for step in output] == [["value"]] * 3


def test_many_rows_in_parts_are_the_same(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2)).tolist()
    whole = ask("classes", {"inputs": rows}).json
    monkeypatch.setattr("models.predictor.CHUNK_VALUES", 14)
    assert ask("classes", {"inputs": rows}).json == whole


WATCH = """
import re, sys
from pathlib import Path
from models.predictor import load
from models.settings import Settings
from service.app import create_app
app = create_app(Settings(data=Path(sys.argv[1]), api_key="k" * 32))
client = app.test_client()
for path in ("/healthz", "/openapi.json", "/v1/datasets", "/v1/jobs"):
    assert client.get(path, headers={"Authorization": "Bearer " + "k" * 32}).status_code == 200, path
definition = {"network": {"family": "dnn", "hidden": [4]}, "data": {"dataset": "xor"}}
predictors = [load(Path(sys.argv[2]), definition) for _ in range(4)]
for predictor in predictors:
    assert len(predictor.predict([[0.0, 1.0]] * 1000, False)) == 1000
print(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def test_the_api_that_predicts_stays_under_160_mb(tmp_path: Path, files: dict[str, bytes]) -> None:
    migrate(f"sqlite:///{tmp_path}/descent.db")
    (tmp_path / "model.onnx").write_bytes(files["classes"])
    line = [sys.executable, "-c", WATCH, str(tmp_path), str(tmp_path / "model.onnx")]
    kilobytes = int(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    assert kilobytes * 1024 < 160e6


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"inputs": [[0, 1], [1]]}, "/inputs/1"),
        ({"inputs": [[0, True]]}, "/inputs/0/1"),
        ({"inputs": []}, "/inputs"),
        ({}, "/inputs"),
        ({"inputs": [[0, 1]], "rows": 1}, "/rows"),
        ([[0, 1]], ""),
    ],
)
def test_what_does_not_fit_is_422_with_its_place(ask: Ask, body: Any, pointer: str) -> None:
    reply = ask("classes", body)
    assert (reply.status_code, reply.json["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"inputs": [[NaN, 1]]}', b"\xff", b"[" * 100_000, b'{"inputs": "\\ud800"}']
)
def test_what_is_not_json_is_400(ask: Ask, body: bytes) -> None:
    assert ask("classes", None, data=body, content_type="application/json").status_code == 400


def test_inputs_that_come_twice_are_refused(ask: Ask) -> None:
    body = b'{"inputs": [[0, 1]], "inputs": [[1, 1]]}'
    assert ask("classes", None, data=body, content_type="application/json").status_code == 422


def test_other_bodies_and_too_large_ones_are_refused(api: Api, ask: Ask) -> None:
    assert ask("classes", None, data=b"1,2", content_type="text/html").status_code == 415
    large = b'{"inputs": [' + b" " * 16_000_000 + b"]}"
    assert ask("classes", None, data=large, content_type="application/json").status_code == 413
    middle = b'{"inputs": [[0, 1' + b" " * 2_000_000 + b"]]}"
    assert ask("classes", None, data=middle, content_type="application/json").status_code == 200


def test_an_unhealthy_model_is_for_those_who_ask_for_it(api: Api, database: Database, files: dict[str, bytes]) -> None:
    job_id = a_succeeded_job(api, database, api.storage, {ONNX: files["classes"]})
    set_verdict(database, job_id, "unhealthy")
    refused = api.ask(job_id, "predictions", {"inputs": [[0, 1]]})
    assert (refused.status_code, refused.json["code"]) == (409, "unhealthy")
    allowed = api.ask(job_id, "predictions?allow_unhealthy=true", {"inputs": [[0, 1]]})
    assert (allowed.status_code, allowed.headers["Descent-Verdict"]) == (200, "unhealthy")


def test_without_a_model_it_is_409_that_says_why(api: Api, database: Database) -> None:
    job_id = api.post().json["id"]
    for status in ("queued", "failed", "succeeded"):  # the last one of a time before models were kept
        with database.write() as connection:
            connection.execute(update(Job).where(Job.id == job_id).values(status=status))
        reply = api.ask(job_id, "predictions", {"inputs": [[0, 1]]})
        assert (reply.status_code, reply.json["code"]) == (409, "no_model")
    assert api.ask("job_" + "0" * 26, "predictions", {"inputs": [[0, 1]]}).status_code == 404


def test_a_model_that_is_being_made_is_409_with_a_time(api: Api, database: Database) -> None:
    job_id = a_succeeded_job(api, database, api.storage, {})
    reply = api.ask(job_id, "predictions", {"inputs": [[0, 1]]})
    assert (reply.status_code, reply.json["code"], reply.headers["Retry-After"]) == (409, "model_pending", "1")
    with database.write() as connection:
        failed = {"state": State.FAILED, "reason": "It is too large."}
        connection.execute(update(Artifact).where(Artifact.name == ONNX).values(failed))
    reply = api.ask(job_id, "predictions", {"inputs": [[0, 1]]})
    assert (reply.json["code"], "It is too large." in reply.json["detail"]) == ("no_model", True)


def test_models_are_held_within_bounds(
    database_url: str, database: Database, tmp_path: Path, files: dict[str, bytes]
) -> None:
    api = Api(database_url, tmp_path, models=2)
    held = api.client.application.extensions["descent"].predictors._held
    jobs = [a_succeeded_job(api, database, api.storage, {ONNX: files["classes"]}) for _ in range(3)]
    for job_id in (*jobs, jobs[0]):
        assert api.ask(job_id, "predictions", {"inputs": [[0, 1]]}).status_code == 200
    assert [key.split("/")[1] for key in held] == [jobs[2], jobs[0]]
    api.database.close()
    small = Api(database_url, tmp_path, models_bytes=100)
    reply = small.ask(jobs[0], "predictions", {"inputs": [[0, 1]]})
    assert (reply.status_code, reply.json["code"]) == (409, "model_too_large")
    small.database.close()


CSV = b"a,b\n0,1\n1,1\n"


def send(api: Api, job_id: str, query: str = "", **options: Any) -> TestResponse:
    given = {"data": CSV, "content_type": "text/csv"} | options
    return api.client.post(f"/v1/jobs/{job_id}/predictions{query}", headers=HEADERS, **given)


def test_a_file_is_a_task_whose_result_can_be_fetched(api: Api, database: Database, files: dict[str, bytes]) -> None:
    job_id = a_succeeded_job(api, database, api.storage, {ONNX: files["classes"]})
    reply = send(api, job_id)
    assert reply.status_code == 202
    assert reply.headers["Descent-Verdict"] == "unknown"
    place = reply.headers["Location"]
    assert api.read(place).json["status"] == "queued"
    assert api.read(f"{place}/result").json["code"] == "model_pending"
    with database.write() as connection:
        task = tasks.claim(connection, "wrk_a", (Kind.PREDICTION,), 60)
        assert task is not None
        assert b"".join(api.storage.read(Stored(**task.request["upload"]))) == CSV
        stored = api.storage.write(artifacts.fresh_key(job_id, artifacts.PREDICTIONS), [b"PAR1"])
        tasks.succeed(connection, task, {"rows": 2, "file": stored.plain()})
    done = api.read(place).json
    assert (done["status"], done["result"]["rows"], done["result"]["size"]) == ("succeeded", 2, 4)
    file = api.read(done["result"]["url"])
    assert (file.data, file.mimetype) == (b"PAR1", "application/vnd.apache.parquet")
    assert api.read(done["result"]["url"], Accept="application/octet-stream").mimetype == "application/octet-stream"
    assert api.get(f"/{job_id}/predictions").json["items"] == [done]
    assert api.client.delete(place, headers=HEADERS).status_code == 204
    assert api.read(place).status_code == 404
    left = {listed.key.rsplit("/", 1)[1] for listed in api.storage.list(f"artifacts/{job_id}/")}
    assert left == {ONNX, "checkpoint.pt"}


def test_a_file_in_a_form_goes_too(api: Api, database: Database, files: dict[str, bytes]) -> None:
    job_id = a_succeeded_job(api, database, api.storage, {ONNX: files["classes"]})
    form = {"file": (io.BytesIO(CSV), "rows.csv")}
    assert send(api, job_id, data=form, content_type="multipart/form-data").status_code == 202


@pytest.mark.parametrize(
    ("name", "query", "options", "status"),
    [
        ("values", "", {}, 422),
        ("classes", "?delimiter=xx", {}, 422),
        ("classes", "?header=maybe", {}, 422),
        (
            "classes",
            "",
            {"data": {"other": "1"}, "content_type": "multipart/form-data"},
            422,
        ),
        ("classes", "", {"content_type": "text/plain"}, 415),
        ("classes", "", {"data": b""}, 422),
    ],
)
def test_a_file_that_cannot_be_taken_leaves_nothing(
    name: str,
    query: str,
    options: Any,
    status: int,
    api: Api,
    database: Database,
    files: dict[str, bytes],
) -> None:
    job_id = a_succeeded_job(api, database, api.storage, {ONNX: files[name]}, **JOBS[name])
    before = list(api.storage.list())
    assert send(api, job_id, query, **options).status_code == status
    assert list(api.storage.list()) == before
    assert api.get(f"/{job_id}/predictions").json["items"] == []


def test_a_file_that_is_too_large_leaves_nothing(
    database_url: str, database: Database, tmp_path: Path, files: dict[str, bytes]
) -> None:
    api = Api(database_url, tmp_path, upload_bytes=10)
    job_id = a_succeeded_job(api, database, api.storage, {ONNX: files["classes"]})
    before = list(api.storage.list())
    assert send(api, job_id).status_code == 413
    assert list(api.storage.list()) == before
    api.database.close()
