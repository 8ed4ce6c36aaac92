"""What a process holds, as the kernel counts it."""

from pathlib import Path


def held(kind: str, pid: int | str = "self") -> int:
    """Bytes of one kind of /proc/<pid>/status: `RssAnon` are private, `VmHWM` the most ever resident.

    Raises:
        OSError, StopIteration: the process has gone.
    """
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))
