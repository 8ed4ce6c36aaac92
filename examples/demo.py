"""`make demo`: starts a service of its own, trains the CNN of digits_cnn.json through HTTP, and reads the report.

Everything below `main` is what any client of Descent does: POST, poll, GET.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
DATA = HERE.parent / "var" / "demo"
START_SECONDS = 60
BAR = 30


def main() -> None:
    port, key = free_port(), secrets.token_hex(16)
    environment = os.environ | {"DESCENT_DATA": str(DATA), "DESCENT_PORT": str(port), "DESCENT_API_KEY": key}
    DATA.mkdir(parents=True, exist_ok=True)
    log = DATA / "demo.log"
    started = time.monotonic()
    print(f"Starting Descent on http://127.0.0.1:{port} (log: {os.path.relpath(log)}) ...", flush=True)
    with log.open("w") as sink:
        service = subprocess.Popen([sys.executable, "-m", "service"], env=environment, stdout=sink, stderr=sink)
    try:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=90) as client:
            await_ready(client, service)
            print(f"Ready after {time.monotonic() - started:.1f} s.\n")
            ok = show(client, json.loads((HERE / "digits_cnn.json").read_text()))
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(30)
    sys.exit(0 if ok else 1)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def await_ready(client: httpx.Client, service: subprocess.Popen[bytes]) -> None:
    for _ in range(START_SECONDS * 10):
        if service.poll() is not None:
            sys.exit(f"The service ended with code {service.returncode}; its log says why.")
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    sys.exit("The service did not become ready; its log says why.")


def show(client: httpx.Client, definition: dict[str, Any]) -> bool:
    job = post(client, definition)
    job = follow(client, job)
    if job["status"] != "succeeded":
        print(f"\nThe job has {job['status']}: {json.dumps(job['error'])}")
        return False
    print_epochs(client, job)
    print_gradients(client, job)
    print_result(job)
    return True


def post(client: httpx.Client, definition: dict[str, Any]) -> dict[str, Any]:
    print(f"POST /v1/jobs  (examples/digits_cnn.json: {definition['name']})")
    reply = client.post("/v1/jobs", json=definition)
    reply.raise_for_status()
    job: dict[str, Any] = reply.json()
    print(f"{reply.status_code} {reply.reason_phrase}: {job['id']}\n")
    return job


def follow(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """Long-polls: each GET returns when the job has changed."""
    etag = ""
    while not job["terminal"]:
        reply = client.get(f"/v1/jobs/{job['id']}", params={"wait": 30}, headers={"If-None-Match": etag})
        if reply.status_code == 304:
            continue
        reply.raise_for_status()
        job, etag = reply.json(), reply.headers["ETag"]
        draw(job)
    print("\n")
    return job


def draw(job: dict[str, Any]) -> None:
    progress, metrics = job["progress"], job["metrics"] or {}
    filled = round(BAR * progress["fraction"])
    accuracy = metrics.get("validation_accuracy")
    text = f"validation accuracy {accuracy:.3f}" if accuracy is not None else ""
    bar = f"[{'#' * filled}{'.' * (BAR - filled)}]"
    line = f"{job['status']:<9} {bar} epoch {progress['epoch']}/{progress['epochs']} {text}"
    print(f"\r{line:<90}" if sys.stdout.isatty() else line, end="" if sys.stdout.isatty() else "\n", flush=True)


def print_epochs(client: httpx.Client, job: dict[str, Any]) -> None:
    columns = client.get(f"/v1/jobs/{job['id']}/metrics").raise_for_status().json()
    names = ["epoch", "train_loss", "validation_loss", "train_accuracy", "validation_accuracy"]
    print("".join(f"{name:>21}" for name in names))
    last = len(columns["epoch"]) - 1
    for row in sorted({0, 1, 2, *range(4, last, 5), last}):
        values = [columns[name][row] for name in names]
        print("".join(f"{value:>21.4f}" if isinstance(value, float) else f"{value!s:>21}" for value in values))


def print_gradients(client: httpx.Client, job: dict[str, Any]) -> None:
    reply = client.get(f"/v1/jobs/{job['id']}/gradients", params={"statistic": "norm"}).raise_for_status().json()
    first, last = reply["values"][0], reply["values"][-1]
    print(f"\nGradient norm by layer, first and last of {len(reply['steps'])} sampled steps")
    for column, layer in enumerate(reply["layers"]):
        print(f"  {layer['name']:<30} {first[column]:>12.3e} -> {last[column]:>10.3e}")


def print_result(job: dict[str, Any]) -> None:
    best, timings = job["best"], job["timings"]
    print(
        f"\nValidation accuracy {best['validation_accuracy']:.3f} in epoch {best['epoch']} (skill {best['skill']:.2f})."
    )
    print(f"{timings['steps']} steps in {timings['training']:.1f} s of training on {job['device']}.")
    print("\nWhere to look next")
    print("  make serve        the service for yourself; its API is described at /docs")
    print("  examples/*.json   more jobs to POST: DNN, CNN and RNN")
    print(f"  GET {job['links']['gradients']}?statistic=update_ratio  and more statistics of each tensor and layer")


if __name__ == "__main__":
    main()
