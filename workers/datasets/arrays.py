"""One data set as arrays: generated on the spot, or mapped from where it was ingested. Nothing is parsed here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.catalogue import BUNDLED, GENERATED
from models.errors import DescentError
from workers.datasets.generated import GENERATORS
from workers.training.split import UNORDERED, Order


class NotIngested(DescentError):
    """The data set has not been ingested."""


@dataclass(frozen=True)
class Arrays:
    """All rows of a data set, in its own units."""

    x: Any
    """float32 [rows, *input_shape]; int64 [rows, time] for tokens. Of an uploaded set bytes too; or
    `workers.datasets.uploaded.Rows`, of which only some are ever in memory."""
    y: NDArray[Any]
    """int64 [rows] for classes; float32 [rows, outputs] for a regression, [rows, time, outputs] if per step."""
    order: Order = UNORDERED
    """What a split may go by."""


def load(name: str, parameters: dict[str, Any], folder: Path) -> Arrays:
    """A built-in set; bundled ones are read from `folder`, where `workers.datasets.bundled` put them.

    Raises:
        KeyError: there is no built-in set of this name.
        pydantic.ValidationError: a parameter is unknown or out of its range.
        NotIngested: the bundled set is not in the folder.
    """
    if name in BUNDLED:
        return mapped(name, folder)
    x, y = GENERATORS[name](GENERATED[name].model_validate(parameters))
    return Arrays(x, y)


def mapped(name: str, folder: Path) -> Arrays:
    """An ingested set, mapped into memory read-only."""
    x, y = folder / name / "x.npy", folder / name / "y.npy"
    try:
        return Arrays(*(np.load(path, mmap_mode="r", allow_pickle=False) for path in (x, y)))
    except FileNotFoundError as error:
        raise NotIngested(f"The data set {name} has not been ingested: {error.filename} is missing.") from error
