"""How a worker goes: everything stops in its order, and within its time whatever hangs."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

log = logging.getLogger(__name__)

MOST_SECONDS = 19.0
"""From TERM to the end of the process, of the 20 that a supervisor of services grants. A frozen broker or database may
hold any thread for ever; leases run out by themselves, and runners leave with this process."""


class Leaving:
    """Begins once, however often it is asked, and does not hold up who asks."""

    def __init__(self, stops: Sequence[Callable[[], None]]) -> None:
        self._stops = stops
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, *_: Any, **__: Any) -> None:
        """May be called in a signal handler."""
        if self._thread is None and self._lock.acquire(blocking=False):
            self._thread = threading.Thread(target=self._leave, name="leaving", daemon=True)
            self._thread.start()
            deadline = threading.Timer(MOST_SECONDS, _end)
            deadline.daemon = True
            deadline.start()

    def wait(self) -> None:
        """Returns when all has stopped."""
        if self._thread is not None:
            self._thread.join()

    def _leave(self) -> None:
        for stop in self._stops:
            try:
                stop()
            except Exception:  # the others have to stop all the same
                log.exception("something did not stop as it should")


def _end() -> None:
    log.error("the worker did not come to its end within %s s", MOST_SECONDS)
    os._exit(1)
