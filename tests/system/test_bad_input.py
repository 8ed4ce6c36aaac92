"""Bad input is refused by the real server: a 4xx problem with its place and a hint, and nothing is stored."""

import json
import socket
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from models.admission import admit
from models.capacity import capacity_of
from models.database import Database
from models.errors import InvalidDefinition
from models.tables import Job
from tests.system.conftest import Stack

DNN: dict[str, Any] = {"family": "dnn", "hidden": [8]}
CNN: dict[str, Any] = {"family": "cnn", "blocks": [{"filters": 4}]}
IRIS: dict[str, Any] = {"dataset": "iris"}
DIGITS: dict[str, Any] = {"dataset": "digits"}


def a_body(network: Any = DNN, data: Any = IRIS, **others: Any) -> bytes:
    return json.dumps({"network": network, "data": data} | others).encode()


def raw(text: str) -> bytes:
    """A body with `text` as the first width: what json.dumps would not write."""
    return a_body(DNN | {"hidden": ["HERE"]}).replace(b'"HERE"', text.encode())


WRONG: dict[str, tuple[bytes, int, str]] = {
    "no body": (b"", 400, ""),
    "not JSON": (b"{", 400, ""),
    "not UTF-8": (b'{"name": "\xff"}', 400, ""),
    "two values": (b"{} {}", 400, ""),
    "NaN": (raw("NaN"), 400, ""),
    "Infinity": (raw("-Infinity"), 400, ""),
    "an array": (b"[]", 422, ""),
    "a key twice": (a_body().replace(b"{", b'{"data": {"dataset": "digits"}, ', 1), 422, "/data"),
    "a key twice within": (a_body(DNN | {"hidden": "HERE"}).replace(b'"HERE"', b'[4], "hidden": [8]'), 422,
                           "/network/hidden"),
    "JSON in a text": (json.dumps(a_body().decode()).encode(), 422, ""),
    "nothing": (b"{}", 422, "/network"),
    "unknown field": (a_body(epochs=3), 422, "/epochs"),
    "unknown field within": (a_body(DNN | {"activations": "relu"}), 422, "/network/activations"),
    "unknown family": (a_body({"family": "gan"}), 422, "/network"),
    "no family": (a_body({"hidden": [3]}), 422, "/network"),
    "kernel too large": (a_body({"family": "cnn", "blocks": [{"filters": 4, "kernel": 9}]}, DIGITS), 422,
                         "/network/blocks/0/kernel"),
    "pool too large": (a_body({"family": "cnn", "blocks": [{"filters": 4, "pool": "max", "pool_size": 9}]}, DIGITS),
                       422, "/network/blocks/0/pool_size"),
    "cnn on iris": (a_body(CNN), 422, "/network/family"),
    "rnn on digits": (a_body({"family": "rnn", "hidden": 4}, DIGITS), 422, "/network/family"),
    "tokens without embedding": (a_body({"family": "rnn", "hidden": 4}, {"dataset": "copy_memory"}), 422,
                                 "/network/embedding"),
    "readout each": (a_body({"family": "rnn", "hidden": 4, "readout": "each"}, {"dataset": "adding"}), 422,
                     "/network/readout"),
    "negative width": (a_body(DNN | {"hidden": [8, -1]}), 422, "/network/hidden/1"),
    "zero width": (a_body(DNN | {"hidden": [0]}), 422, "/network/hidden/0"),
    "1e400": (raw("1e400"), 422, "/network/hidden/0"),
    "thousands of digits": (raw("9" * 5000), 422, "/network/hidden/0"),
    "text for a number": (raw('"5"'), 422, "/network/hidden/0"),
    "true for a number": (raw("true"), 422, "/network/hidden/0"),
    "fraction for a number": (raw("5.5"), 422, "/network/hidden/0"),
    "rate 1e400": (a_body(training={"optimizer": {"kind": "sgd", "learning_rate": "HERE"}})
                   .replace(b'"HERE"', b"1e400"), 422, "/training/optimizer/learning_rate"),
    "unknown optimizer": (a_body(training={"optimizer": {"kind": "lion"}}), 422, "/training/optimizer"),
    "epochs 0": (a_body(training={"epochs": 0}), 422, "/training/epochs"),
    "batches of one row and batch norm": (a_body(DNN | {"norm": "batch"}, training={"batch_size": 1}), 422,
                                          "/training/batch_size"),
    "a wrong loss": (a_body(training={"loss": "mse"}), 422, "/training/loss"),
    "validation 0": (a_body(data=IRIS | {"validation": 0}), 422, "/data/validation"),
    "validation 1": (a_body(data=IRIS | {"validation": 1}), 422, "/data/validation"),
    "a binary loss for three classes": (a_body(training={"loss": "binary_cross_entropy"}), 422, "/training/loss"),
    "class weights for a regression": (a_body(data={"dataset": "diabetes"}, training={"class_weights": "balanced"}),
                                       422, "/training/class_weights"),
    "two weights for three classes": (a_body(training={"class_weights": [1.0, 2.0]}), 422, "/training/class_weights"),
    "smoothing for a regression": (a_body(data={"dataset": "diabetes"}, training={"label_smoothing": 0.1}), 422,
                                   "/training/label_smoothing"),
    "pre-training for a cnn": (a_body(CNN, DIGITS, training={"pretraining": {"kind": "autoencoder"}}), 422,
                               "/training/pretraining"),
    "pre-training for a perceptron": (a_body(DNN | {"hidden": []}, training={"pretraining": {"kind": "autoencoder"}}),
                                      422, "/training/pretraining"),
    "patience without validation": (a_body(data=IRIS | {"validation": None}, training={"stop": {"patience": 3}}), 422,
                                    "/training/stop/patience"),
    "restarts without validation": (a_body(data=IRIS | {"validation": None}, training={"restarts": 3}), 422,
                                    "/training/restarts"),
    "plateau without validation": (a_body(data=IRIS | {"validation": None},
                                          training={"schedule": {"kind": "plateau"}}), 422, "/training/schedule/kind"),
    "a cosine without an end": (a_body(training={"max_seconds": 3.0, "schedule": {"kind": "cosine"}}), 422,
                                "/training/schedule/kind"),
    "nesterov without momentum": (a_body(training={"optimizer": {"kind": "sgd", "nesterov": True}}), 422,
                                  "/training/optimizer"),
    "clip by norm and by value": (a_body(training={"clip": {"norm": 1.0, "value": 1.0}}), 422, "/training/clip"),
    "a residual block that loses positions": (a_body(CNN | {"residual": True, "blocks": [{"filters": 4, "padding": 0}]},
                                                     DIGITS), 422, "/network/blocks/0/padding"),
    "pooling within a residual block": (
        a_body({"family": "sequential", "layers": [{"kind": "residual", "layers": [
            {"kind": "convolution", "filters": 4, "pool": "max"}]}]}, DIGITS),
        422, "/network/layers/0/layers/0/pool"),
    "a forget bias without a forget gate": (a_body({"family": "rnn", "cell": "gru", "hidden": 4, "forget_bias": 1.0},
                                                   {"dataset": "adding"}), 422, "/network/forget_bias"),
    "the last step of a table": (a_body(data=IRIS | {"features": "last"}), 422, "/data/features"),
    "an init with a wrong parameter": (a_body(DNN | {"init": {"kind": "he", "std": 1.0}}), 422, "/network/init"),
    "unknown dataset": (a_body(data={"dataset": "irsi"}), 422, "/data/dataset"),
    "unknown parameter": (a_body(data={"dataset": "xor", "parameters": {"length": 3}}), 422,
                          "/data/parameters/length"),
    "parameter out of range": (a_body(data={"dataset": "xor", "parameters": {"rows": 1}}), 422,
                               "/data/parameters/rows"),
    "NUL": (a_body(name="a\0b"), 422, "/name"),
    "half a surrogate": (a_body(name="\ud800"), 422, "/name"),
    "long name": (a_body(name="a" * 201), 422, "/name"),
    "nesting of 200": (raw("[" * 200 + "]" * 200), 422, "/network/hidden"),
    "nesting of 5 000": (raw("[" * 5000 + "]" * 5000), 422, ""),
    "nesting of 200 000": (b"[" * 200_000 + b"]" * 200_000, 422, ""),
    "10^12 parameters": (a_body(DNN | {"hidden": [1_000_000, 1_000_000]}), 422, "/network"),
    "parameters beyond any number": (a_body(DNN | {"hidden": [2**53] * 900}), 422, "/network"),
    "a body of 2 MB": (a_body(name="a" * 2_000_000), 413, ""),
}  # fmt: skip


def count_of_jobs(stack: Stack) -> int:
    """Counted in the database itself."""
    database = Database(stack.database_url)
    with database.read() as connection:
        count = connection.scalar(select(func.count()).select_from(Job))
    database.close()
    assert count is not None
    return count


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_body_is_refused_with_its_place_and_nothing_is_stored(stack: Stack, name: str) -> None:
    body, status, pointer = WRONG[name]
    before = count_of_jobs(stack)
    reply = stack.client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    problem = reply.json()
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
    assert problem["status"] == status
    assert problem["detail"]
    assert "Traceback" not in reply.text
    if status == 413:
        assert (problem["title"], problem["code"]) == ("Content Too Large", "content_too_large")
        assert "DESCENT_BODY_BYTES" in problem["detail"]
    if status == 422:
        assert problem["title"] == "Unprocessable Content"
        assert any(error["pointer"].startswith(pointer) for error in problem["errors"]), problem["errors"]
        assert all(error["hint"] and error["detail"] and error["code"] for error in problem["errors"])
    assert count_of_jobs(stack) == before


def test_a_connection_whose_body_was_not_read_is_closed_and_says_so(stack: Stack) -> None:
    for path, headers, status in (("/v1/jobs", {}, 413), ("/v1/jobs", {"Authorization": ""}, 401), ("/v1/no", {}, 404)):
        reply = stack.client.post(
            path, content=b" " * 2_000_000, headers={"Content-Type": "application/json"} | headers
        )
        assert (reply.status_code, reply.headers["connection"]) == (status, "close")
        assert stack.client.get("/v1/jobs").status_code == 200


def test_all_mistakes_are_told_at_once(stack: Stack) -> None:
    body = {"network": DNN | {"hidden": [0, 3, -1], "bias": 1}, "data": IRIS | {"validation": 2}, "tag": []}
    errors = stack.client.post("/v1/jobs", json=body).json()["errors"]
    assert {error["pointer"] for error in errors} == {
        "/network/hidden/0", "/network/hidden/2", "/network/bias", "/data/validation", "/tag"
    }  # fmt: skip
    assert next(error["hint"] for error in errors if error["pointer"] == "/tag") == "Did you mean 'tags'?"


def test_too_many_parameters_are_counted_in_the_answer(stack: Stack) -> None:
    reply = stack.client.post("/v1/jobs", content=WRONG["10^12 parameters"][0],
                              headers={"Content-Type": "application/json"})  # fmt: skip
    parameters = 4 * 10**6 + 10**6 + 10**12 + 10**6 + 3 * 10**6 + 3
    assert f"{parameters:,} parameters" in reply.json()["errors"][0]["detail"]
    assert "DESCENT_MEMORY_BYTES" in reply.json()["errors"][0]["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_415(stack: Stack, kind: str) -> None:
    reply = stack.client.post("/v1/jobs", content=a_body(), headers={"Content-Type": kind})
    assert reply.status_code == 415


WRONG_URLS = {
    "/v1/jobs?limit=0": (422, "/limit"),
    "/v1/jobs?limit=201": (422, "/limit"),
    "/v1/jobs?limit=many": (422, "/limit"),
    "/v1/jobs?colour=red": (422, "/colour"),
    "/v1/jobs?status=lost": (422, "/status"),
    "/v1/jobs?after=%00": (422, "/after"),
    "/v1/jobs?after=%ff%fe": (422, "/after"),
    "/v1/jobs?after=AA": (422, "/after"),
    "/v1/jobs/job_nothing": (404, None),
    "/v1/jobs/%00": (404, None),
    "/v1/jobs/%ff": (404, None),
    "/v1/jobs/JOB?wait=61": (422, "/wait"),
    "/v1/jobs/JOB?wait=nan": (422, "/wait"),
    "/v1/jobs/JOB?wait=-1": (422, "/wait"),
    "/v1/jobs/JOB/events?after=eA": (422, "/after"),
    "/v1/jobs/JOB/metrics?names=loss": (422, "/names"),
    "/v1/jobs/JOB/metrics?names=": (422, "/names"),
    "/v1/jobs/JOB/metrics?points=1": (422, "/points"),
    "/v1/jobs/JOB/gradients?statistic=n%00rm": (422, "/statistic"),
    "/v1/jobs/JOB/gradients?layers=77": (422, "/layers"),
    "/v1/jobs/JOB/gradients?from_step=9223372036854775808": (422, "/from_step"),
    "/v1/jobs/JOB/layers?x=1": (422, "/x"),
    "/v1/nothing": (404, None),
}


@pytest.fixture(scope="module")
def job_id(stack: Stack) -> str:
    job = stack.train({"network": DNN, "data": IRIS, "training": {"epochs": 1}})
    assert job["status"] == "succeeded"
    return str(job["id"])


@pytest.mark.parametrize("url", WRONG_URLS)
def test_a_wrong_url_is_refused_by_name(stack: Stack, job_id: str, url: str) -> None:
    status, pointer = WRONG_URLS[url]
    reply = stack.client.get(url.replace("JOB", job_id))
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), reply.text
    if pointer:
        assert pointer in {error["pointer"] for error in reply.json()["errors"]}


@pytest.mark.parametrize(("metric", "status"), [("skill%3C0.5", 200), ("skill<0.5", 400), ("skill>=0.5", 400)])
def test_a_threshold_is_written_as_a_url_takes_it(stack: Stack, metric: str, status: int) -> None:
    """httpx would encode it. The server refuses what is no URL before any of it is read, as the API's text says."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        key = stack.client.headers["Authorization"]
        lines = (
            f"GET /v1/jobs?metric={metric} HTTP/1.1",
            f"Host: 127.0.0.1:{stack.port}",
            f"Authorization: {key}",
            "Connection: close",
        )
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        reply = connection.makefile("rb").read()
    assert reply.startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize("key", [None, "", "Bearer", "Bearer wrong", "Basic YTpi", "Bearer \xe9"])
def test_without_the_key_everything_of_v1_is_401(stack: Stack, key: str | None) -> None:
    headers = {} if key is None else {"Authorization": key.encode("latin-1")}
    for path in ("/v1/jobs", "/v1/datasets", "/v1/nothing"):
        reply = httpx.get(f"{stack.url}{path}", headers=headers)
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == "Bearer"
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert httpx.get(f"{stack.url}{path}", headers=headers).status_code == 200


def test_another_method_is_405_and_names_those_there_are(stack: Stack) -> None:
    reply = stack.client.put("/v1/jobs")
    assert reply.status_code == 405
    assert "POST" in reply.headers["allow"]


def test_a_form_that_is_not_served_is_406(stack: Stack, job_id: str) -> None:
    assert stack.client.get(f"/v1/jobs/{job_id}/gradients", headers={"Accept": "image/png"}).status_code == 406


def test_a_chunked_body_cannot_go_round_the_limit(stack: Stack) -> None:
    """Chunked bodies carry no Content-Length, so the limit has to be kept while reading."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        authorization = stack.client.headers["authorization"]
        connection.sendall(
            f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        piece = b"%x\r\n%s\r\n" % (100_000, b" " * 100_000)
        try:
            for _ in range(20):
                connection.sendall(piece)
            connection.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # refused before all of it was sent
        answer = connection.recv(4096)
    assert answer.split(b" ", 2)[1] == b"413", answer


def test_wrong_combinations_are_told_all_at_once(stack: Stack) -> None:
    wrong = {
        "stop": {"patience": 3},
        "restarts": 3,
        "loss": "mse",
        "class_weights": [1.0, 2.0],
        "pretraining": {"kind": "autoencoder"},
    }
    blocks = [{"filters": 4, "kernel": 9}]
    body = {"network": {"family": "cnn", "blocks": blocks}, "data": DIGITS | {"validation": None}, "training": wrong}
    problem = stack.client.post("/v1/jobs", json=body).json()
    assert {error["pointer"] for error in problem["errors"]} == {
        "/network/blocks/0/kernel", "/training/stop/patience", "/training/restarts", "/training/loss",
        "/training/class_weights", "/training/pretraining",
    }  # fmt: skip


def test_the_hint_is_never_the_name_that_is_wrong() -> None:
    """`every` is a field, of a schedule."""
    with pytest.raises(InvalidDefinition) as refused:
        admit(a_body(gradients={"every": 1}), capacity_of([]))
    assert refused.value.problems[0].hint == "Did you mean 'every_steps'?"


def test_bfloat16_is_refused_where_no_worker_has_it() -> None:
    old = {"memory_bytes": 2**30, "slots": ["cuda:0"], "bfloat16": False}
    new = old | {"bfloat16": True}
    body = a_body(training={"precision": "bfloat16"}, resources={"device": "cuda"})
    with pytest.raises(InvalidDefinition) as refused:
        admit(body, capacity_of([old]))
    assert refused.value.problems[0].pointer == "/training/precision"
    assert admit(body, capacity_of([old, new]))
    assert admit(body, capacity_of([]))
    assert admit(a_body(training={"precision": "auto"}), capacity_of([old]))
    assert admit(a_body(training={"precision": "bfloat16"}, resources={"device": "cpu"}), capacity_of([old]))


@pytest.mark.quick_on("embedded")
def test_the_longest_names_fit_into_a_url_and_what_is_longer_is_refused(stack: Stack) -> None:
    """What the contract says of the server itself."""
    job = f"/v1/jobs/job_{'0' * 26}"
    longest = stack.client.get(f"{job}/gradients/time", params={"layers": "&" * 10_000, "points": 4})
    assert longest.status_code == 404
    assert stack.client.get(f"{job}/metrics", params={"names": "é"}).status_code == 422
    many = [f"X-{number}: x" for number in range(150)]
    for path, headers, status in (("?" + "x" * 65_600, [], b"414"), ("", many, b"431")):
        with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as connection:
            lines = [f"GET {job}{path} HTTP/1.1", f"Host: 127.0.0.1:{stack.port}", *headers, "", ""]
            connection.sendall("\r\n".join(lines).encode())
            assert connection.recv(100).split()[1] == status
