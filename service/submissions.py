"""Jobs that are posted at the same time are committed together: one wait for the disk, not one each."""

import queue
import threading
from concurrent.futures import Future
from typing import Any

from models.database import Database
from models.errors import DescentError
from models.submission import Submission, submit_all

MOST_AT_ONCE = 200
Waiting = tuple[Submission, "Future[dict[str, Any]]"]


class Submissions:
    """A thread that writes what came in while it wrote the last. Nothing waits for company: a lone job goes at once."""

    def __init__(self, database: Database, most_queued: int) -> None:
        self._database = database
        self._most_queued = most_queued
        self._waiting: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(self, submission: Submission) -> dict[str, Any]:
        """Queues a job, and returns its values when it is committed.

        Raises:
            QueueFull, InvalidDefinition, SQLAlchemyError
        """
        with self._lock:
            # Not before the first job: the server may fork until then.
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="submissions", daemon=True)
                self._thread.start()
        answer: Future[dict[str, Any]] = Future()
        self._waiting.put((submission, answer))
        return answer.result()

    def _serve(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < MOST_AT_ONCE and not self._waiting.empty():
                batch.append(self._waiting.get())
            try:
                self._write(batch)
            except Exception as error:  # each who waits has to hear of it, and the next must be served
                for _, answer in batch:
                    answer.set_exception(error)

    def _write(self, batch: list[Waiting]) -> None:
        wanted = [submission for submission, _ in batch]
        with self._database.write() as connection:
            outcomes = submit_all(connection, wanted, self._most_queued)
        for (_, answer), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, DescentError):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)
