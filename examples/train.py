"""`python examples/train.py http://127.0.0.1:8700 KEY [job.json]`: submit, follow, download, by httpx.

The model is left in model.onnx.
"""

import base64
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

HERE = Path(__file__).parent
TRIES = 5


def main() -> None:
    url, key, *others = sys.argv[1:]
    definition = json.loads(Path(others[0] if others else HERE / "digits_dnn.json").read_text())
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=90) as client:
        job = follow(client, submit(client, definition))
        if job["status"] != "succeeded":
            sys.exit(f"{job['id']} {job['status']}: {job['error']}")
        print(f"{job['verdict']}, best epoch {job['best']}")
        download(client, f"/v1/jobs/{job['id']}/artifacts/model.onnx", Path("model.onnx"))


def submit(client: httpx.Client, definition: dict[str, Any]) -> str:
    """The id of the job. Lost answers are asked for again: with its Idempotency-Key a job is made once."""
    headers = {"Idempotency-Key": str(uuid4())}
    for attempt in range(TRIES):
        try:
            reply = client.post("/v1/jobs", json=definition, headers=headers)
        except httpx.TransportError:
            time.sleep(2**attempt)
            continue
        if reply.status_code in (429, 503):
            time.sleep(int(reply.headers["Retry-After"]))
            continue
        if reply.is_error:
            sys.exit(complaint(reply))
        print(f"{reply.json()['id']} is submitted")
        return str(reply.json()["id"])
    sys.exit("The service does not answer.")


def follow(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """The job once it has ended. Each call answers when the job is no more what the ETag says, or with 304."""
    known, job = {}, {"terminal": False}
    while not job["terminal"]:
        reply = client.get(f"/v1/jobs/{job_id}", params={"wait": 60}, headers=known)
        if reply.status_code == 304:
            continue
        job = reply.raise_for_status().json()
        known = {"If-None-Match": reply.headers["ETag"]}
        print(f"{job['status']}, epoch {job['progress']['epoch']} of {job['progress']['epochs']}")
    return job


def download(client: httpx.Client, path: str, file: Path) -> None:
    """Checked against its checksum. Files are made just after a job's end: until then the answer is 409."""
    while (reply := client.get(path)).status_code == 409 and reply.json()["code"] == "model_pending":
        time.sleep(int(reply.headers["Retry-After"]))
    if reply.is_error:
        sys.exit(complaint(reply))
    digest = base64.b64encode(hashlib.sha256(reply.content).digest()).decode()
    if reply.headers["Repr-Digest"] != f"sha-256=:{digest}:":
        sys.exit(f"{file} came in otherwise than it was sent.")
    file.write_bytes(reply.content)
    print(f"{file} has {len(reply.content)} bytes")


def complaint(reply: httpx.Response) -> str:
    """What is wrong, by place."""
    problem = reply.json()
    places = [f"\n  {item['pointer']}: {item['detail']} {item['hint']}" for item in problem["errors"]]
    return f"{problem['status']} {problem['code']}: {problem['detail']}{''.join(places)}"


if __name__ == "__main__":
    main()
