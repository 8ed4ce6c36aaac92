"""The embedded broker: messages as files in a folder, by kombu, on which somebody may lay hands while it is used.

A folder that is removed is made anew. One that cannot be made is a connection that is lost: Celery tries again, as with
any broker that is away.
"""

# mypy: disable-error-code="no-untyped-call, override, assignment"
# kombu's own classes have no types.

import time
from pathlib import Path
from queue import Empty
from typing import Any
from uuid import uuid4

from kombu.exceptions import ChannelError
from kombu.transport import filesystem, virtual
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps


class FolderChannel(filesystem.Channel):
    """As kombu's, but for a folder that is not there: it is empty."""

    def _get(self, queue: str) -> Any:
        try:
            return super()._get(queue)
        except FileNotFoundError:
            self._make_folders()
            raise Empty from None

    def _size(self, queue: str) -> int:
        try:
            return int(super()._size(queue))
        except FileNotFoundError:
            return 0

    def _put(self, queue: str, payload: Any, **options: Any) -> None:
        self._make_folders()
        message = Path(self.data_folder_out) / f"{time.monotonic_ns() // 1_000_000}_{uuid4()}.{queue}.msg"
        _write(message, payload)

    def get_table(self, exchange: str) -> list[Any]:
        try:
            return list(super().get_table(exchange))
        except ValueError:  # half written, by a version that wrote in place
            return []

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        self._make_folders()
        binding = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        known = self.get_table(exchange)
        if binding not in known:
            _write(self._exchange_file(exchange), [binding, *known])

    def _make_folders(self) -> None:
        for folder in (self.data_folder_in, self.control_folder):
            Path(folder).mkdir(parents=True, exist_ok=True)


def _write(path: Path, content: Any) -> None:
    """All at once: kombu writes into the file that others may be reading, and half of one would end a worker."""
    draft = path.with_name(f"{path.name}-{uuid4()}.draft")
    draft.write_bytes(str_to_bytes(dumps(content)))
    draft.replace(path)


class FolderTransport(filesystem.Transport):
    Channel = FolderChannel
    connection_errors = (*virtual.Transport.connection_errors, ChannelError, OSError)
