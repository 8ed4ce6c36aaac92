"""One thread in each process watches the jobs that anyone waits for; no waiter holds a database connection.

with watcher.place() as place: place.wait(job_id, lambda mark: mark.version > 3, seconds=10)
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType

from sqlalchemy.exc import SQLAlchemyError

from models.database import Database
from models.errors import DescentError
from models.queries import Mark, marks

log = logging.getLogger(__name__)

POLL_SECONDS = 0.05
LONGEST_SECONDS = 0.5
REST = 5
"""Times as long as a question took the watcher rests, so that with hundreds of jobs it leaves the process to others."""
MOST_AT_ONCE = 200
"""Jobs that one question asks for."""
IsNews = Callable[[Mark], bool]


class TooManyWaiters(DescentError):
    """Too many requests wait at this process."""


class Watcher:
    """Waits for jobs to change. It wakes only those whose job did: hundreds that look for themselves, twenty times a
    second, would leave the interpreter to nobody else."""

    def __init__(self, database: Database, most_places: int) -> None:
        self._database = database
        self._most_places = most_places
        self._lock = threading.Condition()
        self._taken = 0
        self._waiting: set[Place] = set()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def place(self) -> "Place":
        """A place to wait at, for as long as its block.

        Raises:
            TooManyWaiters
        """
        with self._lock:
            if self._taken >= self._most_places:
                raise TooManyWaiters(f"{self._most_places} requests wait at once, the most allowed (DESCENT_WAITERS).")
            self._taken += 1
        return Place(self)

    def close(self) -> None:
        """Sends all who wait home, and those who come later: the process is about to end."""
        with self._lock:
            self._is_closed = True
            self._wake(self._waiting)

    @property
    def taken(self) -> int:
        """Places."""
        return self._taken

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def leave(self) -> None:
        with self._lock:
            self._taken -= 1

    def enter(self, place: "Place") -> None:
        with self._lock:
            self._waiting.add(place)
            if self._is_closed:
                self._wake([place])
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
                self._thread.start()
            self._lock.notify()

    def exit(self, place: "Place") -> None:
        with self._lock:
            self._waiting.discard(place)

    def _watch(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._waiting)
                waiting = list(self._waiting)
            began = time.monotonic()
            found = self._read(sorted({place.job_id for place in waiting}))
            self._wake(place for place in waiting if place.has_news(found.get(place.job_id)))
            asked = time.monotonic() - began
            time.sleep(min(max(POLL_SECONDS, REST * asked), LONGEST_SECONDS))

    def _wake(self, places: "Iterable[Place]") -> None:
        for place in places:
            place.woken.set()

    def _read(self, job_ids: list[str]) -> dict[str, Mark]:
        found: dict[str, Mark] = {}
        try:
            with self._database.read() as connection:
                for start in range(0, len(job_ids), MOST_AT_ONCE):
                    found |= marks(connection, job_ids[start : start + MOST_AT_ONCE])
        except SQLAlchemyError as error:
            log.warning("the database is away: %s", error)
            return {}
        return found


class Place:
    """Of one who waits."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._is_left = False
        self.job_id = ""
        self._is_news: IsNews = lambda mark: True
        self.woken = threading.Event()

    def wait(self, job_id: str, is_news: IsNews, seconds: float) -> bool:
        """Returns when there is news of a job, when the time is over (then false), or when the process ends."""
        self.job_id, self._is_news = job_id, is_news
        self.woken.clear()
        self._watcher.enter(self)
        try:
            return self.woken.wait(seconds)
        finally:
            self._watcher.exit(self)

    @property
    def is_closed(self) -> bool:
        """Whether nobody is to wait any more."""
        return self._watcher.is_closed

    def has_news(self, mark: Mark | None) -> bool:
        return mark is not None and self._is_news(mark)

    def leave(self) -> None:
        """Makes room; a second time it does nothing."""
        if not self._is_left:
            self._is_left = True
            self._watcher.leave()

    def __enter__(self) -> "Place":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
