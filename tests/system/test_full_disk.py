"""Where the disk is full, what cannot be kept is refused, and what was accepted goes on when there is room again."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import compiled
from tests.system.invariants import await_no_process, check_invariants
from tests.system.servers import BACKENDS
from tests.system.stack import Stack, same_result
from tests.waiting import await_true

TINY: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [4]},
    "data": {"dataset": "xor"},
    "training": {"epochs": 2},
}
LONG: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [32]},
    "data": {"dataset": "digits"},
    "training": {"epochs": 150},
}
MOST = 1000
"""Posts until a database finds no room in its files any more."""


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that PostgreSQL, which refuses to run as root, may enter."""
    with tempfile.TemporaryDirectory(prefix="descent-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in BACKENDS])
def small(
    request: pytest.FixtureRequest,
    public: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stack]:
    """A service and its servers, on a disk that is full while the file `full` is there."""
    data = tmp_path_factory.mktemp("small")
    monkeypatch.setenv("FULL_WHILE", str(public / "full"))
    monkeypatch.setenv("LD_PRELOAD", compiled("full", public))
    backend = BACKENDS[request.param](data)
    stack = Stack(data, backend)
    monkeypatch.delenv("LD_PRELOAD")
    stack.start()
    yield stack
    stack.stop()
    await_no_process(stack)
    backend.close()


@pytest.mark.quick_on("embedded")
@pytest.mark.fault(15)
def test_a_full_disk_loses_no_job_that_was_accepted_and_accepts_none_that_it_would_lose(
    small: Stack, public: Path
) -> None:
    running = small.post(LONG)
    small.await_runner(running)
    accepted, full = [running], public / "full"
    full.touch()
    for _ in range(MOST):
        reply = small.client.post("/v1/jobs", json=TINY)
        if reply.status_code == 503:
            break
        assert reply.status_code == 202, reply.text
        accepted.append(reply.json()["id"])
    assert (reply.status_code, reply.json()["code"]) == (503, "database_away")
    assert small.job(running)["id"] == running
    checkpoints = [event for event in small.events(running) if event["type"] == "job.checkpoint"]
    assert all("failed" in event["data"] for event in checkpoints[1:])
    full.unlink()
    await_true(lambda: small.client.post("/v1/jobs/job_none/cancel").status_code == 404, 30)
    for job_id in accepted:
        assert small.follow(job_id)["status"] == "succeeded"
    listed = {job["id"] for job in small.client.get("/v1/jobs", params={"limit": 200}).json()["items"]}
    assert listed == set(sorted(accepted, reverse=True)[:200])
    same_result(small, running, small.train(LONG)["id"])
    check_invariants(small)


@pytest.mark.quick_on("embedded")
@pytest.mark.fault(15)
def test_a_worker_begins_no_job_while_the_disk_is_nearly_full(stack: Stack) -> None:
    with stack.another_worker(DESCENT_FREE_DISK_BYTES=str(10**18)) as cramped:
        with stack.worker_asleep():
            job_id = stack.post(TINY)
            assert stack.job(job_id, wait=4)["status"] == "queued"
            with stack.reading() as connection:
                assert cramped in stack.living(connection)
        assert stack.follow(job_id)["status"] == "succeeded"
