"""How much room is left."""

import shutil
from pathlib import Path


def free_bytes(folder: Path) -> int:
    """On the disk of a folder, or of the nearest one above it that exists."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free
