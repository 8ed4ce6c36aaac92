"""Bytes that outlive a request: uploads, data sets, models; on the local disk or in S3, by `DESCENT_STORAGE_URL`.

    storage = open_storage(settings)
    stored = storage.write("artifacts/job_1/model.onnx", chunks)   # create-only; never whole in memory
    for chunk in storage.read(stored): ...                         # checked against its sha256
    array = np.load(storage.path_of(stored), mmap_mode="r")        # a file of this machine

What was written is known by its `Stored`: whoever keeps that can tell later whether the bytes are the same.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from models.errors import DescentError
from models.settings import Settings

CHUNK_BYTES = 2**20


class AlreadyStored(DescentError):
    """There are bytes under this key already."""


class NotStored(DescentError):
    """There are no bytes under this key."""


class Damaged(DescentError):
    """The stored bytes are not those that were written."""


class StorageAway(DescentError):
    """The storage cannot be reached."""


class StorageRefuses(StorageAway):
    """The storage does not let the service in."""


@dataclass(frozen=True)
class Stored:
    """Some bytes in storage, and what they are known by."""

    key: str
    """Words of letters, digits, `.`, `_` and `-`, divided by slashes; made by us, never by a client."""
    size: int
    sha256: str

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Listed:
    """A key of a list."""

    key: str
    size: int
    modified: float
    """Unix time."""


class Storage(ABC):
    """Where bytes are kept. Any number of processes and machines may use one at once."""

    @abstractmethod
    def write(self, key: str, chunks: Iterable[bytes]) -> Stored:
        """Stores the bytes whole or, if `chunks` raises, not at all.

        Raises:
            AlreadyStored: nothing was changed.
            StorageAway
        """

    def write_file(self, key: str, path: Path) -> Stored:
        """Stores what is in a file; it may be moved there."""
        return self.write(key, chunks_of(path))

    def read(self, stored: Stored, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, in chunks; where they are all, they are checked as they pass.

        Raises:
            NotStored, StorageAway
            Damaged: after the last chunk, if the checksum is another one.
        """
        end = stored.size if end is None else min(end, stored.size)
        chunks = self._read(stored.key, start, end)
        return checked(chunks, stored) if (start, end) == (0, stored.size) else chunks

    @abstractmethod
    def _read(self, key: str, start: int, end: int) -> Iterator[bytes]: ...

    @abstractmethod
    def path_of(self, stored: Stored) -> Path:
        """A file of this machine with just these bytes, to open or to map, and not to change: the stored file itself,
        or a copy. Its checksum is computed when it is first seen, and again when the file was touched.

        Raises:
            NotStored, Damaged, StorageAway
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Forgets the bytes; that they are not there is no error."""

    def delete_all(self, prefix: str) -> None:
        """Everything below a prefix such as `datasets/dat_1/`."""
        for listed in list(self.list(prefix)):
            self.delete(listed.key)

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[Listed]:
        """What is stored below a prefix, which ends in a slash or is empty."""

    @abstractmethod
    def sweep(self, before: float) -> None:
        """Removes what writers that died have left since before this Unix time."""

    @abstractmethod
    def check(self) -> None:
        """Returns soon if the storage can be used.

        Raises:
            StorageAway
        """


def open_storage(settings: Settings) -> Storage:
    """The storage of the settings. Nothing is touched yet."""
    url = urlsplit(settings.storage)
    cache = settings.data.absolute() / "cache"
    if url.scheme == "file":
        from models.local_storage import LocalStorage  # noqa: PLC0415  both stand on this module

        return LocalStorage(Path(unquote(url.path)), cache)
    from models.remote_storage import RemoteStorage  # noqa: PLC0415  its client takes 17 ms to import

    return RemoteStorage(settings.storage, cache, settings.cache_bytes)


def storage_answers(storage: Storage) -> bool:
    """Whether it can be used."""
    try:
        storage.check()
    except StorageAway:
        return False
    return True


def rest_of(file: IO[bytes]) -> Iterator[bytes]:
    """The bytes of an open file, from where it stands."""
    return iter(lambda: file.read(CHUNK_BYTES), b"")


def chunks_of(path: Path, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The bytes of a file from `start` up to `end`."""
    with path.open("rb") as file:
        file.seek(start)
        left = path.stat().st_size - start if end is None else end - start
        while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk


def checked(chunks: Iterable[bytes], stored: Stored) -> Iterator[bytes]:
    """The chunks; after the last one it is an error if they were not what is known of them."""
    tally = Tally()
    yield from tally.passing(chunks)
    if tally.stored(stored.key) != stored:
        raise Damaged(
            f"{stored.key} was damaged: {tally.size} bytes with another checksum than the {stored.size} kept."
        )


class Tally:
    """Counts bytes as they pass, and computes their checksum."""

    def __init__(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()

    def passing(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.size += len(chunk)
            self._sha256.update(chunk)
            yield chunk

    def stored(self, key: str) -> Stored:
        return Stored(key, self.size, self._sha256.hexdigest())
