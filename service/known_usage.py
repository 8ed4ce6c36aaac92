"""What owners use, as this process last read it: it is looked at for each new job."""

import time

from models.database import Database
from models.errors import OverBudget
from models.settings import Settings
from models.usage import Usage, usage_of

FRESH_SECONDS = 5.0
"""By so much an owner may outrun a limit."""


class KnownUsage:
    """Asks the database only where a limit is set."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._known: dict[str, tuple[float, Usage]] = {}

    def require_budget(self, owner: str) -> None:
        """Lets something new pass, unless the owner has used up what one may use.

        Raises:
            OverBudget
        """
        most_bytes, most_seconds = self._settings.stored_bytes, self._settings.device_seconds
        if not (most_bytes or most_seconds):
            return
        used = self._of(owner)
        if most_bytes and used.stored_bytes >= most_bytes:
            detail = f"You keep {used.stored_bytes:,} bytes; {most_bytes:,} are the most (DESCENT_STORED_BYTES)."
            raise OverBudget(f"{detail} Delete jobs or data sets.", int(FRESH_SECONDS))
        if most_seconds and used.device_seconds >= most_seconds:
            limit = f"the most in a day, {most_seconds:,g} (DESCENT_DEVICE_SECONDS)"
            detail = f"Your jobs have used {used.device_seconds:,.0f} seconds of devices today, {limit}."
            raise OverBudget(f"{detail} A new day begins at midnight, UTC.", used.day_ends_seconds)

    def _of(self, owner: str) -> Usage:
        good_until, usage = self._known.get(owner, (0.0, None))
        if usage is None or time.monotonic() >= good_until:
            with self._database.read() as connection:
                usage = usage_of(connection, owner)
            self._known[owner] = time.monotonic() + FRESH_SECONDS, usage
        return usage
