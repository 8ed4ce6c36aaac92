"""`python -m benchmarks --only predictions`: predictions over HTTP, in milliseconds, and what memory the API needs.

Jobs are trained by a running service, the rows are sent one request after the other over one connection. `bare` is the
same `model.onnx` in ONNX Runtime in this process, with the rows as an array at hand: what is left over is HTTP, JSON,
the question to the database and the shaping of the answer.
"""

import http.client
import json
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.goals import GOALS
from benchmarks.jobs import stacks
from benchmarks.memory import megabytes
from benchmarks.report import Table, median, spread, take_turns
from tests.system.stack import KEY, Stack
from tests.waiting import await_true

PACKAGES = ("onnxruntime", "numpy", "flask", "granian")
COLUMNS = ("model", "rows", "ms", "spread", "p99", "bare ms", "goal")
ROWS = (1, 1000)
COLOURS = ("red", "green", "blue")
LSTM = {"family": "rnn", "cell": "lstm", "hidden": 32, "bidirectional": True}
CNN = {"family": "cnn", "blocks": [{"filters": 16, "pool": "max"}, {"filters": 32, "pool": "max"}], "hidden": [64]}
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dnn, 4 numbers": ({"family": "dnn", "hidden": [64, 64]}, {"dataset": "iris"}),
    "dnn, mixed columns": ({"family": "dnn", "hidden": [64, 64]}, {"target": "price"}),
    "cnn, 8x8 image": (CNN, {"dataset": "digits"}),
    "lstm, 8 steps of 8": (LSTM, {"dataset": "digits_rows"}),
}
NOTE = """One connection, one request at a time; a request carries so many rows of JSON and its answer a probability for
each class. In the database is one question a request, on SQLite. Goals are medians."""


def run(quick: bool = False) -> list[Table]:
    turns = 20 if quick else 300
    with tempfile.TemporaryDirectory() as folder, stacks(Path(folder), ["embedded"]) as services:
        service = services["embedded"]
        before, _ = megabytes(service)
        jobs = {name: trained(service, *model) for name, model in MODELS.items()}
        rows = [measured(service, name, jobs[name], count, turns) for name in MODELS for count in ROWS]
        after, _ = megabytes(service)
    memory = Table(
        "Memory of the API that predicts",
        ("at start", "with ONNX Runtime and these models", "goal"),
        [[before, after, GOALS["memory/predictions"]]],
        "Resident memory of the process that serves, in MB.",
    )
    return [Table("Predictions over HTTP", COLUMNS, rows, " ".join(NOTE.split())), memory]


def trained(service: Stack, network: dict[str, Any], data: dict[str, Any]) -> str:
    """The id of a job whose model is there."""
    if "dataset" not in data:
        data = data | {"dataset": upload(service)}
    job = service.train({"network": network, "data": data, "training": {"epochs": 3}})
    place = f"/v1/jobs/{job['id']}/artifacts/model.onnx"
    await_true(lambda: service.client.head(place).status_code == 200, 60)
    return str(job["id"])


def upload(service: Stack) -> str:
    lines = ["rooms,garden,colour,price"]
    lines += [f"{row['rooms']},{str(row['garden']).lower()},{row['colour']},{row['rooms']}" for row in mixed_rows(200)]
    reply = service.client.post("/v1/datasets", files={"file": ("rows.csv", "\n".join(lines))})
    reply.raise_for_status()
    return str(reply.json()["id"])


def mixed_rows(count: int) -> list[dict[str, Any]]:
    draw = random.Random(0)
    return [
        {"rooms": draw.uniform(1, 9), "garden": draw.random() < 0.5, "colour": draw.choice(COLOURS)}
        for _ in range(count)
    ]


def some_rows(name: str, count: int) -> list[Any]:
    sizes = {"dnn, 4 numbers": (4,), "cnn, 8x8 image": (1, 8, 8), "lstm, 8 steps of 8": (8, 8)}
    if name not in sizes:
        return mixed_rows(count)
    rows: list[Any] = np.random.default_rng(0).uniform(0, 16, (count, *sizes[name])).round(2).tolist()
    return rows


def measured(service: Stack, name: str, job: str, count: int, turns: int) -> list[object]:
    rows = some_rows(name, count)
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    contenders = {"http": asking(connection, job, rows), "bare": bare(service, job, rows)}
    found = take_turns(contenders, turns, warm_ups=3)
    connection.close()
    p99 = float(np.percentile(found["http"], 99))
    goal = GOALS[f"predictions/{count}"]
    return [name, count, median(found["http"]), spread(found["http"]), p99, median(found["bare"]), goal]


def asking(connection: http.client.HTTPConnection, job: str, rows: list[Any]) -> Callable[[], float]:
    """Milliseconds from the first byte that is sent to the last that is read."""
    path = f"/v1/jobs/{job}/predictions?allow_unhealthy=true"
    body = json.dumps({"inputs": rows}).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}

    def ask() -> float:
        started = time.perf_counter()
        connection.request("POST", path, body, headers)
        reply = connection.getresponse()
        content = reply.read()
        took = time.perf_counter() - started
        assert reply.status == 200, content
        return took * 1000

    return ask


def bare(service: Stack, job: str, rows: list[Any]) -> Callable[[], float]:
    """The same model on arrays that are at hand."""
    model = service.client.get(f"/v1/jobs/{job}/artifacts/model.onnx").content
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {entry.name: feed(entry, rows) for entry in session.get_inputs()}
    return partial(milliseconds, lambda: session.run(None, feeds))


def feed(entry: Any, rows: list[Any]) -> Any:
    if not isinstance(rows[0], dict):
        return np.array(rows, np.float32)
    kind = object if entry.type == "tensor(string)" else np.float32
    return np.array([[row[entry.name]] for row in rows], kind)


def milliseconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000
