"""A job followed to its end: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from cli.session import Session
from cli.texts import duration, number, plain

WAIT_ON_TERMINAL, WAIT_IN_LOG = 1, 30
"""Seconds of a long-poll; a bar moves at least as often."""
PATIENCE_SECONDS = 300.0
"""For a service that is away: it may be restarted, or upgraded."""
LOG_SECONDS = 5.0
SHOWN = ("train_loss", "validation_loss", "validation_accuracy", "validation_rmse", "skill")


class View(Protocol):
    """What shows a job while it is followed."""

    def show(self, job: dict[str, Any]) -> None: ...
    def say(self, text: str) -> None: ...


def follow(session: Session, job_id: str) -> dict[str, Any]:
    """The job when it has ended. Ctrl-C leaves it as it is."""
    is_terminal = sys.stderr.isatty()
    wait = WAIT_ON_TERMINAL if is_terminal else WAIT_IN_LOG
    job: dict[str, Any] = {}
    try:
        with _view(session, is_terminal) as view:
            for job in session.client.changes(job_id, wait, PATIENCE_SECONDS, view.say):
                view.show(job)
    except KeyboardInterrupt:
        said = f"The job goes on: `descent show {job_id} --follow` follows it, `descent cancel {job_id}` stops it."
        print(f"\n{said}", file=sys.stderr)
        raise
    return job


def state(job: dict[str, Any]) -> str:
    """What there is to say besides the bar."""
    queue, progress = job["queue"], job["progress"]
    if queue is not None:
        return f"place {queue['position']}, waiting for {queue['waiting_for'].replace('_', ' ')}"
    metrics = job["metrics"] or {}
    numbers = [f"{name.replace('validation_', 'val_')} {number(metrics[name])}" for name in SHOWN if name in metrics]
    return "  ".join([f"epoch {progress['epoch']}/{progress['epochs']}", *numbers])


@contextmanager
def _view(session: Session, is_terminal: bool) -> Iterator[View]:
    if not is_terminal:
        yield _Log(is_quiet=session.output.as_json)
        return
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

    texts = (TextColumn(form, markup=False) for form in ("{task.description:<9}", "{task.fields[said]}"))
    columns = next(texts), BarColumn(24), next(texts)
    with Progress(*columns, console=session.output.notes, transient=True) as progress:
        yield _Bar(progress)


class _Bar:
    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=1.0, said="")

    def show(self, job: dict[str, Any]) -> None:
        eta = job["progress"]["eta_seconds"]
        said = state(job) + (f"  {duration(eta)} left" if eta else "")
        done = job["progress"]["fraction"]
        self._progress.update(self._task, description=plain(job["status"]), completed=done, said=plain(said))

    def say(self, text: str) -> None:
        self._progress.update(self._task, said=text)


class _Log:
    """Of what changed, and of epochs one every LOG_SECONDS at most."""

    def __init__(self, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._status, self._next, self._said = "", 0.0, ""

    def show(self, job: dict[str, Any]) -> None:
        is_news = job["status"] != self._status
        if is_news or time.monotonic() >= self._next:
            self.say(f"{job['status']}: {state(job)}")
            self._next = time.monotonic() + LOG_SECONDS
        self._status = job["status"]

    def say(self, text: str) -> None:
        if not self._is_quiet and text != self._said:
            print(plain(text), file=sys.stderr, flush=True)
            self._said = text
