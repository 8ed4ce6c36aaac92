"""Storage in S3, or what speaks its language; credentials, region and endpoint as the AWS tools read them
(`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, ...)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from models.errors import DescentError
from models.storage import (
    CHUNK_BYTES,
    AlreadyStored,
    Listed,
    NotStored,
    Storage,
    StorageAway,
    StorageRefuses,
    Stored,
    Tally,
)
from models.verified import Verified

PART_BYTES = 8 * 2**20
"""Up to so many are sent at once, and then the service itself sees to it that nothing is replaced."""
PARTS_AT_ONCE = 4
"""With PART_BYTES the most that a write holds in memory."""
CHECK_SECONDS = 2


class RemoteStorage(Storage):
    """Keys lie below the path of `url`. Copies for this machine are kept in `cache`, the last used of them, as many as
    go into `cache_bytes`."""

    def __init__(self, url: str, cache: Path, cache_bytes: int) -> None:
        self._url = url
        self._cache = cache
        self._cache_bytes = cache_bytes
        self._verified = Verified(cache)

    @cached_property
    def _store(self) -> Any:
        return open_store(self._url)

    def write(self, key: str, chunks: Iterable[bytes]) -> Stored:
        tally = Tally()
        passing = iter(tally.passing(chunks))
        first = b""
        for chunk in passing:
            first += chunk
            if len(first) > PART_BYTES:
                break
        if len(first) <= PART_BYTES:
            with translated(key):
                obstore.put(self._store, key, first, mode="create")
        else:
            self._put_parts(key, chain([first], passing))
        return tally.stored(key)

    def _put_parts(self, key: str, chunks: Iterable[bytes]) -> None:
        # In parts there is no such condition; keys carry an id and an attempt of their own.
        self._refuse_known(key)
        failed: list[Exception] = []

        def guarded() -> Iterator[bytes]:
            try:
                yield from chunks
            except Exception as error:
                failed.append(error)
                raise

        try:
            with translated(key):
                options: Any = {"chunk_size": PART_BYTES, "max_concurrency": PARTS_AT_ONCE}
                obstore.put(self._store, key, guarded(), use_multipart=True, **options)
        except DescentError:
            # What went wrong with the chunks themselves, not what the client makes of it.
            if failed:
                raise failed[0] from None
            raise

    def _refuse_known(self, key: str) -> None:
        with suppress(NotStored), translated(key):
            obstore.head(self._store, key)
            raise AlreadyStored(f"There are bytes under {key} already.")

    def _read(self, key: str, start: int, end: int) -> Iterator[bytes]:
        if end <= start:
            return
        with translated(key):
            found = obstore.get(self._store, key, options={"range": (start, end)})
            for chunk in found.stream(CHUNK_BYTES):
                yield bytes(chunk)

    def path_of(self, stored: Stored) -> Path:
        path = self._cache / "copies" / stored.sha256
        if path.is_file():
            self._verified.require(path, stored)
            path.touch()  # used last
            self._verified.remember(path, stored)
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{uuid4().hex}")
        try:
            with draft.open("xb") as file:
                file.writelines(self.read(stored))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        self._verified.remember(path, stored)
        self._make_room(path)
        return path

    def _make_room(self, newest: Path) -> None:
        """Removes the copies that were not used for longest. Who has mapped one keeps it."""
        others = (p for p in newest.parent.iterdir() if p != newest and not p.name.startswith("."))
        copies = sorted(others, key=lambda p: p.stat().st_mtime)
        room = self._cache_bytes - newest.stat().st_size - sum(p.stat().st_size for p in copies)
        while room < 0 and copies:
            oldest = copies.pop(0)
            room += oldest.stat().st_size
            oldest.unlink(missing_ok=True)
            self._verified.forget(oldest)

    def delete(self, key: str) -> None:
        with suppress(NotStored), translated(key):
            obstore.delete(self._store, key)

    def list(self, prefix: str = "") -> Iterator[Listed]:
        with translated(prefix):
            for batch in obstore.list(self._store, prefix.rstrip("/") or None):
                for item in batch:
                    yield Listed(item["path"], item["size"], item["last_modified"].timestamp())

    def sweep(self, before: float) -> None:
        # Parts of uploads that were never completed are the bucket's to remove, by a rule of its life cycle.
        for draft in (self._cache / "copies").glob(".*"):
            with suppress(FileNotFoundError):
                if draft.stat().st_mtime < before:
                    draft.unlink()

    def check(self) -> None:
        impatient = open_store(self._url, timeout=f"{CHECK_SECONDS}s", retries=0)
        with translated("the storage"):
            next(iter(obstore.list(impatient, chunk_size=1)), None)


def open_store(url: str, timeout: str = "60s", retries: int = 3) -> Any:
    """The client of a bucket, or of a prefix in one."""
    client: Any = {"allow_http": True, "timeout": timeout, "connect_timeout": "2s"}
    return from_url(url, client_options=client, retry_config={"max_retries": retries})


@contextmanager
def translated(key: str) -> Iterator[None]:
    """The errors of the client as ours."""
    try:
        yield
    except (AlreadyExistsError, FileExistsError):
        raise AlreadyStored(f"There are bytes under {key} already.") from None
    except (NotFoundError, FileNotFoundError):
        raise NotStored(f"There are no bytes under {key}.") from None
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise StorageRefuses("The storage does not let the service in: see its account and its credentials.") from error
    except (BaseError, OSError) as error:
        raise StorageAway("The storage cannot be reached, or refuses.") from error
