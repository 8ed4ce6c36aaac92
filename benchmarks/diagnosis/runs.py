"""Runs definitions in processes of their own, two at a time, and keeps what they came to under var/zoo/.

    for definition, record in Runs().all([...]): ...

A record is found again by the definition's SHA-256 and the versions below. Killed at any time, a second call goes on.
"""

import json
import multiprocessing
import os
import pickle
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.diagnosis.outcome import Outcome
from models.admission import admit
from models.capacity import Capacity
from models.definitions.job import JobDefinition
from models.diagnosis.evidence import Evidence, Gathering
from models.reports import Built, Ended, Report

ENGINE = "1"
"""Raise it when training comes to other numbers: everything is run again."""
RECORDING = "2"
"""Raise it when other evidence is recorded: only the runs whose evidence is asked for are made again."""
FOLDER = Path(__file__).parents[2] / "var" / "zoo"
MOST_SECONDS = 30.0
"""Of the processor, as all seconds of a run: others may be at work beside it."""
ROOM = Capacity(memory_bytes=2**36)
Plain = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """A run and, where it was asked for, what was gathered of it."""

    outcome: Outcome
    state: Plain | None = None
    """Of `models.diagnosis.evidence.Gathering`."""

    def evidence(self, definition: Plain) -> Evidence:
        """As after the job's end."""
        assert self.state is not None, "run it with its evidence"
        gathering = Gathering(read(definition), self.outcome.steps)
        gathering.restore(self.state)
        return gathering.evidence(complete=True)


def read(definition: Plain) -> JobDefinition:
    """As the service would store it."""
    return admit(json.dumps(definition).encode(), ROOM).definition


def run(definition: Plain, datasets: Path) -> Record:
    """Trains it in this process."""
    import torch

    from workers.training.job import train_job

    admitted = read(definition)
    gathering, started = Gathering(admitted), time.process_time()
    ended: list[Ended] = []

    def report(report: Report) -> None:
        gathering.see(report)
        if isinstance(report, Built):
            gathering.planned_steps = report.steps
        if isinstance(report, Ended):
            ended.append(report)

    def asked() -> str | None:
        return "cancel" if time.process_time() - started > MOST_SECONDS else None

    error = None
    try:
        train_job(admitted, datasets, torch.device("cpu"), report, asked)
    except Exception as stopped:  # whatever ends a job is its outcome
        error = f"{type(stopped).__name__}: {stopped}"
    if ended and ended[-1].outcome != "succeeded":
        error = f"{ended[-1].outcome} after {time.process_time() - started:.0f} s: {ended[-1].error}"
    epochs = {name: values.tolist() for name, values in gathering.evidence(complete=True).epochs.items()}
    outcome = Outcome(
        epochs,
        time.process_time() - started,
        gathering.planned_steps or 0,
        error,
        ended[-1].statistics_cost if ended else float("nan"),
    )
    return Record(outcome, gathering.state())


class Runs:
    """Records on the disk, made where they are missing."""

    def __init__(self, folder: Path = FOLDER, processes: int = 2) -> None:
        self.folder = folder
        self.processes = processes

    def all(self, definitions: Iterable[tuple[Plain, bool]]) -> Iterator[int]:
        """Makes all that are missing, each `(definition, whether its evidence is wanted)`; yields how many are left."""
        wanted = {key_of(definition): (definition, evidence) for definition, evidence in definitions}
        missing = [(self.folder, *pair) for pair in wanted.values() if not self.has(*pair)]
        if not missing:
            return
        self._ingest()
        context = multiprocessing.get_context("spawn")
        with context.Pool(self.processes, _quiet, maxtasksperchild=500) as pool:
            for done, _ in enumerate(pool.imap_unordered(_run_and_keep, missing), 1):
                yield len(missing) - done

    def get(self, definition: Plain, evidence: bool = False) -> Record:
        """One record, made now if it is missing."""
        if not self.has(definition, evidence):
            self._ingest()
            _quiet()
            _run_and_keep((self.folder, definition, evidence))
        outcome = Outcome(**json.loads(self._file(definition, "json").read_text()))
        if not evidence:
            return Record(outcome)
        state = pickle.loads(zlib.decompress(self._file(definition, "state").read_bytes()))
        return Record(outcome, state)

    def has(self, definition: Plain, evidence: bool = False) -> bool:
        kinds = ("json", "state") if evidence else ("json",)
        return all(self._file(definition, kind).exists() for kind in kinds)

    def _file(self, definition: Plain, kind: str) -> Path:
        return file_of(self.folder, definition, kind)

    def _ingest(self) -> None:
        from workers.datasets.bundled import ingest

        ingest(self.folder / "datasets")


def key_of(definition: Plain) -> str:
    """SHA-256 of its canonical JSON."""
    return sha256(json.dumps(definition, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_of(folder: Path, definition: Plain, kind: str) -> Path:
    key = key_of(definition)
    version = f"{ENGINE}-{RECORDING}" if kind == "state" else ENGINE
    return folder / version / key[:2] / f"{key}.{kind}"


def _quiet() -> None:
    """One thread, and other work goes first."""
    import torch

    torch.set_num_threads(1)
    if os.nice(0) < 10:
        os.nice(10)


def _run_and_keep(task: tuple[Path, Plain, bool]) -> None:
    folder, definition, evidence = task
    record = run(definition, folder / "datasets")
    if evidence:
        _write(file_of(folder, definition, "state"), zlib.compress(pickle.dumps(record.state), 1))
    _write(file_of(folder, definition, "json"), json.dumps(vars(record.outcome)).encode())


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_bytes(data)
    draft.rename(path)
