"""A zip file that somebody sent. Its names are never used as paths, and its sizes are not believed."""

import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from models.errors import InvalidDataset
from models.ingest.refusal import refused

MOST_RATIO = 200
"""Times that a file may be larger than its packed bytes, once it is larger than FREE_BYTES."""
FREE_BYTES = 50_000_000
MOST_ENTRIES = 5_000_000


class Archive:
    """The entries of a zip file, all of which are checked before any is read."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._zip = open_zip(path)
        self.entries = [entry for entry in self._zip.infolist() if not entry.is_dir()]
        if not self.entries:
            raise refused("empty_file", "The zip file has no files.", "Put something into it.")
        if len(self.entries) > MOST_ENTRIES:
            raise refused("too_many_files", f"The zip file has {len(self.entries):,} files.", "Send an NPZ.")
        for entry in self.entries:
            refuse_unsafe(entry)
        self._refuse_bomb(most_bytes)
        self._by_name = {entry.filename: entry for entry in self.entries}
        if len(self._by_name) < len(self.entries):
            raise refused("repeated_name", "The zip file has two files of one name.", "Give each a name of its own.")

    def _refuse_bomb(self, most_bytes: int) -> None:
        unpacked, packed = (sum(getattr(e, size) for e in self.entries) for size in ("file_size", "compress_size"))
        if unpacked > most_bytes:
            detail = f"Unpacked it has {unpacked:,} bytes; at most {most_bytes:,} go (DESCENT_UNPACKED_BYTES)."
            raise refused("too_large_unpacked", detail, "Send fewer rows, or smaller ones.")
        if unpacked > FREE_BYTES and unpacked > MOST_RATIO * packed:
            detail = f"It unpacks to {unpacked:,} bytes, {unpacked // max(packed, 1):,} times its size."
            raise refused("zip_bomb", detail, "Send it uncompressed (numpy.savez, zip -0).")

    @property
    def names(self) -> set[str]:
        return set(self._by_name)

    def entry(self, name: str) -> zipfile.ZipInfo:
        return self._by_name[name]

    @contextmanager
    def opened(self, entry: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
        """The content of an entry; whatever is found broken while it is read is said of the entry."""
        try:
            file = self._zip.open(entry)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError) as error:
            raise _broken(entry, error) from None
        try:
            with file:
                yield file
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
            raise _broken(entry, error) from None

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._zip.close()


def open_zip(path: Path) -> zipfile.ZipFile:
    """Unchecked as yet.

    Raises:
        InvalidDataset
    """
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        detail = f"The zip file is broken: {str(error)[:200]}."
        raise refused("broken_zip", detail, "It may be cut short; send it again.") from None


def refuse_unsafe(entry: zipfile.ZipInfo) -> None:
    """A name that leads elsewhere, a link, or what needs a password: whoever made this means no data set."""
    # As it is in the file: the library itself cuts a name at a NUL.
    name = entry.orig_filename
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ":" in parts[0] or ".." in parts or "\0" in name:
        detail = f"The name {name[:100]!r} in the zip file leads out of it."
        raise refused("unsafe_name", detail, "Pack the folders of the classes from the folder above them.")
    mode = entry.external_attr >> 16
    if stat.S_ISLNK(mode) or (mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR)):
        detail = f"{name[:100]!r} in the zip file is a link, or no file."
        raise refused("link_in_zip", detail, "Pack the files themselves (zip without -y).")
    if entry.flag_bits & 1:
        raise refused("encrypted", f"{name[:100]!r} in the zip file needs a password.", "Pack it without one.")


def _broken(entry: zipfile.ZipInfo, error: Exception) -> InvalidDataset:
    detail = f"{entry.filename[:100]!r} in the zip file is broken: {str(error)[:200]}."
    return refused("broken_zip", detail, "Pack it again.")


def exactly(file: IO[bytes], size: int) -> bytes:
    """Just so many bytes.

    Raises:
        EOFError: there are fewer.
    """
    content = file.read(size)
    # A compressed stream may give less at a time than is asked for.
    while len(content) < size and (more := file.read(size - len(content))):
        content += more
    if len(content) < size:
        raise EOFError("it ends too early")
    return content
