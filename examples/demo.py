"""`make demo`: starts a service of its own, trains a network that learns and one that does not through HTTP, reads why,
and has the second repaired.

What `show` does is what any client of Descent does: POST, poll, GET.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
DATA = HERE.parent / "var" / "demo"
START_SECONDS = 60
BAR, WIDTH = 30, 100
NUMBERS = ("value", "expected", "threshold")
DEEP = {
    "name": "deep sigmoid",
    "network": {"family": "dnn", "hidden": [32] * 12, "activation": "sigmoid"},
    "data": {"dataset": "digits"},
    "training": {"epochs": 20},
}


def main() -> None:
    started = time.monotonic()
    with service(DATA) as client:
        print(f"Ready after {time.monotonic() - started:.1f} s.\n")
        ok = show(client, json.loads((HERE / "digits_cnn.json").read_text()))
    sys.exit(0 if ok else 1)


@contextmanager
def service(data: Path, **settings: str) -> Iterator[httpx.Client]:
    """One for the time being, with its data and its log in a folder; the client has its key."""
    port, key = free_port(), secrets.token_hex(16)
    own = {"DESCENT_DATA": str(data), "DESCENT_PORT": str(port), "DESCENT_API_KEY": key}
    data.mkdir(parents=True, exist_ok=True)
    log = data / "service.log"
    print(f"Starting Descent on http://127.0.0.1:{port} (log: {os.path.relpath(log)}) ...", flush=True)
    with log.open("w") as sink:
        line = [sys.executable, "-m", "service"]
        process = subprocess.Popen(line, env=os.environ | own | settings, stdout=sink, stderr=sink)
    try:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=90) as client:
            await_ready(client, process)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def await_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    for _ in range(START_SECONDS * 10):
        if process.poll() is not None:
            sys.exit(f"The service ended with code {process.returncode}; its log says why.")
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    sys.exit("The service did not become ready; its log says why.")


def show(client: httpx.Client, definition: dict[str, Any]) -> bool:
    """A job that learns, one that does not, and its repair."""
    print("1. A network that learns (examples/digits_cnn.json)\n")
    job = follow(client, post(client, "/v1/jobs", definition))
    if job["status"] != "succeeded":
        print(f"The job has {job['status']}: {json.dumps(job['error'])}")
        return False
    print_epochs(client, job)
    print_gradients(client, job)
    print_diagnosis(client, job)
    print("\n\n2. A network that does not: twelve sigmoid layers\n")
    sick = follow(client, post(client, "/v1/jobs", DEEP))
    print_diagnosis(client, sick)
    print("\n\n3. Its first remedy, as a new job\n")
    child = follow(client, post(client, sick["links"]["repairs"]))
    print_diagnosis(client, child)
    print_where_next(job)
    return True


def post(client: httpx.Client, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    reply = client.post(path, json=body or {}).raise_for_status()
    job: dict[str, Any] = reply.json()
    print(f"POST {path}\n{reply.status_code} {reply.reason_phrase}: {job['id']}")
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
    if sys.stdout.isatty():
        print()
    return job


def draw(job: dict[str, Any]) -> None:
    progress, metrics = job["progress"], job["metrics"] or {}
    filled = round(BAR * progress["fraction"])
    accuracy = metrics.get("validation_accuracy")
    text = f"validation accuracy {accuracy:.3f}" if accuracy is not None else ""
    bar = f"[{'#' * filled}{'.' * (BAR - filled)}]"
    line = f"{job['status']:<9} {bar} epoch {progress['epoch']}/{progress['epochs']} {text}"
    if sys.stdout.isatty():
        print(f"\r{line:<90}", end="", flush=True)
    elif job["terminal"]:
        print(line)


def print_epochs(client: httpx.Client, job: dict[str, Any]) -> None:
    columns = client.get(f"/v1/jobs/{job['id']}/metrics").raise_for_status().json()
    names = ["epoch", "train_loss", "validation_loss", "train_accuracy", "validation_accuracy"]
    print("\n" + "".join(f"{name:>21}" for name in names))
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


def print_diagnosis(client: httpx.Client, job: dict[str, Any]) -> None:
    """Whether it learned; why not, and what would help; or how far it is from each fault."""
    found = client.get(job["links"]["diagnosis"]).raise_for_status().json()
    timings = job["timings"]
    took = f"{timings['steps']} steps in {timings['training']:.1f} s on {job['device']}"
    print(f"\nGET {job['links']['diagnosis']}")
    print(f"  {found['verdict'].upper()}: skill {number(found['skill'])} of 1, {took}.")
    for finding in found["findings"]:
        print_finding(finding)
    if margins := sorted(found["margins"].items(), key=lambda margin: margin[1]):
        away = ", ".join(f"{code} {times:.1f}" for code, times in margins)
        text = f"Factors between its numbers and a fault: {away}."
        print(textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  "))
    if "repair" in found:
        print_repair(found["repair"])


def print_finding(finding: dict[str, Any]) -> None:
    since = "" if finding["first_step"] is None else f", first seen at step {finding['first_step']}"
    print(f"\n  {finding['severity']} {finding['code']}{since}")
    print(textwrap.fill(finding["explanation"], WIDTH, initial_indent="    ", subsequent_indent="    "))
    for measured in finding["evidence"]:
        numbers = [f"{name} {measured[name]:<10.3g}" for name in NUMBERS if measured[name] is not None]
        print(f"    {measured['statistic']:<20} {'  '.join(numbers)}".rstrip())
    for remedy in finding["remedies"][:1]:
        changes = ", ".join(f"{change['path']} = {json.dumps(change.get('value'))}" for change in remedy["patch"])
        print(f"    remedy {remedy['id']}: {changes}")


def print_repair(repair: dict[str, Any]) -> None:
    """What became of what the remedy was for."""
    metric = repair["metric"]
    before, after = number(metric["before"]), number(metric["after"])
    became = {True: "gone", False: "still there"}
    gone = ", ".join(f"{finding['code']} is {became[finding['gone']]}" for finding in repair["findings"])
    print(f"\n  {repair['remedy']}: {gone}; {metric['name']} {before} -> {after}")
    print(f"  {'Cured.' if repair['cured'] else 'Not cured.'}")


def number(value: float | None) -> str:
    return "unknown" if value is None else f"{round(value, 2) + 0.0:.2f}"


def print_where_next(job: dict[str, Any]) -> None:
    print("\n\nWhere to look next")
    print("  make serve          the service for yourself: its dashboard at /, its API described at /docs")
    print("  examples/*.json     more jobs to POST: DNN, CNN and RNN")
    print("  docs/diagnosis.md   every finding, and how it is decided")
    print(f"  GET {job['links']['gradients']}?statistic=update_ratio  and more of each tensor and layer")


if __name__ == "__main__":
    main()
