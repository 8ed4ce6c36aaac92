"""Rings the workers after a POST. In the background, and never more often than every 50 ms: a ring names no job."""

import logging
import threading
import time

from kombu.connection import Connection
from kombu.exceptions import OperationalError

from models.queue import create_connection, ring
from models.settings import Settings

log = logging.getLogger(__name__)

QUIET_SECONDS = 0.05


class Doorbell:
    """Coalesces rings with a trailing edge: the last POST of a burst always rings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pressed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self) -> None:
        """Returns at once, whatever the broker does."""
        self._pressed.set()
        with self._lock:
            # Not before the first ring: the server may fork until then.
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="doorbell", daemon=True)
                self._thread.start()

    def _serve(self) -> None:
        connection = create_connection(self._settings)
        while True:
            self._pressed.wait()
            self._pressed.clear()
            self._send(connection)
            time.sleep(QUIET_SECONDS)

    def _send(self, connection: Connection) -> None:
        try:
            ring(connection)
        except (OperationalError, *connection.connection_errors, *connection.channel_errors) as error:
            # The job is committed; an idle worker finds it by itself within seconds.
            log.warning("the broker is away: %s", error)
        except Exception:  # whatever it was, the next ring is tried again
            log.warning("nobody was rung", exc_info=True)
