"""Answers about jobs that have ended, kept as they were sent: such a job only changes with its version."""

from collections import OrderedDict
from threading import Lock

MOST_BYTES = 4_000_000
"""About a thousand jobs."""


class EndedJobs:
    """The answers asked for last."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lock = Lock()
        self._kept: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._kept

    def find(self, job_id: str, version: int) -> bytes | None:
        """The answer about this version of a job, if it is kept."""
        with self._lock:
            known, body = self._kept.get(job_id, (None, b""))
            if known != version:
                return None
            self._kept.move_to_end(job_id)
            return body

    def keep(self, job_id: str, version: int, body: bytes) -> None:
        with self._lock:
            self._bytes += len(body) - len(self._kept.pop(job_id, (0, b""))[1])
            self._kept[job_id] = version, body
            while self._bytes > self._most_bytes:
                _, (_, oldest) = self._kept.popitem(last=False)
                self._bytes -= len(oldest)

    def forget(self, job_id: str) -> None:
        with self._lock:
            self._bytes -= len(self._kept.pop(job_id, (0, b""))[1])
