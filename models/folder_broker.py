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
        # kombu writes into the file that a worker may be reading: half a message would end the worker.
        message = Path(self.data_folder_out) / f"{time.monotonic_ns() // 1_000_000}_{uuid4()}.{queue}.msg"
        draft = message.with_suffix(".draft")
        draft.write_bytes(str_to_bytes(dumps(payload)))
        draft.replace(message)

    def _queue_bind(self, *binding: Any) -> None:
        self._make_folders()
        super()._queue_bind(*binding)

    def _make_folders(self) -> None:
        for folder in (self.data_folder_in, self.control_folder):
            Path(folder).mkdir(parents=True, exist_ok=True)


class FolderTransport(filesystem.Transport):
    Channel = FolderChannel
    connection_errors = (*virtual.Transport.connection_errors, ChannelError, OSError)
