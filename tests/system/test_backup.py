"""A copy that is taken by the commands of docs/operations.md while jobs run is a service again elsewhere."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import make_url

from tests.system.conftest import a_stack
from tests.system.invariants import check_invariants
from tests.system.servers import DatabaseServer
from tests.system.stack import Stack
from tests.waiting import await_true

pytestmark = pytest.mark.long
"""It starts a second service."""

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
BLOCKS: list[str] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
JOB: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [16]},
    "data": {"dataset": "digits"},
    "training": {"epochs": 60, "deterministic": True},
}


def block(first: str, without: str = "") -> str:
    """The commands that begin like this, less the lines about another storage."""
    (found,) = [block for block in BLOCKS if block.startswith(first)]
    return "\n".join(line for line in found.splitlines() if not without or without not in line)


def shell(commands: str, folder: Path, stack: Stack) -> None:
    """In a folder with `var`, the data folder of a service, and `backup`."""
    environment = dict(os.environ)
    if isinstance(stack.database, DatabaseServer):
        environment["DATABASE"] = make_url(stack.database_url).set(drivername="postgresql").render_as_string(False)
        environment["PATH"] = f"{stack.database.installed.bin_path}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def weights_of(stack: Stack, job_id: str) -> httpx.Response:
    return stack.client.get(f"/v1/jobs/{job_id}/artifacts/weights.safetensors")


@pytest.fixture
def other(stack: Stack, tmp_path: Path) -> Iterator[Stack]:
    """A second service that was not started yet, on the same kind of back end."""
    data = tmp_path / "other"
    data.mkdir()
    with a_stack(stack.backend.name, data) as other:
        yield other


def test_a_copy_of_a_running_service_is_one_too(stack: Stack, other: Stack, tmp_path: Path) -> None:
    ended = stack.train(JOB | {"name": "ended"})
    await_true(lambda: weights_of(stack, ended["id"]).status_code == 200)
    weights = weights_of(stack, ended["id"])
    running = stack.post(JOB | {"name": "running", "training": {"epochs": 2000, "deterministic": True}})
    stack.await_runner(running)
    waiting = stack.post(JOB | {"name": "waiting"})
    (tmp_path / "backup").mkdir()
    (tmp_path / "var").symlink_to(stack.data)
    files = "cp --archive var/objects backup/"
    if stack.backend.name == "embedded":
        shell(block("python3 -c"), tmp_path, stack)
    else:
        shell(block("pg_dump", without="aws") + f"\n{files}", tmp_path, stack)
    stack.cancel(running, "force")

    (tmp_path / "var").unlink()
    (tmp_path / "var").symlink_to(other.data)
    if other.backend.name == "embedded":
        shell(block("cp backup"), tmp_path, other)
    else:
        shell(block("pg_restore", without="aws") + "\ncp --archive backup/objects var/", tmp_path, other)
    other.start()
    assert other.job(ended["id"])["weights_sha256"] == ended["weights_sha256"]
    assert weights_of(other, ended["id"]).content == weights.content
    assert other.follow(running, seconds=200)["status"] == "succeeded"
    assert other.follow(waiting)["status"] == "succeeded"
    assert other.job(waiting)["weights_sha256"] == ended["weights_sha256"], "the same definition"
    check_invariants(other)
