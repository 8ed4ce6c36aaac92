"""Storage in S3, as moto's server speaks it: from upload to trained network; and sources that a client names."""

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pyarrow import parquet

from tests.system.conftest import a_stack
from tests.system.stack import Stack
from tests.system.test_models import await_files, ended
from tests.waiting import await_true

pytestmark = pytest.mark.long
"""tests/models/test_storage.py asks the same of the storage itself."""

ROWS = "a,b,y\n" + "".join(f"{i % 7},{'xyz'[i % 3]},{i % 7 * 2.5}\n" for i in range(100))


@pytest.fixture(scope="module")
def buckets(s3_server: str) -> dict[str, str]:
    """A bucket for the storage, one with sources; and the variables by which both are reached."""
    for name in ("kept", "sources", "private"):
        httpx.put(f"{s3_server}/{name}").raise_for_status()
    httpx.put(f"{s3_server}/sources/open/rows.csv", content=ROWS).raise_for_status()
    httpx.put(f"{s3_server}/sources/closed/rows.csv", content=ROWS).raise_for_status()
    httpx.put(f"{s3_server}/sources/open/large.csv", content=b"a,y\n" + b"1,2\n" * 500_000).raise_for_status()
    names = {"ENDPOINT_URL": s3_server, "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "REGION": "us-east-1"}
    return {f"AWS_{name}": value for name, value in names.items()}


@pytest.fixture(scope="module")
def remote(buckets: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service that keeps its bytes in S3."""
    folder = tmp_path_factory.mktemp("remote")
    settings = {
        "DESCENT_STORAGE_URL": "s3://kept/descent",
        "DESCENT_URL_SOURCES": "s3://sources/open/",
        "DESCENT_UPLOAD_BYTES": "1000000",
    }
    with a_stack("embedded", folder, **buckets, **settings) as stack:
        stack.start()
        yield stack


def keys(stack: Stack) -> list[str]:
    """What lies in the bucket."""
    listed = httpx.get(f"{stack.environment['AWS_ENDPOINT_URL']}/kept?list-type=2").text
    return [part.partition("</Key>")[0] for part in listed.split("<Key>")[1:]]


def test_an_upload_is_kept_in_s3_and_trained_on(remote: Stack) -> None:
    reply = remote.client.post("/v1/datasets", files={"file": ("rows.csv", ROWS)})
    assert reply.status_code == 201, reply.text
    assert keys(remote) == [f"descent/datasets/{reply.json()['id']}/1/table.npy"]
    assert not (remote.data / "objects").exists()
    definition: dict[str, Any] = {
        "network": {"family": "dnn", "hidden": [8]},
        "data": {"dataset": reply.json()["id"]},
        "training": {"epochs": 30, "batch_size": 8},
    }
    job = remote.train(definition)
    assert job["status"] == "succeeded", job["error"]
    await_files(remote, job["id"])
    files = remote.client.get(f"/v1/jobs/{job['id']}/artifacts").json()["items"]
    for file in files:
        content = remote.client.get(file["url"]).content
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["size"])
        part = remote.client.get(file["url"], headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, content[10:20])
    base = f"/v1/jobs/{job['id']}/predictions?allow_unhealthy=true"
    [row] = remote.client.post(base, json={"inputs": [{"a": 3, "b": "x"}]}).json()["outputs"]
    sent = remote.client.post(base, content="a,b\n3,x\n", headers={"Content-Type": "text/csv"})
    predicted = ended(remote, sent.headers["Location"])
    assert predicted["error"] is None, predicted
    table = parquet.read_table(io.BytesIO(remote.client.get(predicted["result"]["url"]).content))
    assert table["predicted_value"].to_pylist() == pytest.approx([row["value"]], rel=1e-5)
    asked = remote.client.post(f"/v1/jobs/{job['id']}/evaluations", json={"dataset": reply.json()["id"]})
    assert ended(remote, asked.headers["Location"])["result"]["rows"] == 100
    assert remote.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert remote.client.delete(f"/v1/datasets/{reply.json()['id']}").status_code == 204
    await_true(lambda: keys(remote) == [], 60)


def test_a_source_that_is_allowed_is_fetched(remote: Stack) -> None:
    body = {"url": "s3://sources/open/rows.csv", "target": "b"}
    reply = remote.client.post("/v1/datasets", json=body)
    assert reply.status_code == 201, reply.text
    assert (reply.json()["name"], reply.json()["classes"]) == ("rows.csv", ["x", "y", "z"])
    assert remote.client.delete(f"/v1/datasets/{reply.json()['id']}").status_code == 204


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"url": "s3://sources/closed/rows.csv"}, "/url", "source_not_allowed"),
        ({"url": "s3://sources/open/../closed/rows.csv"}, "/url", "wrong_url"),
        ({"url": "s3://sources/opener/rows.csv"}, "/url", "source_not_allowed"),
        ({"url": "s3://private/rows.csv"}, "/url", "source_not_allowed"),
        ({"url": "file:///etc/passwd"}, "/url", "wrong_url"),
        ({"url": "http://169.254.169.254/latest"}, "/url", "wrong_url"),
        ({"url": "s3://sources/open/nothing.csv"}, "/url", "no_such_object"),
        ({"url": 7}, "/url", "missing"),
        ({"path": "x"}, "/url", "missing"),
        ([], "/url", "missing"),
        ({"url": "s3://sources/open/rows.csv", "target": "q"}, "/target", "unknown_column"),
        ({"url": "s3://sources/open/rows.csv", "targets": "q"}, "/targets", "extra_forbidden"),
    ],
)
def test_a_source_that_is_not_is_refused(remote: Stack, body: Any, pointer: str, code: str) -> None:
    before = keys(remote)
    reply = remote.client.post("/v1/datasets", json=body)
    assert reply.status_code == 422, reply.text
    assert [(e["pointer"], e["code"]) for e in reply.json()["errors"]] == [(pointer, code)]
    assert keys(remote) == before


def test_a_source_that_is_too_large_is_refused(remote: Stack) -> None:
    reply = remote.client.post("/v1/datasets", json={"url": "s3://sources/open/large.csv"})
    assert (reply.status_code, keys(remote)) == (413, []), reply.text
