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
from models.errors import DescentError
from models.lifecycle import error
from models.reports import Ended
from workers.process import Reporter
from workers.training.job import train_job
from workers.training.precision import PrecisionUnavailable

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
) -> None:
    """Trains one job and reports it."""
    # A session of its own: no signal to the fork server's group reaches this job, and none of this job others.
    os.setsid()
    os.environ["CUDA_VISIBLE_DEVICES"] = visible_gpu
    torch.set_num_threads(definition.resources.threads)
    if definition.training.deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True)
    cancelled = threading.Event()
    threading.Thread(target=_listen, args=(control, cancelled), name="listener", daemon=True).start()
    reporter = Reporter(reports)
    device = _device(definition, visible_gpu)
    try:
        train_job(definition, datasets, device, reporter, cancelled.is_set, resident_bytes)
    except Exception as exception:
        log.exception("the job failed")
        reporter(Ended("failed", {}, 0.0, _error_of(exception)))
    reporter.close()


def _stand_by() -> None:
    """Nothing but the end of its pipe sends it away: a Ctrl-C is the supervisor's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The inherited end of this pipe would keep the fork server alive after its worker is gone.
    with contextlib.suppress(AttributeError, TypeError, OSError):
        os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]


def _rehearse() -> None:
    """Trains a small network that nobody sees, so that what a process does once and late is done before its job comes.

    Not on a worker with GPUs: the first backward pass asks CUDA for its devices, before the job's own is known.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        train_job(
            JobDefinition.model_validate(REHEARSAL), Path(), torch.device("cpu"), lambda report: None, lambda: False
        )
    except Exception:
        log.exception("the rehearsal failed; the job may fare better")


def _listen(control: Connection, cancelled: threading.Event) -> None:
    """Hears the supervisor; at the end of the pipe it is gone, and so goes the job."""
    try:
        while control.recv() == "cancel":
            cancelled.set()
    except (EOFError, OSError):
        os._exit(1)


def _device(definition: JobDefinition, visible_gpu: str) -> torch.device:
    wants_cpu = definition.resources.device == "cpu" or not visible_gpu
    return torch.device("cpu" if wants_cpu else "cuda")


def _error_of(exception: Exception) -> dict[str, object]:
    if isinstance(exception, torch.OutOfMemoryError | MemoryError):
        detail = "The job needed more memory than its device has."
        return error("out_of_memory", "Out of memory", detail, "memory", retryable=False)
    if isinstance(exception, PrecisionUnavailable):
        return error("no_bfloat16", "The device has no bfloat16", str(exception), "user", retryable=False)
    if isinstance(exception, DescentError):
        return error("data_unavailable", "The data could not be read", str(exception), "data", retryable=True)
    detail = f"{type(exception).__name__}: {exception}"[:500]
    return error("training_error", "Training stopped with an error", detail, "infrastructure", retryable=False)
