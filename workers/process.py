"""Runner processes: forked from a small server that has imported torch and never ran an operation.

A fork takes 20 ms where a fresh interpreter takes two seconds. The server must stay idle: forking a process that ran a
multi-threaded operation hangs the child for ever.
"""

import contextlib
import multiprocessing
import os
import pickle
import queue
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from models.reports import Report

PRELOAD = ["numpy.ma", "torch._dynamo", "torch.profiler._cupti_monitor", "workers.runner", "workers.freeze"]
"""What a first job would import on its way, for `np.quantile`, for every optimizer and for every backward pass.

A module that another version of torch lacks is passed over.
"""

_context = multiprocessing.get_context("forkserver")


def warm() -> None:
    """Starts the server and waits until it has imported everything, so that the first job need not."""
    os.environ["OMP_NUM_THREADS"] = "1"
    _context.set_forkserver_preload(PRELOAD)
    process = _context.Process(target=int)
    process.start()
    process.join()
    process.close()


def _enter(*arguments: Any) -> None:
    # Imported here, where the fork server has done so already: the supervisor never imports torch.
    from workers.runner import main  # noqa: PLC0415

    main(*arguments)


class RunnerProcess:
    """One job in a process of its own, and the two pipes to it."""

    def __init__(self, *arguments: Any) -> None:
        self._reports, child_reports = _context.Pipe(duplex=False)
        child_control, self._control = _context.Pipe(duplex=False)
        self._process = _context.Process(target=_enter, args=(child_reports, child_control, *arguments), daemon=True)
        self._process.start()
        # With our copies closed, the end of either process is an end of file for the other.
        child_reports.close()
        child_control.close()

    def reports(self) -> Iterator[list[Report]]:
        """All reports that have come in, again and again, until the runner has closed its pipe or died."""
        while batch := self._receive():
            while self._reports.poll() and (more := self._receive()):
                batch += more
            yield batch

    def _receive(self) -> list[Report]:
        """The next reports; none at the end of the pipe, which also a runner that died in the middle of one leaves."""
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            reports: list[Report] = self._reports.recv()
            return reports
        return []

    def cancel(self) -> None:
        """Asks the runner to stop after this step."""
        with contextlib.suppress(OSError):
            self._control.send("cancel")

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> int | None:
        """Makes sure that the process is gone, and gives its exit code (negative: the signal that ended it)."""
        self._process.join(timeout=2)
        self._process.kill()
        self._process.join()
        code = self._process.exitcode
        for pipe in (self._reports, self._control):
            pipe.close()
        self._process.close()
        return code


class Reporter:
    """The runner's end of the report pipe. Sending happens in a thread: training never waits for its supervisor."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._waiting: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send, name="reporter", daemon=True)
        self._thread.start()

    def __call__(self, report: Report) -> None:
        self._waiting.put(report)

    def close(self) -> None:
        """Returns when everything is sent."""
        self._waiting.put(None)
        self._thread.join()
        self._pipe.close()

    def _send(self) -> None:
        while (report := self._waiting.get()) is not None:
            self._pipe.send([report])
