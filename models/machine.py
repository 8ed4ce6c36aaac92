"""What this machine has."""

import os
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def name() -> str:
    """Of the processes that see each other's numbers: this boot of this machine, and the container within it."""
    return f"{BOOT_ID.read_text().strip()}/{Path('/proc/self/ns/pid').readlink()}"


def is_there(pid: int) -> bool:
    """Whether a process with this number exists."""
    return Path(f"/proc/{pid}").exists()


def memory_bytes() -> int:
    """Its physical memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
