"""Storage in a folder. What is written is on the disk when it is seen, and is seen whole or not at all."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from models.disk import flush
from models.storage import AlreadyStored, Listed, NotStored, Storage, StorageAway, Stored, Tally, chunks_of
from models.verified import Verified

DRAFTS = ".drafts"


class LocalStorage(Storage):
    """Keys are paths below `root`; `notes` is where is kept which files were checked."""

    def __init__(self, root: Path, notes: Path) -> None:
        self._root = root
        self._verified = Verified(notes)

    def write(self, key: str, chunks: Iterable[bytes]) -> Stored:
        draft, tally = self._draft(), Tally()
        try:
            with draft.open("xb") as file:
                file.writelines(tally.passing(chunks))
                file.flush()
                os.fsync(file.fileno())
            self._publish(draft, key)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise StorageAway(f"The storage cannot be written to: {error.strerror}.") from error
            raise
        finally:
            draft.unlink(missing_ok=True)
        stored = tally.stored(key)
        with suppress(FileNotFoundError):  # it was deleted just now
            self._verified.remember(self._root / key, stored)
        return stored

    def _draft(self) -> Path:
        folder = self._root / DRAFTS
        folder.mkdir(parents=True, exist_ok=True)
        return folder / uuid4().hex

    def _publish(self, draft: Path, key: str) -> None:
        target = self._root / key
        while True:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                # Unlike a rename, a link never replaces what is there.
                os.link(draft, target)
                break
            except FileExistsError:
                raise AlreadyStored(f"There are bytes under {key} already.") from None
            except FileNotFoundError:
                # Whoever deleted the last file of the folder took it away just now.
                if not draft.exists():
                    raise
        with suppress(FileNotFoundError):  # it was deleted just now, and its folder
            flush(target.parent)

    def _read(self, key: str, start: int, end: int) -> Iterator[bytes]:
        try:
            yield from chunks_of(self._root / key, start, end)
        except FileNotFoundError:
            raise NotStored(f"There are no bytes under {key}.") from None

    def path_of(self, stored: Stored) -> Path:
        path = self._root / stored.key
        try:
            self._verified.require(path, stored)
        except FileNotFoundError:
            raise NotStored(f"There are no bytes under {stored.key}.") from None
        return path

    def delete(self, key: str) -> None:
        path = self._root / key
        path.unlink(missing_ok=True)
        self._verified.forget(path)
        for folder in path.relative_to(self._root).parents[:-1]:
            with suppress(OSError):  # it is not empty
                (self._root / folder).rmdir()

    def list(self, prefix: str = "") -> Iterator[Listed]:
        for path in sorted((self._root / prefix).rglob("*")):
            key = path.relative_to(self._root)
            with suppress(FileNotFoundError):
                if key.parts[0] != DRAFTS and path.is_file():
                    state = path.stat()
                    yield Listed(key.as_posix(), state.st_size, state.st_mtime)

    def sweep(self, before: float) -> None:
        for draft in (self._root / DRAFTS).glob("*"):
            with suppress(FileNotFoundError):
                if draft.stat().st_mtime < before:
                    draft.unlink()

    def check(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageAway(f"The storage cannot be written to: {error.strerror}.") from error
        if not os.access(self._root, os.W_OK):
            raise StorageAway("The storage cannot be written to.")
