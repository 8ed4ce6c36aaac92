"""`python -m benchmarks --only larger_than_memory`: a data set of 5 GB, uploaded and trained on with 2 GB of memory.

`DESCENT_BENCH_GIGABYTES` says another size; the limit is two fifths of it. The upload goes through the service; the
worker, its runners included, lives in a memory cgroup where this machine lets us make one (then the limit counts the
pages of files too), else under a limit of its private memory (RLIMIT_DATA).
"""

import os
import resource
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from benchmarks.process_memory import held
from benchmarks.report import Table
from tests.system.servers import Embedded
from tests.system.stack import Stack

FEATURES = 256
CHUNK_ROWS = 100_000
GROUPS = Path("/sys/fs/cgroup")
COLUMNS = (
    "data, MB",
    "limit, MB",
    "by",
    "upload, s",
    "ready after, s",
    "trained, s",
    "rows a second",
    "most held, MB",
    "job",
)
NOTE = """An NPZ of float32 [rows, 256] with ten classes, uploaded over HTTP and trained on for one epoch by the default
dnn of one hidden layer. `ready after` is from the last byte sent. The limit is that of all of a worker's processes
together where it is a cgroup, pages of files included; most held is the private memory (RssAnon) of the largest."""


def run(quick: bool) -> list[Table]:
    """In quick mode 200 MB."""
    gigabytes = float(os.environ.get("DESCENT_BENCH_GIGABYTES", "0.2" if quick else "5"))
    rows = int(gigabytes * 1e9 / 4 / FEATURES)
    limit = max(int(gigabytes * 0.4e9), 600_000_000)
    with tempfile.TemporaryDirectory() as name:
        path = write(Path(name) / "large.npz", rows)
        with memory_limit(limit) as limited:
            return [
                Table(
                    "Larger than memory", COLUMNS, [measured(Path(name), path, limit, limited)], " ".join(NOTE.split())
                )
            ]


class Limit:
    """What a process and all that it starts may hold."""

    def __init__(self, limit: int, group: Path | None) -> None:
        self.limit = limit
        self.group = group
        self.kind = "RLIMIT_DATA" if group is None else "cgroup"

    def take(self, pids: list[int]) -> None:
        for pid in pids:
            if self.group is None:
                resource.prlimit(pid, resource.RLIMIT_DATA, (self.limit, self.limit))
            else:
                (self.group / "cgroup.procs").write_text(str(pid))


@contextmanager
def memory_limit(limit: int) -> Iterator[Limit]:
    """A memory cgroup, of whichever version there is."""
    parents = {GROUPS / "memory": "memory.limit_in_bytes", GROUPS: "memory.max"}
    group = None
    for parent, name in parents.items():
        candidate = parent / f"descent-{os.getpid()}"
        with suppress(OSError):
            candidate.mkdir()
            try:
                (candidate / name).write_text(str(limit))
                group = candidate
                break
            except OSError:
                candidate.rmdir()
    try:
        yield Limit(limit, group)
    finally:
        if group is not None:
            for _ in range(100):
                with suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.1)


def write(path: Path, rows: int) -> Path:
    """A class is a direction in which its rows are shifted."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((10, FEATURES)).astype(np.float32)
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as file:
            npy.write_array_header_1_0(file, header((rows, FEATURES), "<f4"))
            for start in range(0, rows, CHUNK_ROWS):
                count = min(CHUNK_ROWS, rows - start)
                x = rng.standard_normal((count, FEATURES), np.float32) + centres[np.arange(start, start + count) % 10]
                file.write(x.data)
        with archive.open("y.npy", "w") as file:
            npy.write_array_header_1_0(file, header((rows,), "<i8"))
            file.write((np.arange(rows) % 10).data)
    return path


def header(shape: tuple[int, ...], descr: str) -> dict[str, Any]:
    return {"descr": descr, "fortran_order": False, "shape": shape}


def measured(folder: Path, path: Path, limit: int, limited: Limit) -> list[Any]:
    data = folder / "data"
    data.mkdir()
    settings = {
        "DESCENT_UPLOAD_BYTES": str(path.stat().st_size),
        "DESCENT_INGEST_WAIT_SECONDS": "0",
        # A worker knows the machine's memory, and not its group's.
        "DESCENT_RESIDENT_BYTES": str(limit // 4),
        "DESCENT_STALL_SECONDS": "300",
        "DESCENT_CHECKPOINT_SECONDS": "60",
    }
    stack = Stack(data, Embedded(data), **settings)
    stack.start()
    try:
        limited.take([*stack.workers(), *stack.forked()])
        started = time.monotonic()
        dataset = upload(stack, path)
        uploaded = time.monotonic()
        while (found := stack.client.get(f"/v1/datasets/{dataset}").json())["status"] == "ingesting":
            time.sleep(0.1)
        ready = time.monotonic()
        assert found["status"] == "ready", found["error"]
        peak = Peak(stack)
        job = stack.train(
            {
                "network": {"family": "dnn", "hidden": [64]},
                "data": {"dataset": dataset},
                "training": {"epochs": 1, "batch_size": 256},
            }
        )
        trained = time.monotonic() - ready
        figures = uploaded - started, ready - uploaded, trained, found["rows"] / trained, peak.stop() / 1e6
        return [path.stat().st_size / 1e6, limit / 1e6, limited.kind, *figures, outcome(job)]
    finally:
        stack.stop()
        stack.client.close()


def outcome(job: dict[str, Any]) -> str:
    if job["status"] != "succeeded":
        return f"{job['status']}: {(job['error'] or {}).get('detail')}"
    return f"succeeded, validation accuracy {job['best']['validation_accuracy']:.3f}"


def upload(stack: Stack, path: Path) -> str:
    with path.open("rb") as file:
        reply = stack.client.post("/v1/datasets", content=file, timeout=600)
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


class Peak:
    """Most private bytes of any of the worker's processes."""

    def __init__(self, stack: Stack) -> None:
        self._stack, self._most, self._ended = stack, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            pids = {*self._stack.workers(), *self._stack.forked(), *self._stack.fork_servers()}
            self._most = max(self._most, *map(private, pids), 0)

    def stop(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._most


def private(pid: int) -> int:
    with suppress(OSError, StopIteration):
        return held("RssAnon", pid)
    return 0
