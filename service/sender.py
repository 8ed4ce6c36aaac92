"""Sends what webhooks are to be told: a thread of each process of the API looks for it, each delivery has one too.

Here, for the API knows how a job is shown, is there on every installation, and is idle while it waits for others; a job
is at no time held up by a receiver. Several processes share the work by claims (`models/deliveries.py`).
"""

import logging
import threading
import time
from collections import Counter

from sqlalchemy.exc import SQLAlchemyError

from models import deliveries
from models.addresses import hosts_of
from models.database import Database
from models.deliveries import Message, Outcome
from models.errors import NotFound
from models.settings import Settings
from models.signatures import headers_of
from service.known_queue import KnownQueue
from service.messages import body_of
from service.outgoing import post

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often it looks for what others wrote."""
AT_ONCE = 8
AT_ONCE_OF_AN_OWNER = 4
"""So that the receivers of one owner, all slow, leave room to those of others."""
SPARE_SECONDS = 30.0
"""Of a claim, besides those for the answer: to resolve the name, and to write down what came of it."""
SETTLE_TRIES = 20
RETRY_SECONDS = 0.5


class Sender:
    """Of one process."""

    def __init__(self, settings: Settings, database: Database, queue: KnownQueue, agent: str) -> None:
        self._settings = settings
        self._database = database
        self._queue = queue
        self._lease_seconds = settings.webhook_seconds + SPARE_SECONDS
        self._hosts = hosts_of(settings.webhook_hosts)
        self._headers = {"Content-Type": "application/json", "User-Agent": agent}
        self._lock = threading.Lock()
        self._under_way: dict[str, str] = {}
        """Of deliveries, with their owners."""
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ring(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def close(self) -> None:
        """Begins nothing more. What is under way and not written yet comes again when its claim has run out."""
        self._closing.set()
        self._wake.set()

    def _serve(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            try:
                self._send_due()
            except SQLAlchemyError as problem:
                log.warning("nothing is sent: %s", problem)
            except Exception:  # whatever it was, others have something to be told
                log.exception("unexpected")
            self._wake.wait(LOOK_SECONDS)

    def _send_due(self) -> None:
        """Begins deliveries as long as there are any, and places for them."""
        while not self._closing.is_set() and (busy := self._busy()) is not None:
            with self._database.read() as connection:
                if not deliveries.is_due(connection, busy):
                    return
            with self._database.write(durable=False) as connection:
                message = deliveries.claim(connection, self._lease_seconds, busy)
            if message is not None:
                with self._lock:
                    self._under_way[message.id] = message.owner
                threading.Thread(target=self._deliver, args=(message,), name=message.id, daemon=True).start()

    def _busy(self) -> list[str] | None:
        """Owners with no place left; None where nobody has one."""
        with self._lock:
            held = Counter(self._under_way.values())
        if held.total() >= AT_ONCE:
            return None
        return [owner for owner, count in held.items() if count >= AT_ONCE_OF_AN_OWNER]

    def _deliver(self, message: Message) -> None:
        try:
            self._settle(message, self._outcome(message))
        except (SQLAlchemyError, NotFound) as problem:
            # It comes again when its claim has run out, unless its job was deleted.
            log.warning("%s: what came of it is not written: %s", message.id, problem)
        finally:
            with self._lock:
                del self._under_way[message.id]
            self.ring()

    def _outcome(self, message: Message) -> Outcome:
        try:
            outcome = self._sent(message)
        except (SQLAlchemyError, NotFound):
            raise
        except Exception:  # whatever it was, it counts, so that it does not come again for ever
            log.exception("%s: unexpected", message.id)
            return Outcome(None, "broken", "Something went wrong in Descent; its log names this id.")
        log.info("%s to %s: %s", message.id, message.webhook_id, outcome.error or "delivered")
        return outcome

    def _sent(self, message: Message) -> Outcome:
        body = (message.body or self._made(message)).encode()
        signed = headers_of(message.id, int(time.time()), body, message.secrets)
        return post(message.url, self._headers | signed, body, self._hosts, self._settings.webhook_seconds)

    def _made(self, message: Message) -> str:
        """The body, written down before it is sent."""
        with self._database.read() as connection:
            body = body_of(connection, message, self._queue, self._settings.max_attempts)
        with self._database.write(durable=False) as connection:
            deliveries.keep_body(connection, message, body)
        return body

    def _settle(self, message: Message, outcome: Outcome) -> None:
        """Again and again for a while, where the database is away: a receiver should not hear twice what it took."""
        for tries_left in reversed(range(SETTLE_TRIES)):
            try:
                with self._database.write(durable=False) as connection:
                    deliveries.settle(connection, message, outcome, self._settings.webhook_pauses)
                return
            except SQLAlchemyError:
                if not tries_left or self._closing.wait(RETRY_SECONDS):
                    raise
