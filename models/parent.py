"""Processes that leave with the one that started them, however it ends."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1


def leave_with_parent(number: int = signal.SIGTERM, parent: int | None = None) -> None:
    """From now on the kernel sends this process a signal when its `parent` is gone, by default the one it has now."""
    parent = parent or os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
