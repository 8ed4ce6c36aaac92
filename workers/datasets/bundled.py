"""Writes scikit-learn's bundled data sets once, as arrays that every runner maps.

Run it as a process of its own, `python -m workers.datasets.bundled FOLDER`: importing scikit-learn takes a second and
100 MB that no supervisor or runner should pay.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from models.catalogue import BUNDLED
from models.disk import flush

Pair = tuple[NDArray[Any], NDArray[Any]]


def ingested(folder: Path) -> bool:
    """Whether all bundled sets are there."""
    return all(complete(folder / name) for name in BUNDLED)


def complete(target: Path) -> bool:
    return (target / "x.npy").is_file() and (target / "y.npy").is_file()


def ingest(folder: Path) -> None:
    """Writes those bundled sets that are missing. Each appears whole or not at all; any number may do this at once."""
    missing = [name for name in BUNDLED if not complete(folder / name)]
    folder.mkdir(parents=True, exist_ok=True)
    for name in missing:
        publish(folder / name, *read(name))


def read(name: str) -> Pair:
    """x and y of a bundled set, in the layout of `Arrays`."""
    from sklearn import datasets  # noqa: PLC0415  slow: paid only where something is missing

    if name in ("digits", "digits_rows"):
        digits = datasets.load_digits()
        images = digits.images[:, None] if name == "digits" else digits.images
        return images.astype(np.float32), digits.target.astype(np.int64)
    if name == "diabetes":
        x, y = datasets.load_diabetes(return_X_y=True, scaled=False)
        return x.astype(np.float32), y[:, None].astype(np.float32)
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return x.astype(np.float32), y.astype(np.int64)


def publish(target: Path, x: NDArray[Any], y: NDArray[Any]) -> None:
    """Writes both arrays beside `target`, down to the disk, and renames them there in one move."""
    draft = target.with_name(f".{target.name}-{uuid4().hex}")
    draft.mkdir()
    try:
        write(draft / "x.npy", x)
        write(draft / "y.npy", y)
        flush(draft)
        move(draft, target)
        flush(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def move(draft: Path, target: Path) -> None:
    """Renames the draft; a folder can not replace a full one, so whoever comes second loses only the same bytes."""
    try:
        draft.rename(target)
    except OSError:
        if not complete(target):
            raise


if __name__ == "__main__":
    ingest(Path(sys.argv[1]))
