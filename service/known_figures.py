"""What the database says of the service, and what of its parts can be reached, as this process last saw it: however
often somebody scrapes, that is a small part of the database's work."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from models.database import Database
from models.figures import Figures, read_figures
from models.settings import Settings

log = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
REST = 50
"""Times as long as it took to read, it is good: with a hundred thousand jobs waiting that is part of a second."""
LONGEST_SECONDS = 60.0


@dataclass(frozen=True)
class Seen:
    figures: Figures | None
    """None while the database is away: what was known is no news then."""
    reachable: dict[str, bool]
    """By part: `database`, `broker`, `storage`."""


class KnownFigures:
    """Reads when somebody asks and what is known has become old; others who ask meanwhile wait for the same."""

    def __init__(self, database: Database, settings: Settings, others: Mapping[str, Callable[[], bool]]) -> None:
        """`others`: the parts besides the database, and how to see whether each is there."""
        self._database = database
        self._settings = settings
        self._others = others
        self._lock = threading.Lock()
        self._seen: Seen | None = None
        self._good_until = 0.0

    def now(self) -> Seen:
        with self._lock:
            began = time.monotonic()
            if self._seen is None or began >= self._good_until:
                figures = self._read()
                rest = REST * (time.monotonic() - began) if figures else 0.0
                others = {name: is_there() for name, is_there in self._others.items()}
                self._seen = Seen(figures, {"database": figures is not None} | others)
                self._good_until = time.monotonic() + min(max(FRESH_SECONDS, rest), LONGEST_SECONDS)
            return self._seen

    def _read(self) -> Figures | None:
        try:
            with self._database.read() as connection:
                return read_figures(connection, self._settings.lease_seconds)
        except SQLAlchemyError as problem:
            log.warning("the database is away: %s", problem)
            return None
