"""Requests with an Idempotency-Key that are under way at this process.

What another process is answering is not known here: then the database makes the later one wait, and tell the same.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import InFlight
from models.idempotency import Key


class Flights:
    """The keys whose requests this process is answering."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: set[tuple[str, str]] = set()

    @contextmanager
    def of(self, key: Key) -> Iterator[None]:
        """
        Raises:
            InFlight
        """
        name = key.owner, key.key
        with self._lock:
            if name in self._keys:
                raise InFlight
            self._keys.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._keys.remove(name)
