"""Interrupted anywhere and resumed, a job comes to the same weights and the same record, bit for bit.

`Record` keeps what a supervisor would: the rows of each attempt, less those that the next one's `Resumed` makes void.
"""

import contextlib
import itertools
import logging
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from models import time_axis
from models.definitions.job import JobDefinition
from models.reports import (
    Built,
    Checkpointed,
    CheckpointFailed,
    Ended,
    EpochEnded,
    Facts,
    FirstStep,
    Progress,
    Report,
    Resumed,
    Sampled,
)
from models.series import Chunk
from workers.training import checkpoints as module
from workers.training import metrics, parts, place
from workers.training.checkpoints import Checkpoints, Saver
from workers.training.job import train_job

CPU = torch.device("cpu")
NEVER = 1e9
"""Seconds between checkpoints: those asked for alone."""
Asked = Callable[[], str | None]

IRIS: dict[str, Any] = {"network": {"family": "dnn", "hidden": [8], "dropout": 0.3}, "data": {"dataset": "iris"}}
DIGITS = {"dataset": "digits", "rows": 100}
ROWS = {"dataset": "digits_rows", "rows": 100}
BLOCKS = {"family": "cnn", "blocks": [{"filters": 3, "pool": "max"}], "norm": "batch"}
AUTOENCODER = {"kind": "autoencoder", "epochs": 2}


def a_job(network: Any = None, data: Any = None, gradients: Any = None, **training: Any) -> JobDefinition:
    """Three steps an epoch, and two epochs."""
    plain = {"network": network or IRIS["network"], "data": data or IRIS["data"], "gradients": gradients or {}}
    return JobDefinition.model_validate(plain | {"training": {"batch_size": 40, "epochs": 2} | training})


class Record:
    """Of a job, over its attempts."""

    def __init__(self) -> None:
        self.samples: dict[tuple[str, int], bytes] = {}
        self.epochs: dict[int, str] = {}
        self.checkpoints: list[str] = []
        self.end: Ended | None = None
        self.reports: list[Report] = []
        """Of the last attempt."""

    def take(self, report: Report) -> None:
        self.reports.append(report)
        match report:
            case Resumed():
                self.samples = {key: value for key, value in self.samples.items() if key[1] < report.step}
                self.epochs = {key: value for key, value in self.epochs.items() if key <= report.epoch}
            case Sampled():
                chunk = Chunk.decode(report.data)
                for step, values in zip(chunk.steps.tolist(), chunk.values, strict=True):
                    assert (report.series, step) not in self.samples, "a step is recorded once"
                    self.samples[report.series, step] = values.tobytes()
            case EpochEnded():
                assert report.epoch not in self.epochs, "an epoch is recorded once"
                summary = report.summary and {name: repr(value) for name, value in vars(report.summary).items()}
                self.epochs[report.epoch] = repr((report.step, report.metrics, report.best, report.run, summary))
            case Checkpointed():
                self.checkpoints.append(report.name)
            case Ended():
                self.end = report

    @property
    def result(self) -> Any:
        assert self.end is not None
        epochs = [self.epochs[epoch] for epoch in sorted(self.epochs)]
        assert sorted(self.epochs) == list(range(1, len(epochs) + 1))
        return self.end.outcome, self.end.weights_sha256, repr(self.end.runs), epochs, sorted(self.samples.items())


class Jobs:
    """Attempts at a job, one after the other."""

    def __init__(self, job: JobDefinition, datasets: Path, folder: Path, resident_bytes: float = 1e12) -> None:
        self.job, self.datasets, self.folder, self.resident_bytes = job, datasets, folder, resident_bytes
        self.record = Record()
        self.attempts = 0

    def attempt(self, asked: Asked, resume_from: str | None = None, every_seconds: float = NEVER) -> str:
        """Its outcome."""
        self.attempts += 1
        self.record.reports = []
        checkpoints = Checkpoints(self.folder, self.attempts, every_seconds, resume_from)
        torch.manual_seed(self.attempts)  # as in another process: nothing is left of the attempt before
        train_job(self.job, self.datasets, CPU, self.record.take, asked, self.resident_bytes, checkpoints)
        assert self.record.end is not None
        return self.record.end.outcome

    def resumed(self, asked: Asked = lambda: None) -> str:
        """From the last checkpoint."""
        return self.attempt(asked, self.record.checkpoints[-1] if self.record.checkpoints else None)


def undisturbed(job: JobDefinition, folder: Path, resident_bytes: float = 1e12) -> Any:
    record = Record()
    train_job(job, folder, CPU, record.take, lambda: None, resident_bytes)
    return record.result


def at(call: int, what: str = "leave") -> Asked:
    """Asked for at this look, counted from 1, and from there on."""
    calls = itertools.count(1)
    return lambda: what if next(calls) >= call else None


def optimizer(kind: str, **options: Any) -> dict[str, Any]:
    return {"optimizer": {"kind": kind, "learning_rate": 0.01} | options}


NOISY = {"dataset": "iris", "label_noise": 0.8}
SCENARIOS: dict[str, JobDefinition] = {
    "sgd": a_job(**optimizer("sgd", momentum=0.9, nesterov=True)),
    "adam": a_job(**optimizer("adam"), gradients={"every_steps": 2}),
    "adamw": a_job(**optimizer("adamw"), weight_decay=0.1, schedule={"kind": "one_cycle"}),
    "rmsprop": a_job(**optimizer("rmsprop", momentum=0.5), schedule={"kind": "cosine", "warmup_steps": 4}),
    "adagrad": a_job(**optimizer("adagrad"), clip={"norm": 0.1}, precision="bfloat16"),
    "batch norm": a_job(BLOCKS, DIGITS, batch_size=30, accumulate=2),
    "lstm": a_job({"family": "rnn", "cell": "lstm", "hidden": 4}, ROWS, {"time": True}, epochs=3),
    "regression": a_job(data={"dataset": "diabetes", "rows": 150}, clip={"value": 0.01}),
    "no validation": a_job(data=IRIS["data"] | {"validation": None}, class_weights="balanced"),
    "plateau": a_job(data=NOISY, epochs=5, schedule={"kind": "plateau", "patience": 0, "factor": 0.5},
                     **optimizer("adam", learning_rate=0.1)),
    "patience": a_job(data=NOISY, epochs=20, stop={"patience": 2}, **optimizer("adam", learning_rate=0.3)),
    "tolerance": a_job(epochs=20, stop={"tolerance": 0.1}),
    "max steps": a_job(epochs=None, max_steps=5),
    "pre-training": a_job({"family": "dnn", "hidden": [6, 4], "norm": "batch", "dropout": 0.2}, epochs=1,
                          pretraining=AUTOENCODER),
    "restarts": a_job(epochs=1, restarts=3, seed=2**32 - 2),
    "restarts of both": a_job(epochs=1, restarts=2, pretraining=AUTOENCODER | {"epochs": 1}),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As jobs have it; several would wait for one another on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are folded, and blocks read, several times an epoch; gradients over time are of a few steps."""
    monkeypatch.setattr(metrics, "FOLDED_LOSSES", 2)
    monkeypatch.setattr(parts, "BLOCK_VALUES", 1)
    monkeypatch.setattr(time_axis, "MOST_SAMPLES", 2)


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_job_that_is_left_anywhere_goes_on_as_if_it_had_not_been(name: str, folder: Path, tmp_path: Path) -> None:
    """After every step, batch of validation, epoch and run."""
    job = SCENARIOS[name]
    expected = undisturbed(job, folder)
    for call in itertools.count(1):
        jobs = Jobs(job, folder, tmp_path / str(call))
        if jobs.attempt(at(call)) == "succeeded":
            break
        assert jobs.resumed() == "succeeded"
        assert jobs.record.result == expected, f"left at look {call}"
    assert call > len(expected[3])


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("every", [3, 4])
def test_a_job_may_be_left_again_and_again(name: str, every: int, folder: Path, tmp_path: Path) -> None:
    jobs = Jobs(SCENARIOS[name], folder, tmp_path)
    while jobs.resumed(at(every, "pause")) != "succeeded":
        assert jobs.attempts < 100
    assert jobs.attempts > 2
    assert jobs.record.result == undisturbed(SCENARIOS[name], folder)


class Killed(Exception):
    """In place of a signal."""


def killed_at(call: int) -> Asked:
    calls = itertools.count(1)

    def asked() -> None:
        if next(calls) == call:
            raise Killed

    return asked


@pytest.mark.parametrize("name", ["adam", "batch norm", "lstm", "pre-training", "restarts of both"])
@pytest.mark.parametrize("back", [1, 2, 5])
def test_what_was_recorded_beyond_a_checkpoint_is_void(name: str, back: int, folder: Path, tmp_path: Path) -> None:
    expected = undisturbed(SCENARIOS[name], folder)
    for call in (6, 9):
        jobs = Jobs(SCENARIOS[name], folder, tmp_path / str(call))
        with pytest.raises(Killed):
            jobs.attempt(killed_at(call), every_seconds=0)
        assert len(jobs.record.checkpoints) == call - 1
        assert jobs.attempt(lambda: None, jobs.record.checkpoints[-back]) == "succeeded"
        assert jobs.record.result == expected


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize("network", [IRIS["network"], BLOCKS])
def test_data_on_the_disk_are_read_on_from_where_they_were(network: Any, folder: Path, tmp_path: Path) -> None:
    job = a_job(network, DIGITS, batch_size=16)
    expected = undisturbed(job, folder)
    for call in (1, 4, 5, 6, 7, 9):
        jobs = Jobs(job, folder, tmp_path / str(call), resident_bytes=0)
        assert jobs.attempt(at(call)) == "left"
        assert jobs.resumed() == "succeeded"
        assert jobs.record.result == expected


def types_of(reports: list[Report]) -> list[type[Report]]:
    return [type(report) for report in reports]


def test_an_attempt_says_first_where_it_goes_on_and_takes_no_first_step_again(folder: Path, tmp_path: Path) -> None:
    jobs = Jobs(a_job(epochs=3), folder, tmp_path)
    assert jobs.attempt(at(7, "pause")) == "paused"
    kinds = types_of(jobs.record.reports)
    assert kinds[:3] == [Built, Facts, FirstStep]
    assert kinds[-2:] == [Checkpointed, Ended]
    *_, written, end = jobs.record.reports
    assert isinstance(written, Checkpointed)
    assert (written.name, written.step, written.epoch) == ("1-5-1.pt", 5, 1)
    assert written.size == (tmp_path / written.name).stat().st_size
    assert isinstance(end, Ended)
    assert end.weights_sha256 is None
    (epoch,) = [report for report in jobs.record.reports if isinstance(report, EpochEnded)]
    assert jobs.resumed() == "succeeded"
    measured = {"epoch": 1, **epoch.metrics}
    assert jobs.record.reports[0] == Resumed(5, 1, measured, measured)
    kinds = types_of(jobs.record.reports)
    assert kinds[1] is Built
    assert not {FirstStep, Resumed} & set(kinds[1:])


def test_a_first_attempt_does_not_resume_and_a_later_one_without_a_checkpoint_begins_anew(
    folder: Path, tmp_path: Path
) -> None:
    jobs = Jobs(a_job(), folder, tmp_path)
    assert jobs.attempt(at(2, "cancel")) == "cancelled"
    assert jobs.record.checkpoints == []
    assert Resumed not in types_of(jobs.record.reports)
    assert jobs.resumed() == "succeeded"
    assert jobs.record.reports[0] == Resumed(0, 0, None, None)
    assert types_of(jobs.record.reports).count(FirstStep) == 1
    assert jobs.record.result == undisturbed(a_job(), folder)


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def damaged(path: Path) -> None:
    """Weights that are not those written; torch reads them without a word."""
    content = bytearray(path.read_bytes())
    weights = torch.load(path, weights_only=True)["under_way"]["loop"]["network"]["hidden_0.linear.weight"]
    at = content.index(weights.numpy().tobytes())
    content[at : at + 4] = b"\0\0\0\0"
    path.write_bytes(content)


def of_another_format(path: Path) -> None:
    torch.save({**torch.load(path, weights_only=True), "format": 0}, path)


@pytest.mark.parametrize("spoil", [torn, damaged, Path.unlink, of_another_format, lambda path: path.write_bytes(b"")])
def test_without_a_checkpoint_that_can_be_read_a_job_begins_anew(
    spoil: Callable[[Path], None], folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = Jobs(a_job(), folder, tmp_path)
    jobs.attempt(at(5))
    spoil(tmp_path / jobs.record.checkpoints[-1])
    with caplog.at_level(logging.WARNING):
        assert jobs.resumed() == "succeeded"
    assert "begins anew" in caplog.text
    assert jobs.record.reports[0] == Resumed(0, 0, None, None)
    assert jobs.record.result == undisturbed(a_job(), folder)


def a_file_in_place_of_the_folder(folder: Path) -> None:
    folder.write_text("")


def a_full_disk(folder: Path) -> None:
    folder.mkdir()
    for step in range(7):
        for count in range(10):
            (folder / f"1-{step}-{count}.tmp").symlink_to("/dev/full")


@pytest.mark.parametrize("hinder", [a_file_in_place_of_the_folder, a_full_disk])
def test_a_checkpoint_that_cannot_be_written_stops_nothing(
    hinder: Callable[[Path], None], folder: Path, tmp_path: Path
) -> None:
    hinder(tmp_path / "job")
    jobs = Jobs(a_job(), folder, tmp_path / "job")
    assert jobs.attempt(lambda: None, every_seconds=0) == "succeeded"
    failed = [report for report in jobs.record.reports if isinstance(report, CheckpointFailed)]
    assert [report.step for report in failed] == [1, 2, 3, 3, 3, 4, 5, 6, 6]
    assert all("Error: [Errno" in report.detail for report in failed)
    assert jobs.record.result == undisturbed(a_job(), folder)


def test_a_job_is_paused_also_where_its_checkpoint_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "job").write_text("")
    jobs = Jobs(a_job(), folder, tmp_path / "job")
    assert jobs.attempt(at(2, "pause")) == "paused"
    assert types_of(jobs.record.reports)[-2:] == [CheckpointFailed, Ended]
    assert any(step == 1 for _, step in jobs.record.samples), "what was sampled is reported all the same"


CHILD = """
import os, pickle, signal, sys
from pathlib import Path
import torch
from models.definitions.job import JobDefinition
from workers.training import checkpoints
from workers.training.job import train_job

definition, datasets, folder, reports, where, count = pickle.loads(bytes.fromhex(sys.argv[1]))
module, name = (torch, "save") if where == "save" else (checkpoints.os, where)
plain, calls = getattr(module, name), iter(range(1, 10**6))

def deadly(*arguments):
    if next(calls) == count:
        if where == "save":
            arguments[1].write(b"half of it")
            arguments[1].flush()
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(*arguments)

setattr(module, name, deadly)
with open(reports, "wb", buffering=0) as file:
    report = lambda report: file.write(pickle.dumps(report))
    job, where = JobDefinition.model_validate(definition), checkpoints.Checkpoints(folder, 1, 0.0)
    train_job(job, datasets, torch.device("cpu"), report, lambda: None, 1e12, where)
"""


@pytest.mark.parametrize(("where", "count", "written"), [("save", 5, 4), ("fsync", 8, 3)])
def test_a_process_that_is_killed_while_it_writes_leaves_the_checkpoint_before(
    where: str, count: int, written: int, folder: Path, tmp_path: Path
) -> None:
    """fsync is called for the folder's parent, and then twice for each checkpoint; the eighth is before a rename."""
    job, reports = SCENARIOS["adam"], tmp_path / "reports"
    work = (job.model_dump(mode="json"), folder, tmp_path / "job", reports, where, count)
    child = subprocess.run([sys.executable, "-c", CHILD, pickle.dumps(work).hex()], check=False)
    assert child.returncode == -9
    jobs = Jobs(job, folder, tmp_path / "job")
    jobs.attempts = 1
    for report in unpickled(reports):
        jobs.record.take(report)
    assert len(jobs.record.checkpoints) == written
    assert len([*(tmp_path / "job").glob("*.pt")]) == written
    assert jobs.resumed() == "succeeded"
    assert jobs.record.result == undisturbed(job, folder)


def unpickled(path: Path) -> Iterator[Report]:
    with path.open("rb") as file, contextlib.suppress(EOFError):
        while True:
            yield pickle.load(file)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("every", "epoch", "first"), [(60.0, 1.0, 5.0), (2.0, 1.0, 2.0), (0.5, 0.5, 0.5)])
def test_the_first_comes_after_an_epoch_or_five_seconds_and_then_the_clock_decides(
    every: float, epoch: float, first: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock)
    saver = Saver(Checkpoints(tmp_path, 1, every), lambda report: None)
    for after, ended in ((epoch, True), (first, False)):
        clock.now = 100 + after - 0.01
        assert not saver.is_due(ended)
        clock.now = 100 + after
        assert saver.is_due(ended)
    saver.save(dict, 1, 0)
    clock.now += every - 0.01
    assert not saver.is_due(True)
    clock.now += 0.02
    assert saver.is_due(False)


def test_a_small_job_writes_nothing(folder: Path, tmp_path: Path) -> None:
    jobs = Jobs(a_job(), folder, tmp_path / "job")
    assert jobs.attempt(lambda: None, every_seconds=60) == "succeeded"
    assert not (tmp_path / "job").exists()


def test_seconds_and_their_budget_are_of_all_attempts(folder: Path, tmp_path: Path) -> None:
    jobs = Jobs(a_job(epochs=None, max_seconds=0.6), folder, tmp_path)
    ends = time.monotonic() + 0.3
    assert jobs.attempt(lambda: "leave" if time.monotonic() > ends else None) == "left"
    assert jobs.record.end is not None
    first = jobs.record.end.timings
    assert jobs.resumed() == "succeeded"
    both = jobs.record.end.timings
    assert all(both[name] >= first[name] for name in ("training", "evaluating", "starting", "steps"))
    assert both["saving"] > 0
    assert 0.3 < both["training"] + both["evaluating"] < 0.9
    assert jobs.record.end.reason == "the seconds of max_seconds are over"


def test_progress_tells_the_seconds_of_a_step_in_this_attempt_also_in_validation(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "PROGRESS_SECONDS", -1.0)
    jobs = Jobs(a_job(), folder, tmp_path)
    jobs.attempt(at(2))
    jobs.resumed()
    told = [report for report in jobs.record.reports if isinstance(report, Progress)]
    assert told[0] == Progress(2, None), "while data are prepared"
    trained = [report for report in told if report.step > 2]
    assert [report.step for report in trained] == [3, 3, 4, 5, 6, 6]
    assert all(report.seconds_per_step is not None and report.seconds_per_step < 1 for report in trained)
    assert trained[1].seconds_per_step > 0
