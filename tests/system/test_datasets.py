"""Your own data, from the upload to the trained network, through every room and on both back ends."""

import io
import os
import signal
import threading
import zipfile
from contextlib import suppress
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.system.conftest import Stack
from tests.waiting import await_true

COLOURS = {"red": 3.0, "green": -1.0, "blue": 0.5}
DNN: dict[str, Any] = {"family": "dnn", "hidden": [16]}
RNN: dict[str, Any] = {"family": "rnn", "hidden": 8}


def houses(rows: int = 300, seed: int = 0) -> bytes:
    """A CSV whose price follows from its rooms and colour; some rooms and colours are missing."""
    rng = np.random.default_rng(seed)
    lines = ["rooms,colour,sold,price"]
    for index in range(rows):
        rooms, colour = rng.integers(1, 9), rng.choice(list(COLOURS))
        price = rooms * 2 + COLOURS[colour]
        shown = ("" if index % 50 == 3 else rooms, "" if index % 40 == 7 else colour)
        lines.append(f"{shown[0]},{shown[1]},{'true' if rooms > 4 else 'false'},{price:.2f}")
    return "\n".join(lines).encode()


def upload(stack: Stack, content: bytes, **options: Any) -> dict[str, Any]:
    reply = post(stack, content, **options)
    assert reply.status_code in (200, 201), reply.text
    uploaded: dict[str, Any] = reply.json()
    return uploaded


def post(stack: Stack, content: bytes, **options: Any) -> httpx.Response:
    return stack.client.post("/v1/datasets", files={"file": ("rows", content)}, data=options)


def newest(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = stack.client.get("/v1/datasets", params={"limit": 1}).json()["items"][0]
    return found


def train(stack: Stack, network: dict[str, Any], **data: Any) -> dict[str, Any]:
    training = {"epochs": 15, "batch_size": 16, "optimizer": {"kind": "adam", "learning_rate": 0.02}}
    job = stack.train({"network": network, "data": data, "training": training})
    assert job["status"] == "succeeded", job["error"]
    return job


def test_a_csv_of_mixed_columns_is_trained_on(stack: Stack) -> None:
    dataset = upload(stack, houses(), target="price")
    assert (dataset["task"], dataset["rows"], dataset["input_shape"]) == ("regression", 300, [6])
    job = train(stack, DNN, dataset=dataset["id"])
    assert job["best"]["validation_r2"] > 0.8


@pytest.mark.long
def test_a_job_may_choose_another_target_and_its_features(stack: Stack) -> None:
    dataset = upload(stack, houses(), target="price")
    job = train(stack, DNN, dataset=dataset["id"], target="sold", features=["rooms", "price"])
    known = job["definition"]["data"]["uploaded"]
    assert (known["task"], known["classes"], known["input_shape"]) == ("classification", ["false", "true"], [2])
    assert job["best"]["validation_accuracy"] > 0.9


@pytest.mark.long
def test_another_upload_is_for_validation(stack: Stack) -> None:
    trained, other = upload(stack, houses(), target="price"), upload(stack, houses(60, seed=1), target="price")
    job = train(stack, DNN, dataset=trained["id"], validation={"dataset": other["id"]})
    assert job["best"]["validation_r2"] > 0.8


@pytest.mark.parametrize("split", ["time", "group", "random"])
@pytest.mark.long
def test_rows_are_split_as_it_is_asked(stack: Stack, split: str) -> None:
    lines = ["who,when,x,y", *(f"p{i % 10},{i},{i % 7},{(i % 7) * 2.5}" for i in range(200))]
    dataset = upload(stack, "\n".join(lines).encode(), target="y", group="who", time="when")
    assert dataset["features"] == ["x"]
    assert train(stack, DNN, dataset=dataset["id"], split=split)["best"]["validation_r2"] > 0.5


@pytest.mark.long
def test_series_are_cut_into_sequences(stack: Stack) -> None:
    rng = np.random.default_rng(0)
    lines = ["sensor,t,value"]
    rows = [(s, t, np.sin(0.5 * t + s)) for s in range(5) for t in range(60)]
    rng.shuffle(rows)
    lines += [f"s{sensor:.0f},{t:.0f},{value:.5f}" for sensor, t, value in rows]
    options = {"group": "sensor", "time": "t", "length": 10, "horizon": 2, "stride": 1}
    dataset = upload(stack, "\n".join(lines).encode(), target="value", **options)
    assert (dataset["kind"], dataset["rows"], dataset["input_shape"]) == ("sequence", 5 * 49, [10, 1])
    job = train(stack, RNN, dataset=dataset["id"])
    assert job["best"]["validation_r2"] > 0.5


@pytest.mark.quick_on("embedded")
def test_a_zip_of_images_is_trained_on(stack: Stack) -> None:
    rng = np.random.default_rng(0)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for index in range(80):
            name, base = ("dark", 40) if index % 2 else ("light", 200)
            pixels = np.clip(rng.normal(base, 20, (8, 8, 3)), 0, 255).astype(np.uint8)
            image = io.BytesIO()
            Image.fromarray(pixels).save(image, "PNG")
            archive.writestr(f"{name}/{index}.png", image.getvalue())
    dataset = upload(stack, packed.getvalue())
    assert (dataset["input_shape"], dataset["classes"]) == ([3, 8, 8], ["dark", "light"])
    job = train(stack, {"family": "cnn", "blocks": [{"filters": 4}]}, dataset=dataset["id"])
    assert job["best"]["validation_accuracy"] > 0.9


@pytest.mark.parametrize("shape", [(60, 4), (60, 5, 4), (60, 2, 6, 6)], ids=["table", "sequence", "image"])
@pytest.mark.long
def test_an_npz_is_trained_on(stack: Stack, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random(shape)
    packed = io.BytesIO()
    np.savez_compressed(packed, x=x, y=(x.reshape(60, -1).mean(axis=1) > 0.5).astype(int))
    dataset = upload(stack, packed.getvalue())
    networks = {2: DNN, 3: RNN, 4: {"family": "cnn", "blocks": [{"filters": 4}]}}
    assert train(stack, networks[len(shape)], dataset=dataset["id"])["metrics"]


@pytest.mark.long
def test_tokens_with_a_target_at_each_step_are_trained_on(stack: Stack) -> None:
    x = np.random.default_rng(0).integers(0, 5, (80, 6))
    packed = io.BytesIO()
    np.savez(packed, x=x, y=x % 2)
    dataset = upload(stack, packed.getvalue())
    assert (dataset["kind"], dataset["per_step"], dataset["vocabulary"]) == ("tokens", True, 5)
    network = RNN | {"readout": "each", "embedding": {"size": 4}}
    assert train(stack, network, dataset=dataset["id"])["best"]["validation_accuracy"] > 0.9


def test_a_data_set_stays_as_long_as_a_job_uses_it(stack: Stack) -> None:
    dataset = upload(stack, houses(40), target="price")
    url = f"/v1/datasets/{dataset['id']}"
    job = train(stack, DNN, dataset=dataset["id"])
    refused = stack.client.delete(url)
    assert (refused.status_code, refused.json()["code"]) == (409, "in_use")
    assert job["id"] in refused.json()["detail"]
    assert stack.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert stack.client.delete(url).status_code == 204
    assert stack.client.get(url).status_code == 404


def test_a_job_on_bytes_that_were_damaged_fails_and_says_so(stack: Stack) -> None:
    dataset = upload(stack, houses(50), target="price")
    (path,) = (stack.data / "objects/datasets" / dataset["id"]).rglob("table.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    job = stack.train({"network": DNN, "data": {"dataset": dataset["id"]}})
    assert (job["status"], job["error"]["class"], job["error"]["code"]) == ("failed", "data", "data_unavailable")
    assert "damaged" in job["error"]["detail"]


@pytest.mark.quick_on("production")
def test_what_is_read_when_the_api_dies_is_read_after_all(stack: Stack) -> None:
    content = "a,b,y\n" + "".join(f"{i},{i % 3},{i * 2}\n" for i in range(1_500_000))

    def send() -> None:
        with suppress(httpx.TransportError):
            post(stack, content.encode())

    sender = threading.Thread(target=send)
    sender.start()
    before = newest(stack)
    await_true(lambda: newest(stack) != before and newest(stack)["status"] == "ingesting", 90)
    for pid in stack.processes("service.serve"):
        os.kill(pid, signal.SIGKILL)
    sender.join()
    await_true(stack.answers, 90)
    assert newest(stack)["status"] == "ingesting"
    await_true(lambda: newest(stack)["status"] == "ready", 90)
    assert newest(stack)["rows"] == 1_500_000
