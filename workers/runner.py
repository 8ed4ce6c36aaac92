"""The process in which one job trains. It reports over a pipe, and leaves when its supervisor is gone."""

import contextlib
import logging
import os
import signal
import threading
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from models.definitions.job import JobDefinition
from models.reports import Ended
from workers.failures import error_of
from workers.process import Reporter
from workers.training.checkpoints import Checkpoints
from workers.training.job import OUTCOMES, train_job

log = logging.getLogger(__name__)

REHEARSAL = {"network": {"family": "dnn", "hidden": [1]}, "data": {"dataset": "xor"}, "training": {"max_steps": 1}}
"""One step of the smallest job: it loads nearly all that the first job of a process would load late."""


def main(reports: Connection, control: Connection, rehearses: bool) -> None:
    """Waits for a job and trains it; leaves without one when its supervisor is gone."""
    _stand_by()
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
) -> None:
    """Trains one job and reports it."""
    # A session of its own: no signal to the fork server's group reaches this job, and none of this job others.
    os.setsid()
    _offer_to_the_kernel()
    os.environ["CUDA_VISIBLE_DEVICES"] = visible_gpu
    torch.set_num_threads(definition.resources.threads)
    if definition.training.deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True)
    asked = Asked()
    threading.Thread(target=_listen, args=(control, asked), name="listener", daemon=True).start()
    reporter = Reporter(reports)
    device = _device(definition, visible_gpu)
    try:
        train_job(definition, datasets, device, reporter, asked, resident_bytes, checkpoints)
    except Exception as exception:
        log.exception("the job failed")
        reporter(Ended("failed", {}, 0.0, error_of(exception)))
    reporter.close()


def _stand_by() -> None:
    """Nothing but the end of its pipe sends it away: a Ctrl-C is the supervisor's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The inherited end of this pipe would keep the fork server alive after its worker is gone.
    with contextlib.suppress(AttributeError, TypeError, OSError):
        os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]


def _offer_to_the_kernel() -> None:
    """Where memory runs out, the kernel takes the job and not its supervisor."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


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


def _listen(control: Connection, asked: Asked) -> None:
    """Hears the supervisor; at the end of the pipe it is gone, and so goes the job."""
    try:
        while True:
            asked.hear(control.recv())
    except (EOFError, OSError):
        os._exit(1)


def _device(definition: JobDefinition, visible_gpu: str) -> torch.device:
    wants_cpu = definition.resources.device == "cpu" or not visible_gpu
    return torch.device("cpu" if wants_cpu else "cuda")
