"""Checkpoints of a job on the disk: all of it between two steps, from which another process goes on bit for bit.

    checkpoints = Checkpoints(folder, attempt=2, every_seconds=60, resume_from="1-4000-3.pt")
    state = checkpoints.load()  # None: begin anew
    saver = Saver(checkpoints, report)
    if saver.is_due(epoch_ended=False):
        saver.save(state, step, epoch)

A file appears whole or not at all: it is written beside its name, brought to the disk, and renamed. What it replaces is
removed by whoever keeps the pointer to it, after that has moved.

torch is imported where it is used: supervisors hand `Checkpoints` to their runners, and never import torch.
"""

import logging
import os
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from models.disk import flush
from models.reports import Checkpointed, CheckpointFailed, Report
from workers.training.state import State

log = logging.getLogger(__name__)

FORMAT = 2
"""Of the state in a file; raised when the parts of a training change what they keep."""

KEPT = "kept-"
"""Begins the name of a file that stays for as long as the folder does."""

LEAST_SECONDS = 1.0
"""Of training, before the first: to take so much again costs about as much as to write it down, and a worker that has
small jobs would do nothing but write."""
FIRST_SECONDS = 5.0
"""Until the first, if no epoch ends before."""


@dataclass(frozen=True)
class Checkpoints:
    """Where the checkpoints of an attempt go, and from which it goes on."""

    folder: Path
    """Of this job alone."""
    attempt: int
    """Counted from 1; each name begins with it, so that two attempts never write one file."""
    every_seconds: float
    """From the end of one to the next."""
    resume_from: str | None = None
    """Name of a file in the folder."""

    def load(self) -> State | None:
        """The state to go on from; None where there is none, or none that can be read."""
        if self.resume_from is None:
            return None
        path = self.folder / self.resume_from
        try:
            state: State = _read(path)
        except Exception:  # a torn file may raise anything
            log.warning("the checkpoint %s cannot be read; the job begins anew", path.name, exc_info=True)
            return None
        return state

    def keep(self, name: str) -> str:
        """Gives a file a second name, under which it stays.

        Raises:
            OSError
        """
        kept = f"{KEPT}{name}"
        with suppress(FileExistsError):
            os.link(self.folder / name, self.folder / kept)
        flush(self.folder)
        return kept

    def write(self, state: State, label: str, prefix: str = "") -> tuple[str, int]:
        """The file's name, which has the attempt and this label, and its size in bytes.

        Raises:
            OSError, RuntimeError: there is no room, or no folder; what was there before stays as it is.
        """
        import torch  # noqa: PLC0415

        path = self.folder / f"{prefix}{self.attempt}-{label}.pt"
        temporary = path.with_suffix(".tmp")
        self._make_folder()
        try:
            with temporary.open("wb") as file:
                torch.save({"format": FORMAT, **state}, file)
                size = file.tell()
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        flush(self.folder)
        return path.name, size

    def _make_folder(self) -> None:
        if not self.folder.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            flush(self.folder.parent)


class Saver:
    """Writes the checkpoints of an attempt when they are due, and reports them."""

    def __init__(self, checkpoints: Checkpoints, report: Callable[[Report], None]) -> None:
        self._checkpoints = checkpoints
        self._report = report
        self._since = time.monotonic()
        self._count = 0
        self._last = checkpoints.resume_from

    def is_due(self, epoch_ended: bool) -> bool:
        """First at the end of an epoch or after FIRST_SECONDS, then by time alone."""
        every = self._checkpoints.every_seconds
        first = LEAST_SECONDS if epoch_ended else FIRST_SECONDS
        return time.monotonic() - self._since >= (min(first, every) if self._count == 0 else every)

    def save(self, state: Callable[[], State], step: int, epoch: int) -> None:
        """Training waits for it; where it fails, training goes on."""
        started = time.monotonic()
        # Counted, for a step may be saved twice: a name never comes to mean another file.
        self._count += 1
        try:
            name, size = self._checkpoints.write(state(), f"{step}-{self._count}")
        except (OSError, RuntimeError, MemoryError) as problem:
            log.warning("step %s: no checkpoint could be written", step, exc_info=True)
            self._report(CheckpointFailed(step, f"{type(problem).__name__}: {problem}"[:500]))
        else:
            self._last = name
            self._report(Checkpointed(name, step, epoch, size, time.monotonic() - started))
        self._since = time.monotonic()

    def keep_last(self) -> str | None:
        """Keeps the last checkpoint beside those that come; its name then, None where there is none."""
        try:
            return self._checkpoints.keep(self._last) if self._last else None
        except OSError:
            log.warning("the checkpoint %s cannot be kept", self._last, exc_info=True)
            return None

    def keep(self, state: State, step: int) -> str | None:
        """Writes one that is kept, and that no attempt goes on from; its name, None where it cannot be written."""
        try:
            return self._checkpoints.write(state, str(step), KEPT)[0]
        except (OSError, RuntimeError, MemoryError):
            log.warning("step %s: no checkpoint could be written", step, exc_info=True)
            return None


def _read(path: Path) -> State:
    import torch  # noqa: PLC0415

    with zipfile.ZipFile(path) as archive:
        # torch itself does not look at the checksums.
        if (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"{damaged} is damaged")
    state: State = torch.load(path, map_location="cpu", weights_only=True)
    if state.pop("format") != FORMAT:
        raise ValueError("it was written by another version")
    return state
