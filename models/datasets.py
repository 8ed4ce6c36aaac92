"""Uploaded data sets: registered, read, corrected, removed. Each move is one guarded statement; bytes are elsewhere.

ingesting -> ready
          -> failed
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from models.database import database_now, lease_clock, lease_now
from models.definitions.uploaded import Uploaded
from models.errors import IllegalMove, InUse, NotFound
from models.ingest.options import Options
from models.owners import seen
from models.storage import Stored
from models.tables import Dataset, Job, Use
from models.uploads import Upload, Uploads

INGESTING, READY, FAILED = "ingesting", "ready", "failed"
MOST_ATTEMPTS = 3
MOST_NAMED = 5
"""Jobs that a refusal names."""


def fingerprint(sha256: str, options: Options) -> str:
    """Of the bytes and all that is said of them. Two data sets of an owner never have the same."""
    said = json.dumps(options.plain(), sort_keys=True)
    return hashlib.sha256(f"{sha256} {said}".encode()).hexdigest()


def register(
    connection: Connection, dataset_id: str, owner: str, name: str, options: Options, upload: Stored
) -> tuple[str, bool]:
    """Writes down a new data set, whose bytes are stored, as `ingesting`; gives its id and whether it is new: the same
    bytes with the same options are the data set that is there already. One that failed makes room."""
    mark = fingerprint(upload.sha256, options)
    same = Dataset.owner == owner, Dataset.fingerprint == mark
    connection.execute(delete(Dataset).where(*same, Dataset.status == FAILED))
    try:
        with connection.begin_nested():
            connection.execute(
                insert(Dataset).values(
                    id=dataset_id,
                    owner=owner,
                    name=name,
                    status=INGESTING,
                    format="" if options.format == "auto" else options.format,
                    size=upload.size,
                    sha256=upload.sha256,
                    fingerprint=mark,
                    options=options.plain(),
                    upload=upload.plain(),
                    created_at=database_now(),
                    attempt=0,
                )
            )
    except IntegrityError:
        known = connection.scalar(select(Dataset.id).where(*same))
        if known is None:
            raise
        return known, False
    return dataset_id, True


_is_waiting = (
    Dataset.status == INGESTING,
    or_(Dataset.lease_until.is_(None), Dataset.lease_until < lease_now(), Dataset.lease_clock != lease_clock()),
)
"""It is to be read, and nobody reads it."""


def claim(connection: Connection, dataset_id: str, lease_seconds: float) -> Row[Any] | None:
    """Takes one that is to be read and that nobody reads; gives its row, or None."""
    taken = (
        update(Dataset)
        .where(Dataset.id == dataset_id, *_is_waiting)
        .values(attempt=Dataset.attempt + 1, lease_until=lease_now() + lease_seconds, lease_clock=lease_clock())
        .returning(*Dataset.__table__.c)
    )
    return connection.execute(taken).one_or_none()


def renew(connection: Connection, dataset_id: str, attempt: int, lease_seconds: float) -> bool:
    """Keeps it for this attempt; false if it is not its own any more."""
    kept = update(Dataset).where(*_held(dataset_id, attempt)).values(lease_until=lease_now() + lease_seconds)
    return connection.execute(kept).rowcount == 1


def finish(connection: Connection, dataset_id: str, attempt: int, done: dict[str, Any]) -> bool:
    """It is ready: `done` is what `models.ingest` says; false if it is not this attempt's any more."""
    values = {
        "status": READY,
        "format": done["format"],
        "uploaded": done["uploaded"],
        "kind": done["uploaded"]["kind"],
        "task": done["uploaded"]["task"],
        "summary": done["summary"],
        "upload": None,
        "ready_at": database_now(),
    }
    return connection.execute(update(Dataset).where(*_held(dataset_id, attempt)).values(values)).rowcount == 1


def fail(connection: Connection, dataset_id: str, attempt: int, error: dict[str, Any]) -> None:
    """It cannot be read, if it is still this attempt's."""
    values = {"status": FAILED, "error": error, "upload": None}
    connection.execute(update(Dataset).where(*_held(dataset_id, attempt)).values(values))


def forget(connection: Connection, dataset_id: str, attempt: int) -> None:
    """It could not be read, and whoever sent it was told so at once: nothing of it stays."""
    connection.execute(delete(Dataset).where(*_held(dataset_id, attempt)))


def _held(dataset_id: str, attempt: int) -> tuple[Any, ...]:
    return Dataset.id == dataset_id, Dataset.status == INGESTING, Dataset.attempt == attempt


def abandoned(connection: Connection) -> Sequence[str]:
    """Those that are to be read, and that nobody reads any more."""
    return connection.scalars(select(Dataset.id).where(*_is_waiting)).all()


def needed_keys(connection: Connection, dataset_ids: Sequence[str]) -> set[str]:
    """The keys of all bytes that these data sets need; of one that is being read none of its arrays is left out."""
    rows = connection.execute(select(Dataset.upload, Dataset.uploaded).where(Dataset.id.in_(dataset_ids)))
    needed = set()
    for upload, uploaded in rows:
        needed |= {upload["key"]} if upload else set()
        needed |= {array["key"] for array in (uploaded or {"arrays": {}})["arrays"].values()}
    return needed


def find(connection: Connection, dataset_id: str, owner: str) -> Row[Any]:
    """The row of an uploaded data set.

    Raises:
        NotFound: there is no such one of this owner.
    """
    mine = Dataset.id == dataset_id, seen(Dataset.owner, owner)
    row = connection.execute(select(Dataset.__table__).where(*mine)).one_or_none()
    if row is None:
        raise NotFound(f"There is no data set {dataset_id[:100]}.")
    return row


def list_datasets(
    connection: Connection, owner: str, before: str | None, limit: int, **wanted: str | None
) -> Sequence[Row[Any]]:
    """Uploaded ones, newest first, those before an id only, with these values of their columns."""
    query = select(Dataset.__table__).where(seen(Dataset.owner, owner))
    for column, value in wanted.items():
        if value is not None:
            query = query.where(Dataset.__table__.c[column] == value)
    if before is not None:
        query = query.where(Dataset.id < before)
    return connection.execute(query.order_by(Dataset.id.desc()).limit(limit)).all()


def correct(connection: Connection, row: Row[Any], name: str, options: Options, uploaded: Uploaded) -> None:
    """What a data set is called, and what is said of its columns.

    Raises:
        IllegalMove: another one has the same bytes and options, or it was changed meanwhile.
    """
    mark = fingerprint(row.sha256, options)
    values = {
        "name": name,
        "options": options.plain(),
        "fingerprint": mark,
        "uploaded": uploaded.plain(),
        "task": uploaded.task,
    }
    same = Dataset.id == row.id, Dataset.owner == row.owner, Dataset.fingerprint == row.fingerprint
    try:
        with connection.begin_nested():
            moved = connection.execute(update(Dataset).where(*same, Dataset.status == READY).values(values)).rowcount
    except IntegrityError:
        other = select(Dataset.id).where(Dataset.owner == row.owner, Dataset.fingerprint == mark)
        detail = f"{connection.scalar(other)} has the same bytes and the same options already."
        raise IllegalMove(detail) from None
    if not moved:
        raise IllegalMove("The data set was changed meanwhile; read it again.")


def remove(connection: Connection, dataset_id: str, owner: str) -> None:
    """Takes it away; its bytes are the caller's to delete, once this is committed.

    Raises:
        NotFound
        InUse: jobs use it.
    """
    find(connection, dataset_id, owner)
    try:
        with connection.begin_nested():
            connection.execute(delete(Dataset).where(Dataset.id == dataset_id, seen(Dataset.owner, owner)))
    except IntegrityError:
        jobs = select(Use.job_id).join(Job, Job.id == Use.job_id).where(Use.dataset_id == dataset_id)
        named = connection.scalars(jobs.order_by(Use.job_id).limit(MOST_NAMED + 1)).all()
        more = ", ..." if len(named) > MOST_NAMED else ""
        used = f"Jobs use it: {', '.join(named[:MOST_NAMED])}{more}. Delete those first."
        raise InUse(used) from None


def uploads_of(connection: Connection, owner: str) -> Uploads:
    """The uploads that a job of an owner may name."""

    def find_upload(dataset_id: str) -> Upload | None:
        columns = Dataset.id, Dataset.status, Dataset.uploaded
        mine = Dataset.id == dataset_id, Dataset.owner == owner
        row = connection.execute(select(*columns).where(*mine)).one_or_none()
        if row is None:
            return None
        return Upload(row.id, row.status, row.uploaded and Uploaded.model_validate(row.uploaded))

    return find_upload


def lock(connection: Connection, dataset_ids: Sequence[str]) -> set[str]:
    """Which of these data sets there are; none of them goes before the transaction has ended."""
    if not dataset_ids:
        return set()
    found = select(Dataset.id).where(Dataset.id.in_(dataset_ids)).with_for_update(read=True, key_share=True)
    return set(connection.scalars(found))
