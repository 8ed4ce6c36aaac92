"""The disk: how much room is left, and what is written stays."""

import os
import shutil
from pathlib import Path

from models.settings import Settings


def free_bytes(folder: Path) -> int:
    """On the disk of a folder, or of the nearest one above it that exists."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def is_full(settings: Settings) -> bool:
    """Whether less is free than a new job needs (`DESCENT_FREE_DISK_BYTES`)."""
    return free_bytes(settings.data) < settings.free_disk_bytes


def flush(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private(folder: Path) -> None:
    """The data folder, if it is not there yet: its database has secrets of webhooks, which only its user may read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
