"""Whether the kernel killed a process because memory was short."""

import signal
from pathlib import Path
from typing import Any

from models.lifecycle import error

COUNTERS = (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"))
"""Lines `oom_kill <count>`: of the machine, and of the container."""


class OutOfMemory:
    """Watches the kernel's count of such kills from here on."""

    def __init__(self) -> None:
        self._before = _kills()

    def was_the_end(self, exit_code: int | None) -> bool:
        """Whether a process with this exit code is likely to have been the victim of one."""
        return exit_code == -signal.SIGKILL and _kills() > self._before

    @staticmethod
    def error() -> dict[str, Any]:
        detail = "The kernel killed the job's process, for the machine had no memory left."
        return error("out_of_memory", "Out of memory", detail, "memory", retryable=True)


def _kills() -> int:
    lines = [line.split() for path in COUNTERS if path.exists() for line in path.read_text().splitlines()]
    return sum(int(count) for name, count in lines if name == "oom_kill")
