"""Uploads are read by children of this process: it starts them, hears what they say, and cleans up after them.

The state is in the database. Whoever holds the lease of a data set reads it; if this process dies, its children go with
it, and another one, or the same after a restart, takes the data set up again from the stored upload.
"""

import json
import logging
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError

from models import datasets
from models.database import Database
from models.errors import DescentError
from models.ids import is_id
from models.settings import Settings
from models.storage import Storage, StorageAway

log = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
RENEW_SECONDS = 5.0
WATCH_SECONDS = 5.0
AT_ONCE = 2
ORPHAN_SECONDS = 3600.0
"""Bytes of so old a draft, without a data set that knows them, were left by a process that died."""
TITLE = "The file could not be read"
Problems = list[dict[str, str]]
Child = subprocess.Popen[bytes]


class Ticket:
    """Somebody waits for a data set, for a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.is_waiting = True
        self.outcome: Future[Problems | None] = Future()

    def leave(self) -> bool:
        """The waiting ends; true if there is an outcome by now."""
        with self.lock:
            self.is_waiting = False
            return self.outcome.done()


class Ingests:
    """Of one API process."""

    def __init__(self, settings: Settings, database: Database, storage: Storage) -> None:
        self._settings = settings
        self._database = database
        self._storage = storage
        self._scratch = settings.data.absolute() / "scratch"
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: set[str] = set()

    def read(self, dataset_id: str, wait_seconds: float) -> Problems | None:
        """Has a registered data set read. Gives its problems if it has any, and is forgotten; [] if it is ready; None
        if it takes longer than so many seconds: then its row will say what became of it."""
        ticket = Ticket()
        self._submit(dataset_id, ticket)
        try:
            return ticket.outcome.result(wait_seconds)
        except TimeoutError:
            return ticket.outcome.result() if ticket.leave() else None

    def _submit(self, dataset_id: str, ticket: Ticket | None = None) -> None:
        with self._lock:
            # Not before the first: the server may fork until then.
            if self._pool is None:
                self._pool = ThreadPoolExecutor(AT_ONCE, "ingest")
            # What waits for its turn is found to be abandoned again and again.
            if ticket is not None or dataset_id not in self._waiting:
                self._waiting.add(dataset_id)
                self._pool.submit(self._run, dataset_id, ticket)

    def watch(self) -> None:
        """From now on data sets that were left by a process that died are taken up, and its leavings removed."""
        threading.Thread(target=self._watch, name="ingests", daemon=True).start()

    def _watch(self) -> None:
        swept_at = 0.0
        while True:
            try:
                with self._database.read() as connection:
                    abandoned = datasets.abandoned(connection)
                for dataset_id in abandoned:
                    self._submit(dataset_id)
                if time.monotonic() - swept_at > ORPHAN_SECONDS:
                    self.sweep()
                    swept_at = time.monotonic()
            except (SQLAlchemyError, DescentError, OSError) as problem:
                log.warning("data sets are not watched at the moment: %s", problem)
            time.sleep(WATCH_SECONDS)

    def remove_bytes(self, dataset_id: str) -> None:
        """Of a data set that is gone; what cannot be removed now is swept later."""
        try:
            self._storage.delete(f"uploads/{dataset_id}")
            self._storage.delete_all(f"datasets/{dataset_id}/")
            self._clear_scratch(dataset_id)
        except StorageAway as problem:
            log.warning("the bytes of %s are removed later: %s", dataset_id, problem)

    def _clear_scratch(self, dataset_id: str) -> None:
        """Of what attempts left whose process died."""
        for left in self._scratch.glob(f"{dataset_id}-*"):
            shutil.rmtree(left, ignore_errors=True)

    def sweep(self, older_than: float | None = None) -> None:
        """Removes bytes that no data set knows, or that it needs no more; none that may just be written."""
        if older_than is None:
            older_than = max(ORPHAN_SECONDS, 2 * self._settings.ingest_seconds)
        before = time.time() - older_than
        old = [listed for prefix in ("uploads/", "datasets/") for listed in self._storage.list(prefix)]
        of = {listed.key: listed.key.split("/")[1] for listed in old if listed.modified < before}
        ids = sorted({dataset_id for dataset_id in of.values() if is_id(dataset_id)})
        with self._database.read() as connection:
            known = datasets.needed_keys(connection, ids)
        for key in of.keys() - known:
            self._storage.delete(key)
        self._storage.sweep(before)
        if self._scratch.is_dir():
            for folder in self._scratch.iterdir():
                if folder.stat().st_mtime < before:
                    shutil.rmtree(folder, ignore_errors=True)

    def _run(self, dataset_id: str, ticket: Ticket | None) -> None:
        with self._lock:
            self._waiting.discard(dataset_id)
        try:
            with self._database.write() as connection:
                row = datasets.claim(connection, dataset_id, LEASE_SECONDS)
            if row is not None:
                self._end(row, self._answer(row), ticket)
            elif ticket is not None:
                # Another process was quicker.
                ticket.outcome.set_result(None)
        except Exception as error:  # the thread serves others too, and somebody may wait
            log.exception("%s could not be read", dataset_id)
            if ticket is not None and not ticket.outcome.done():
                ticket.outcome.set_exception(error)

    def _answer(self, row: Row[Any]) -> dict[str, Any]:
        """What the child says: `{"done": …}`, `{"problems": …}`, or `{"away": …}` if it is not the file's fault."""
        self._clear_scratch(row.id)
        folder = self._scratch / f"{row.id}-{row.attempt}"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return self._ask_child(row, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _ask_child(self, row: Row[Any], folder: Path) -> dict[str, Any]:
        pipe = subprocess.PIPE
        child = subprocess.Popen([sys.executable, "-m", "models.ingest"], stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            said = self._hear(child, row, json.dumps(self._task(row, folder)).encode())
        finally:
            if child.poll() is None:
                child.kill()
                child.communicate()
        if said is None:
            return {"problems": [too_slow(self._settings.ingest_seconds)]}
        out, complaints = said
        if complaints:
            log.error("%s: the child that read it, which ended with %s: %s", row.id, child.returncode, last(complaints))
        if child.returncode == 0:
            answer: dict[str, Any] = json.loads(out)
            return answer
        if child.returncode < 0:
            return {"problems": [unreadable()]}
        return {"problems": [no_room()]} if row.attempt >= datasets.MOST_ATTEMPTS else {"away": ""}

    def _task(self, row: Row[Any], folder: Path) -> dict[str, Any]:
        """What `models.ingest` takes."""
        settings = self._settings
        return {
            "upload": row.upload,
            "options": row.options,
            "prefix": f"datasets/{row.id}/{row.attempt}",
            "folder": str(folder),
            "memory_bytes": settings.ingest_bytes,
            "unpacked_bytes": settings.unpacked_bytes,
            "storage": settings.storage,
            "data": str(settings.data.absolute()),
            "cache_bytes": settings.cache_bytes,
        }

    def _hear(self, child: Child, row: Row[Any], task: bytes) -> tuple[bytes, bytes] | None:
        """Output and complaints of a child that has ended; None if it takes too long, or if its lease is lost."""
        left: bytes | None = task
        ends_at = time.monotonic() + self._settings.ingest_seconds
        while True:
            try:
                return child.communicate(left, min(RENEW_SECONDS, max(ends_at - time.monotonic(), 0.1)))
            except subprocess.TimeoutExpired:
                left = None
                if time.monotonic() >= ends_at or not self._renew(row):
                    return None

    def _renew(self, row: Row[Any]) -> bool:
        with self._database.write() as connection:
            return datasets.renew(connection, row.id, row.attempt, LEASE_SECONDS)

    def _end(self, row: Row[Any], answer: dict[str, Any], ticket: Ticket | None) -> None:
        if "away" in answer:
            # It is taken up again when its lease has run out.
            if ticket is not None:
                ticket.outcome.set_result(None)
            return
        problems: Problems = answer.get("problems", [])
        if ticket is None:
            self._write(row, answer, is_awaited=False)
            return
        with ticket.lock:
            self._write(row, answer, ticket.is_waiting)
            ticket.outcome.set_result(problems)

    def _write(self, row: Row[Any], answer: dict[str, Any], is_awaited: bool) -> None:
        with self._database.write() as connection:
            is_kept = False
            if "done" in answer:
                is_kept = datasets.finish(connection, row.id, row.attempt, answer["done"])
            elif is_awaited:
                datasets.forget(connection, row.id, row.attempt)
            else:
                datasets.fail(connection, row.id, row.attempt, error_of(answer["problems"]))
        self._storage.delete(row.upload["key"])
        if not is_kept:
            self._storage.delete_all(f"datasets/{row.id}/{row.attempt}/")


def last(complaints: bytes) -> str:
    return complaints.decode("utf-8", "replace")[-2000:]


def error_of(problems: Problems) -> dict[str, Any]:
    """The `error` of a data set that failed."""
    detail = problems[0]["detail"] if len(problems) == 1 else f"{len(problems)} things are wrong with it."
    return {"code": problems[0]["code"], "title": TITLE, "detail": detail, "errors": problems}


def too_slow(seconds: float) -> dict[str, str]:
    detail = f"To read it takes more than {seconds:g} seconds (DESCENT_INGEST_SECONDS)."
    return {"pointer": "/file", "code": "too_slow", "detail": detail, "hint": "Send an NPZ, or fewer rows."}


def no_room() -> dict[str, str]:
    """The log has what it was."""
    detail = f"Its arrays could not be stored in {datasets.MOST_ATTEMPTS} attempts: the disk may be full."
    hint = "Send it again when there is room: as much as the file, and as its arrays twice."
    return {"pointer": "/file", "code": "not_stored", "detail": detail, "hint": hint}


def unreadable() -> dict[str, str]:
    detail = "The process that read it did not survive: the file is broken, or takes too much memory."
    return {"pointer": "/file", "code": "unreadable", "detail": detail, "hint": "Write the file again, or send an NPZ."}
