"""How it is said what is wrong with a file."""

from models.errors import InvalidDataset


def refused(code: str, detail: str, hint: str, pointer: str = "/file") -> InvalidDataset:
    """What is wrong, and with which field of the upload."""
    return InvalidDataset.at(pointer, code, detail, hint)
