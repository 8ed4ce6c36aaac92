"""Takes an upload off the wire and into storage, some bytes at a time: a multipart form, or the raw body."""

from collections.abc import Iterator

from flask import Request
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from models.errors import InvalidDataset
from models.ingest.refusal import refused
from models.sources import Source
from models.storage import Storage, Stored

CHUNK_BYTES = 2**18
FIELD_BYTES = 2**20
"""Of all form fields but the file."""


class Receiver:
    """One request's body. What cannot be taken whole leaves nothing in storage."""

    def __init__(self, request: Request, most_bytes: int) -> None:
        self._length = request.content_length
        self._most_bytes = most_bytes
        if (self._length or 0) > most_bytes + FIELD_BYTES:
            raise too_large(self._most_bytes)
        request.max_content_length = most_bytes + FIELD_BYTES
        self._stream = request.stream
        self._received = 0
        self.fields: dict[str, str] = {}
        """Of the form; there are some once the file is stored."""
        self.filename = ""

    def raw(self, storage: Storage, key: str) -> Stored:
        """Stores the whole body."""
        return storage.write(key, limited(self._chunks(), self._most_bytes))

    def form(self, storage: Storage, key: str, boundary: str) -> Stored:
        """Stores the field `file` of a form; the others are kept.

        Raises:
            InvalidDataset: there is no such field, or a second one, or an option twice.
            BadRequest: it is no proper form, or ends too early.
        """
        decoder = MultipartDecoder(boundary.encode("latin-1"), FIELD_BYTES)
        stored, events = None, self._events(decoder)
        try:
            for event in events:
                if isinstance(event, File):
                    if stored or event.name != "file":
                        raise refused(
                            "unknown_field", f"There is a file in the field {event.name!r}.", "Send `file`, once."
                        )
                    self.filename = event.filename or ""
                    stored = storage.write(key, limited(_part(events), self._most_bytes))
                elif isinstance(event, Field):
                    content = b"".join(_part(events))
                    if event.name in self.fields:
                        raise repeated(event.name)
                    self.fields[event.name] = content.decode("utf-8", "replace")
        except BaseException:
            if stored:
                storage.delete(stored.key)
            raise
        if stored is None:
            hint = "curl -F file=@rows.csv, or the raw body with its options in the query."
            raise refused("missing_file", "The form has no field `file` with a file.", hint)
        return stored

    def _events(self, decoder: MultipartDecoder) -> Iterator[Event]:
        chunks, in_fields = self._chunks(), 0
        is_file = False
        try:
            while True:
                event = decoder.next_event()
                if isinstance(event, NeedData):
                    decoder.receive_data(next(chunks, None))
                    continue
                is_file = isinstance(event, File) or (is_file and isinstance(event, Data))
                in_fields += len(event.data) if isinstance(event, Data) and not is_file else 0
                if in_fields > FIELD_BYTES:
                    raise RequestEntityTooLarge(f"The fields of the form have more than {FIELD_BYTES:,} bytes.")
                yield event
                if isinstance(event, Epilogue):
                    return
        except ValueError as error:
            raise BadRequest(f"The form is broken, or ends too early: {error}.") from error

    def _chunks(self) -> Iterator[bytes]:
        """The body; an error if it ends before the length that was announced."""
        try:
            while chunk := self._stream.read(CHUNK_BYTES):
                self._received += len(chunk)
                yield chunk
        except RequestEntityTooLarge:
            raise too_large(self._most_bytes) from None
        except ClientDisconnected:
            raise self._cut_short() from None
        if self._length is not None and self._received < self._length:
            raise self._cut_short()

    def _cut_short(self) -> BadRequest:
        announced = f" of {self._length:,}" if self._length is not None else ""
        return BadRequest(f"The upload ended after {self._received:,}{announced} bytes; nothing was kept.")


def fetch(url: str, storage: Storage, key: str, most_bytes: int) -> Stored:
    """Stores an object from elsewhere.

    Raises:
        InvalidDataset, StorageAway
        RequestEntityTooLarge
    """
    source = Source(url)
    if source.size > most_bytes:
        raise too_large(most_bytes)
    return storage.write(key, limited(source.chunks(), most_bytes))


def limited(chunks: Iterator[bytes], most_bytes: int) -> Iterator[bytes]:
    """The chunks, as long as they are not too many."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > most_bytes:
            raise too_large(most_bytes)
        yield chunk


def repeated(name: str) -> InvalidDataset:
    return refused("repeated_option", f"`{name[:100]}` is there twice.", "Send it once.", f"/{name[:100]}")


def too_large(most_bytes: int) -> RequestEntityTooLarge:
    detail = f"The upload has more than {most_bytes:,} bytes, the most allowed (DESCENT_UPLOAD_BYTES)."
    return RequestEntityTooLarge(detail)


def _part(events: Iterator[Event]) -> Iterator[bytes]:
    """The data of the part whose head was the last event."""
    for event in events:
        if isinstance(event, Data):
            yield event.data
            if not event.more_data:
                return
    raise BadRequest("The form ends too early.")
