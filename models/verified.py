"""Which files of this machine were read once and found to be what was stored: a job does not read 5 GB to be sure."""

import hashlib
from pathlib import Path
from uuid import uuid4

from models.storage import Damaged, Stored


class Verified:
    """Notes of size, time and checksum, one for each file. One that was touched is read again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "verified"

    def require(self, path: Path, stored: Stored) -> None:
        """Returns if the file is what was stored.

        Raises:
            Damaged
            FileNotFoundError
        """
        note = self._note(path)
        if note.exists() and note.read_text() == state_of(path, stored):
            return
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if (path.stat().st_size, found) != (stored.size, stored.sha256):
            raise Damaged(f"{stored.key} was damaged: it has another checksum than when it was stored.")
        self.remember(path, stored)

    def remember(self, path: Path, stored: Stored) -> None:
        """The file has just been read or written, and is what is stored."""
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / uuid4().hex
        draft.write_text(state_of(path, stored))
        draft.replace(self._note(path))

    def forget(self, path: Path) -> None:
        self._note(path).unlink(missing_ok=True)

    def _note(self, path: Path) -> Path:
        return self._folder / hashlib.sha256(bytes(path)).hexdigest()


def state_of(path: Path, stored: Stored) -> str:
    state = path.stat()
    return f"{state.st_dev} {state.st_ino} {state.st_size} {state.st_mtime_ns} {stored.sha256}"
