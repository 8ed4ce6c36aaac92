"""Processes for jobs and tasks: forked from a small server that has imported torch and never ran an operation.

A fork takes 20 ms where a fresh interpreter takes two seconds. The server must stay idle: forking a process that ran a
multi-threaded operation hangs the child for ever.
"""

import contextlib
import multiprocessing
import os
import pickle
import queue
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from models.reports import Ended, Report
from models.settings import Settings

PRELOAD = [
    "numpy.ma",
    "torch._dynamo",
    "torch.profiler._cupti_monitor",
    "workers.runner",
    "workers.do_task",
    "workers.freeze",
]
"""What a first job would import on its way, for `np.quantile`, for every optimizer and for every backward pass.

A module that another version of torch lacks is passed over.
"""

GATHER_SECONDS = 0.05
"""How long reports are gathered before they are written: a small job is one transaction, a long one 20 a second."""

_context = multiprocessing.get_context("forkserver")


def start_server() -> None:
    """Starts the server and does not wait while it imports everything; the first fork does."""
    os.environ["OMP_NUM_THREADS"] = "1"
    _context.set_forkserver_preload(PRELOAD)
    forkserver.ensure_running()


def _enter(*arguments: Any) -> None:
    # Imported here, where the fork server has done so already: the supervisor never imports torch.
    from workers.runner import main  # noqa: PLC0415

    main(*arguments)


class Forked:
    """A process forked from the server, and the two pipes to it: what it sends, and what it is told."""

    def __init__(self, enter: Callable[..., None], *arguments: Any) -> None:
        self._reports, child_reports = _context.Pipe(duplex=False)
        child_control, self._control = _context.Pipe(duplex=False)
        self._process = _context.Process(target=enter, args=(child_reports, child_control, *arguments), daemon=True)
        self._process.start()
        # Not by number: the fork server reaps it, and a number may be another's by then.
        self._pidfd: int | None = os.pidfd_open(self.pid)
        self._lock = threading.Lock()
        """Whoever kills while another closes would hit what has the descriptor's number by then."""
        self._exit_code: int | None = None
        # With our copies closed, the end of either process is an end of file for the other.
        child_reports.close()
        child_control.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._pidfd is not None and not select.select([self._pidfd], [], [], 0)[0]

    def kill(self) -> None:
        """Ends it, whatever it is doing; the fork server is not needed for that."""
        with self._lock:
            self._kill()

    def _kill(self) -> None:
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> int | None:
        """Kills what is left, and gives the exit code (negative: the signal that ended it), if it is known."""
        if self._pidfd is None:
            return self._exit_code
        self.kill()
        select.select([self._pidfd], [], [])
        self._process.join()
        self._exit_code = self._process.exitcode
        for pipe in (self._reports, self._control):
            pipe.close()
        with self._lock:
            os.close(self._pidfd)
            self._pidfd = None
        return self._exit_code


class RunnerProcess(Forked):
    """A process for one job, forked before there is one."""

    def __init__(self, rehearses: bool, settings: Settings | None = None) -> None:
        super().__init__(_enter, rehearses, settings)
        self._begun = False

    @property
    def is_ready(self) -> bool:
        """Whether it waits for its job."""
        # The first that comes is an empty list of reports, which says so.
        return self.is_alive and self._reports.poll()

    def await_ready(self) -> None:
        """Returns when it waits for its job, or has died."""
        self._reports.poll(None)

    def begin(self, *job: Any) -> None:
        """Hands the job over: the arguments of `workers.runner.run_job`."""
        # One that has died meanwhile is an end of file for whoever reads its reports.
        with contextlib.suppress(OSError):
            self._control.send(job)
            self._begun = True

    def reports(self) -> Iterator[list[Report]]:
        """All reports that have come in, again and again, until the runner has closed its pipe or died."""
        while (reports := self._receive()) is not None:
            if reports:
                yield self._gathered(reports)

    def _gathered(self, reports: list[Report]) -> list[Report]:
        """These and what comes in shortly after."""
        ends_at = time.monotonic() + GATHER_SECONDS
        while not isinstance(reports[-1], Ended) and (left := ends_at - time.monotonic()) > 0:
            if not self._reports.poll(left) or not (more := self._receive()):
                break
            reports += more
        return reports

    def _receive(self) -> list[Report] | None:
        """The next reports; None at the end of the pipe, which also a runner that died in the middle of one leaves."""
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            reports: list[Report] = self._reports.recv()
            return reports
        return None

    def ask(self, what: str) -> None:
        """Asks the runner to stop after this step: `cancel`, `pause` or `leave`."""
        if self._begun:
            with contextlib.suppress(OSError):
                self._control.send(what)

    def _kill(self) -> None:
        """It and all it has started."""
        if self._begun and self.is_alive:
            # Once it has begun, it leads a session and a group of its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(self.pid) == self.pid:
                    os.killpg(self.pid, signal.SIGKILL)
        super()._kill()


# In the process itself


def stand_by() -> None:
    """Nothing but the end of its pipe sends it away: a Ctrl-C is the supervisor's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The inherited end of this pipe would keep the fork server alive after its worker is gone.
    with contextlib.suppress(AttributeError, TypeError, OSError):
        os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]


def offer_to_the_kernel() -> None:
    """Where memory runs out, the kernel takes this process and not its supervisor."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def listen(control: Connection, hear: Callable[[Any], None]) -> None:
    """Hears the supervisor from now on; at the end of the pipe it is gone, and so goes this process."""
    threading.Thread(target=_listen, args=(control, hear), name="listener", daemon=True).start()


def _listen(control: Connection, hear: Callable[[Any], None]) -> None:
    try:
        while True:
            hear(control.recv())
    except (EOFError, OSError):
        os._exit(1)


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
