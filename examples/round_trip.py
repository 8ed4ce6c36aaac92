"""`python round_trip.py http://127.0.0.1:8700 KEY`: your data in, your model out.

Uploads a CSV of mixed columns and trains on it, and trains three other kinds of networks; then predicts the same rows
three times: over HTTP, with ONNX Runtime alone, with PyTorch alone. Prints by how much they differ.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
FILES = ("model.onnx", "weights.safetensors", "definition.json")
COLOURS = {"red": 3.0, "green": -1.0, "blue": 0.5}
TRAINING = {"epochs": 15, "batch_size": 16, "optimizer": {"kind": "adam", "learning_rate": 0.01}}
CONVOLUTIONS_THEN_LSTM = [
    {"kind": "convolution", "filters": 4},
    {"kind": "frames"},
    {"kind": "recurrent", "cell": "lstm", "hidden": 8, "bidirectional": True},
    {"kind": "readout", "mode": "last"},
    {"kind": "dense", "width": 8},
]
NETWORKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "cnn": (
        {"family": "cnn", "blocks": [{"filters": 8, "pool": "max"}, {"filters": 8}], "hidden": [16]},
        {"dataset": "digits"},
    ),
    "rnn": (
        {"family": "rnn", "cell": "gru", "hidden": 16, "layers": 2, "bidirectional": True},
        {"dataset": "digits_rows"},
    ),
    "sequential": ({"family": "sequential", "layers": CONVOLUTIONS_THEN_LSTM}, {"dataset": "spectrograms"}),
}
Rows = list[Any]


def main() -> None:
    url, key = sys.argv[1:]
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=90) as client:
        differences = run(client)
    sys.exit(0 if max(differences.values()) <= 1e-5 else 1)


def run(client: httpx.Client) -> dict[str, float]:
    """The largest difference of any output, relative to the largest output, by network."""
    dataset = upload(client)
    jobs = {"dnn": ({"family": "dnn", "hidden": [16, 16]}, {"dataset": dataset, "target": "price"})} | NETWORKS
    found = {}
    for name, (network, data) in jobs.items():
        job = train(client, network, data)
        with tempfile.TemporaryDirectory() as folder:
            download(client, job, Path(folder))
            found[name] = difference(client, job, Path(folder), some_rows(name))
        print(f"{name}: HTTP, ONNX Runtime and PyTorch differ by at most {found[name]:.1e}", flush=True)
    return found


def upload(client: httpx.Client) -> str:
    """A table of numbers, booleans and categories, with values missing; the id it has."""
    draw = random.Random(0)
    lines = ["rooms,garden,colour,price"]
    for index in range(300):
        rooms, garden, colour = draw.randint(1, 8), draw.random() < 0.5, draw.choice(list(COLOURS))
        price = 2 * rooms + 3 * garden + COLOURS[colour]
        shown = "" if index % 50 == 3 else rooms, str(garden).lower(), "" if index % 40 == 7 else colour
        lines.append(",".join(map(str, (*shown, price))))
    reply = client.post("/v1/datasets", files={"file": ("houses.csv", "\n".join(lines))}, data={"target": "price"})
    reply.raise_for_status()
    return str(reply.json()["id"])


def train(client: httpx.Client, network: dict[str, Any], data: dict[str, Any]) -> str:
    """The id of a job that has succeeded and whose files are made."""
    reply = client.post("/v1/jobs", json={"network": network, "data": data, "training": TRAINING})
    reply.raise_for_status()
    job = reply.json()
    while not job["terminal"]:
        job = client.get(f"/v1/jobs/{job['id']}", params={"wait": 60}).json()
    if job["status"] != "succeeded":
        sys.exit(f"{job['id']}: {job['error']}")
    while any(file["state"] == "pending" for file in client.get(job["links"]["artifacts"]).json()["items"]):
        time.sleep(0.1)
    return str(job["id"])


def download(client: httpx.Client, job: str, folder: Path) -> None:
    for name in FILES:
        reply = client.get(f"/v1/jobs/{job}/artifacts/{name}")
        reply.raise_for_status()
        (folder / name).write_bytes(reply.content)


def some_rows(name: str) -> list[Rows]:
    """Rows to predict, in the data's own units; of the recurrent network of several lengths."""
    draw = random.Random(1)

    def values(*sizes: int) -> Any:
        return [values(*sizes[1:]) for _ in range(sizes[0])] if sizes else round(draw.uniform(0, 16), 2)

    if name == "dnn":
        whole = {"rooms": 3, "garden": True, "colour": "red"}
        return [[whole, {"rooms": None, "garden": False, "colour": "blue"}, whole | {"colour": None}]]
    sizes = {"cnn": [(5, 1, 8, 8)], "rnn": [(3, 8, 8), (1, 1, 8), (2, 21, 8)], "sequential": [(3, 1, 16, 24)]}
    return [values(*size) for size in sizes[name]]


def difference(client: httpx.Client, job: str, folder: Path, batches: list[Rows]) -> float:
    """Between what the API says and what the two plain scripts say."""
    files = [folder / f"rows-{index}.json" for index in range(len(batches))]
    for file, rows in zip(files, batches, strict=True):
        file.write_text(json.dumps(rows))
    names = [file.name for file in files]
    onnx = plain("load_onnx.py", folder, "model.onnx", *names)
    torch = plain("load_safetensors.py", folder, "weights.safetensors", "definition.json", *names)
    said = [predict(client, job, rows) for rows in batches]
    size = max(1.0, *map(abs, flat(said)))
    return max(abs(value - other) / size for found in (onnx, torch) for value, other in pairs(said, found))


def predict(client: httpx.Client, job: str, rows: Rows) -> list[list[float]]:
    """Probabilities or values."""
    reply = client.post(f"/v1/jobs/{job}/predictions", params={"allow_unhealthy": "true"}, json={"inputs": rows})
    reply.raise_for_status()
    outputs = reply.json()["outputs"]
    return [list(one["probabilities"].values()) if "class" in one else [one["value"]] for one in outputs]


def flat(batches: list[list[list[float]]]) -> list[float]:
    return [value for rows in batches for row in rows for value in row]


def pairs(one: list[list[list[float]]], other: list[list[list[float]]]) -> Iterator[tuple[float, float]]:
    return zip(flat(one), flat(other), strict=True)


def plain(script: str, folder: Path, *arguments: str) -> Any:
    """What a script prints that knows nothing of Descent: it runs in the folder of the files."""
    line = [sys.executable, "-I", str(HERE / script), *arguments]
    return json.loads(subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
