"""The process in which one job trains. It reports over a pipe, and leaves when its supervisor is gone."""

import logging
import os
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from models.definitions.job import JobDefinition
from models.logs import speak_of, start_logs
from models.reports import Ended, Report
from models.settings import Settings
from workers.datasets.uploaded import NO_FILES, Files
from workers.failures import error_of
from workers.model_files import ModelFiles
from workers.process import Reporter, listen, offer_to_the_kernel, stand_by
from workers.rank import Crew
from workers.told import NOTHING, Told
from workers.training.checkpoints import Checkpoints
from workers.training.job import OUTCOMES, train_job
from workers.training.ranks import RankLost

log = logging.getLogger(__name__)

REHEARSAL = {"network": {"family": "dnn", "hidden": [1]}, "data": {"dataset": "xor"}, "training": {"max_steps": 1}}
"""One step of the smallest job: it loads nearly all that the first job of a process would load late."""


def main(reports: Connection, control: Connection, rehearses: bool, settings: Settings | None = None) -> None:
    """Waits for a job and trains it; leaves without one when its supervisor is gone. It logs as `settings` say."""
    stand_by()
    start_logs("runner", settings or Settings())
    try:
        if rehearses:
            _rehearse()
        reports.send([])
        job = control.recv()
    except (EOFError, OSError):
        return
    run_job(reports, control, *job)


def run_job(
    reports: Connection,
    control: Connection,
    definition: JobDefinition,
    visible_gpu: str,
    datasets: Path,
    resident_bytes: int,
    checkpoints: Checkpoints | None = None,
    files: Files = NO_FILES,
    models: ModelFiles | None = None,
    told: Told = NOTHING,
) -> None:
    """Trains one job and reports it. `visible_gpu`: the number of its GPU, or those of several with commas. `files`:
    those of uploaded data sets, by their sha256."""
    speak_of(told.trail, **told.ids)
    # A session of its own: no signal to the fork server's group reaches this job, and none of this job others.
    os.setsid()
    offer_to_the_kernel()
    os.environ["CUDA_VISIBLE_DEVICES"] = visible_gpu
    if definition.training.deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True)
    train = partial(_train, definition, visible_gpu, datasets, resident_bytes, files, told.traced)
    # It forks, so it comes before any thread.
    crew = Crew(definition.resources.ranks, train, error_of, inherited=(reports, control))
    asked = Asked()
    listen(control, asked.hear)
    reporter = Reporter(reports)
    crew.watch(partial(_fail, reporter))
    try:
        train(crew, 0, reporter, asked, checkpoints, models)
    except RankLost:
        crew.give_up()
    except Exception as exception:
        log.exception("the job failed")
        _fail(reporter, error_of(exception))
    else:
        reporter.close()
    crew.close()


def _train(
    definition: JobDefinition,
    visible_gpu: str,
    datasets: Path,
    resident_bytes: int,
    files: Files,
    traced: bool,
    crew: Crew,
    rank: int,
    report: Callable[[Report], None] = lambda report: None,
    asked: Callable[[], str | None] = lambda: None,
    checkpoints: Checkpoints | None = None,
    models: ModelFiles | None = None,
) -> None:
    """What each rank does. Rank 0 alone reports, is asked, and has the checkpoints and the model."""
    torch.set_num_threads(definition.resources.threads)
    device = _device(definition, visible_gpu, rank)
    ranks = crew.join(rank, device)
    keep = models.keep if models else None
    common = definition, datasets, device, report, asked, resident_bytes, checkpoints, ranks
    train_job(*common, files=files, keep=keep, traced=traced)


def _fail(reporter: Reporter, error: dict[str, object]) -> None:
    """Returns when it is reported."""
    reporter(Ended("failed", {}, 0.0, error))
    reporter.close()


def _rehearse() -> None:
    """Trains a small network that nobody sees, so that what a process does once and late is done before its job comes.

    Not on a worker with GPUs: the first backward pass asks CUDA for its devices, before the job's own is known.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        train_job(
            JobDefinition.model_validate(REHEARSAL), Path(), torch.device("cpu"), lambda report: None, lambda: None
        )
    except Exception:
        log.exception("the rehearsal failed; the job may fare better")


class Asked:
    """What the supervisor asked of the job last; a cancel stays."""

    def __init__(self) -> None:
        self._what: str | None = None

    def __call__(self) -> str | None:
        return self._what

    def hear(self, what: object) -> None:
        if what in OUTCOMES and self._what != "cancel":
            self._what = str(what)


class TooFewGpus(Exception):
    """The worker has given a job fewer GPUs than its definition has."""


def _device(definition: JobDefinition, visible_gpu: str, rank: int) -> torch.device:
    """That of a rank."""
    resources, gpus = definition.resources, visible_gpu.split(",") if visible_gpu else []
    if resources.gpus > max(len(gpus), 1):
        raise TooFewGpus(f"The job is for {resources.gpus} GPUs, and was given {len(gpus)}.")
    if resources.device == "cpu" or not gpus:
        return torch.device("cpu")
    return torch.device("cuda", rank) if resources.gpus > 1 else torch.device("cuda")
