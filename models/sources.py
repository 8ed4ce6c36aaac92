"""Bytes from elsewhere: objects in S3 that a client names and the service may read, with its own credentials."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import InvalidDataset
from models.settings import Settings
from models.storage import CHUNK_BYTES, NotStored, StorageRefuses

FORM = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,62}/[^\0?#]{1,1000}")


def allowed(url: str, settings: Settings) -> str:
    """The URL, if it may be read.

    Raises:
        InvalidDataset
    """
    prefixes = [prefix.strip() for prefix in settings.url_sources.split(",") if prefix.strip()]
    # A prefix ends where a name does: s3://data/ours is not s3://data/ours-not.
    fits = any(url.startswith(prefix if prefix.endswith("/") else f"{prefix}/") or url == prefix for prefix in prefixes)
    if not FORM.fullmatch(url) or "/../" in url or "//" in url.removeprefix("s3://"):
        raise InvalidDataset.at(
            "/url", "wrong_url", f"{url[:200]!r} is no URL of an object.", "Write s3://bucket/path/of/the/object."
        )
    if not fits:
        detail = f"{url[:200]!r} is not among the sources that the service may read (DESCENT_URL_SOURCES)."
        raise InvalidDataset.at(
            "/url", "source_not_allowed", detail, "Upload the file, or ask for its source to be allowed."
        )
    return url


class Source:
    """One object.

    Raises:
        InvalidDataset: there is no such object.
        StorageAway: it cannot be reached, or may not be read.
    """

    def __init__(self, url: str) -> None:
        from models.remote_storage import open_store  # noqa: PLC0415  17 ms, for the few uploads that need it

        self._url = url
        bucket, _, self._key = url.removeprefix("s3://").partition("/")
        self._store = open_store(f"s3://{bucket}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        from models.remote_storage import translated  # noqa: PLC0415

        try:
            with translated(self._url):
                yield
        except NotStored:
            detail = f"There is no {self._url[:200]!r}."
            raise InvalidDataset.at("/url", "no_such_object", detail, "Check the bucket and the path.") from None
        except StorageRefuses:
            detail = f"The service may not read {self._url[:200]!r}."
            raise InvalidDataset.at("/url", "not_readable", detail, "Let its account read the object.") from None

    @property
    def size(self) -> int:
        """In bytes, before any is read."""
        import obstore  # noqa: PLC0415

        with self._told():
            return int(obstore.head(self._store, self._key)["size"])

    def chunks(self) -> Iterator[bytes]:
        import obstore  # noqa: PLC0415

        with self._told():
            for chunk in obstore.get(self._store, self._key).stream(CHUNK_BYTES):
                yield bytes(chunk)
