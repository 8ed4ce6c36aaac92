"""Ten thousand bodies at a real process of the API, whose memory stays as it is. `make fuzz` runs the long form."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, seed, settings

from migrations.migrate import migrate
from models.settings import Settings
from service.serve import command
from tests.conftest import await_port, free_port
from tests.fuzzing import Body, bodies, judge
from tests.system.servers import children_of, die_with_parent

KEY = "a-key-for-the-system-tests-0123456789"
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
SETTLED_BYTES = 400_000_000
"""What the API may take after a fifth of them: bodies of a megabyte are among them, and the heap keeps its size."""
GROWTH_BYTES = 25_000_000
"""Caches and the heap settle during the first fifth; what comes after it has to stay below that."""


@contextmanager
def serving(folder: Path) -> Iterator[tuple[httpx.Client, int]]:
    """An API without workers, and the process that answers."""
    chosen = Settings(data=folder, port=free_port())
    migrate(chosen.database)
    names = {"DESCENT_DATA": str(folder), "DESCENT_PORT": str(chosen.port), "DESCENT_API_KEY": KEY}
    limits = {"MALLOC_ARENA_MAX": "2"}
    server = subprocess.Popen(command(chosen), env=os.environ | names | limits, preexec_fn=die_with_parent)
    try:
        await_port(chosen.port, 60)
        with httpx.Client(base_url=f"http://127.0.0.1:{chosen.port}", headers=HEADERS, timeout=60) as client:
            assert client.get("/healthz").status_code == 200
            yield client, children_of(server.pid)[0]
    finally:
        server.terminate()
        server.wait(20)


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("times", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_bodies_of_all_kinds_are_answered_and_leave_no_memory_behind(tmp_path: Path, times: int) -> None:
    statuses: dict[int, int] = {}
    memory: list[int] = []
    started = time.monotonic()

    with serving(tmp_path) as (client, pid):

        @seed(8)
        @settings(max_examples=times, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(body=bodies)
        def send(body: Body) -> None:
            reply = client.post("/v1/jobs", content=body.content)
            judge(reply, reply.headers["content-type"], accepted=202)
            statuses[reply.status_code] = statuses.get(reply.status_code, 0) + 1
            memory.append(resident_bytes(pid))
            if reply.status_code == 202:
                # What is kept of accepted jobs is no leak; none is.
                job = reply.json()["links"]["self"]
                client.post(f"{job}/cancel")
                assert client.delete(job).status_code == 204

        send()
        assert client.get("/healthz").status_code == 200
    sent, settled = len(memory), memory[len(memory) // 5]
    growth = memory[-1] - settled
    seconds = time.monotonic() - started
    told = f"{sent} bodies in {seconds:.0f} s: {dict(sorted(statuses.items()))}; {settled / 1e6:.0f} MB"
    print(f"\n{told} after a fifth of them, {growth / 1e6:+.1f} MB since")
    assert sent >= times
    assert {202, 400, 422} <= statuses.keys()
    assert settled < SETTLED_BYTES
    assert times < 1000 or growth < GROWTH_BYTES
