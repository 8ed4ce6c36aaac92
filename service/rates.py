"""Requests a minute of each key: counted in this process, and in Redis for all processes where the broker is one."""

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.errors import DescentError
from models.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60
BLOCKS = 100
"""A process takes so many requests of a key from Redis at once: a hundredth of the limit. What it does not use, others
lack; asking at each request would take longer than most answers."""
REDIS_SECONDS = 0.25
"""A request waits no longer for Redis."""
AWAY_SECONDS = 10.0
"""For so long each process counts alone once Redis did not answer: a limit is no reason to refuse service."""


class TooManyRequests(DescentError):
    """Too many requests in this minute."""


@dataclass(frozen=True)
class Standing:
    """Of a key in the current minute."""

    limit: int
    used: int
    reset_seconds: int

    @property
    def remaining(self) -> int:
        return max(self.limit - self.used, 0)


@dataclass
class Tally:
    """Of a key in this process and minute."""

    used: int = 0
    taken: int = 0
    """From Redis."""
    elsewhere: int = 0
    """Taken by other processes, when this one last took some."""


class Rates:
    """Fixed windows of a minute, by the wall clock."""

    def __init__(self, settings: Settings) -> None:
        self._limit = settings.requests_per_minute
        self._block = max(self._limit // BLOCKS, 1)
        self._lock = threading.Lock()
        self._window = 0
        self._tallies: dict[str, Tally] = {}
        self._redis: Redis | None = None
        self._away_until = 0.0
        if settings.broker.startswith(("redis://", "rediss://")):
            import redis  # noqa: PLC0415  # ten megabytes, which the embedded service does without

            timeouts = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
            self._redis = redis.Redis.from_url(settings.broker, **timeouts)

    def count(self, key: str) -> Standing:
        """One more request of a key."""
        now = time.time()
        window = int(now // WINDOW_SECONDS)
        with self._lock:
            if window != self._window:
                self._window, self._tallies = window, {}
            tally = self._tallies.setdefault(key, Tally())
            tally.used += 1
            is_short = self._redis is not None and tally.used > tally.taken
            if is_short:
                tally.taken += self._block
        if is_short:
            self._take(tally, f"descent:requests:{key}:{window}")
        return Standing(self._limit, tally.used + tally.elsewhere, int((window + 1) * WINDOW_SECONDS - now) + 1)

    def _take(self, tally: Tally, name: str) -> None:
        if self._redis is None or time.monotonic() < self._away_until:
            return
        try:
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.incrby(name, self._block)
            pipeline.expire(name, 2 * WINDOW_SECONDS)
            tally.elsewhere = max(pipeline.execute()[0] - tally.taken, 0)
        except Exception as error:  # whatever ails Redis, the calls go on
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("requests are counted in this process alone: %s", error)
