"""Stored bytes as an answer: whole or in part (RFC 9110, sections 13 and 14), streamed, never whole in memory."""

import base64
from collections.abc import Iterator

from flask import Response, request
from werkzeug.datastructures import Range
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import dump_options_header, http_date

from models.storage import Storage, Stored


def answer_stored(storage: Storage, stored: Stored, media_type: str, name: str, modified: float) -> Response:
    """A GET of stored bytes. They are named by their checksum: `ETag` and `Repr-Digest` (RFC 9530).

    Raises:
        RequestedRangeNotSatisfiable: 416.
    """
    if request.if_none_match.contains(stored.sha256) or _is_unmodified(modified):
        return _labelled(Response(status=304), stored, name, modified)
    start, end = _asked(stored, modified)
    is_part = (start, end) != (0, stored.size)
    chunks = storage.read(stored, start, end) if end > start else iter(())
    reply = Response(_opened(chunks), 206 if is_part else 200, mimetype=media_type, direct_passthrough=True)
    reply.headers["Content-Length"] = str(end - start)
    if is_part:
        reply.headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
    return _labelled(reply, stored, name, modified)


def _labelled(reply: Response, stored: Stored, name: str, modified: float) -> Response:
    digest = base64.b64encode(bytes.fromhex(stored.sha256)).decode()
    reply.set_etag(stored.sha256)
    reply.headers["Accept-Ranges"] = "bytes"
    reply.headers["Repr-Digest"] = f"sha-256=:{digest}:"
    reply.headers["Last-Modified"] = http_date(modified)
    reply.headers["Content-Disposition"] = dump_options_header("attachment", {"filename": name})
    # It never changes, but whoever has no key any more is not to have it.
    reply.headers["Cache-Control"] = "private, no-cache"
    return reply


def _is_unmodified(modified: float) -> bool:
    since = request.if_modified_since
    return not request.if_none_match and since is not None and int(modified) <= since.timestamp()


def _asked(stored: Stored, modified: float) -> tuple[int, int]:
    """The first byte, and the one after the last. Of several ranges, or one in another unit, the answer is all."""
    wanted: Range | None = request.range
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1 or not _holds(stored, modified):
        return 0, stored.size
    [(start, end)] = wanted.ranges
    # A suffix may be longer than all there is.
    start = max(start + stored.size, 0) if start < 0 else start
    if start >= stored.size:
        raise RequestedRangeNotSatisfiable(stored.size)
    return start, stored.size if end is None else min(end, stored.size)


def _holds(stored: Stored, modified: float) -> bool:
    """Whether `If-Range` speaks of these very bytes; a weak tag never does."""
    condition = request.if_range
    if condition.date is not None:
        return condition.date.timestamp() == int(modified)
    return "If-Range" not in request.headers or request.headers["If-Range"] == f'"{stored.sha256}"'


def _opened(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """With the first chunk at hand, so that what is not there is an error instead of an answer that breaks off."""
    first = next(chunks, b"")

    def rest() -> Iterator[bytes]:
        yield first
        yield from chunks

    return rest()
