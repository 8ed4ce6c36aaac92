"""Where a job's data come from: built in, or uploaded."""

from pathlib import Path

from models.definitions.data import Data
from models.storage import Storage, Stored
from workers.datasets.arrays import Arrays, load
from workers.datasets.uploaded import Files, Opened


def load_data(data: Data, folder: Path, files: Files) -> Arrays:
    """All rows of a job's data set.

    Raises:
        NotIngested, KeyError, pydantic.ValidationError
    """
    if data.uploaded is not None:
        return Opened(data.uploaded, files).arrays()
    return load(data.dataset, data.parameters, folder)


def load_validation(data: Data, files: Files) -> Arrays | None:
    """All rows of the data set that is for validation, if there is one.

    Raises:
        NotIngested
    """
    chosen = data.validation_set
    if chosen is None or chosen.uploaded is None:
        return None
    return Opened(chosen.uploaded, files, like=data.uploaded).arrays()


def fetch(data: Data, storage: Storage) -> Files:
    """The files of a job's uploads on this machine, by their sha256; they are copied here, and checked, if need be.

    Raises:
        NotStored, Damaged, StorageAway
    """
    arrays = [array for uploaded in data.uploads.values() for array in uploaded.arrays.values()]
    return {array.sha256: storage.path_of(Stored(array.key, array.size, array.sha256)) for array in arrays}
