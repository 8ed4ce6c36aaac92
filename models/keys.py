"""API keys: made, listed, replaced and taken back. A key is found by the public start of its secret; of the rest only a
hash is kept, so that whoever reads the database cannot call.

Scopes: `read` asks and predicts, `write` stores and changes, `metrics` reads what a monitoring system watches and
nothing else, `admin` does all of it for all owners and manages keys.
"""

import hashlib
import secrets
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, bindparam, delete, insert, or_, select, update

from models.database import database_now
from models.errors import IllegalMove, NotFound
from models.ids import new_id
from models.questions import Question
from models.tables import ApiKey, Dataset, Job

MARK = "dsc_"
PREFIX_LENGTH = len(MARK) + 8
"""Characters of a secret that are no secret."""
BOOTSTRAP = "key_bootstrap"
"""Owner of what the bootstrap key makes, which is in no table."""


class Scope(StrEnum):
    READ = "read"
    WRITE = "write"
    METRICS = "metrics"
    ADMIN = "admin"


_keys: Table = ApiKey.__table__  # type: ignore[assignment]
BY_PREFIX = Question(select(*_keys.c, database_now().label("now")).where(_keys.c.prefix == bindparam("prefix")))


def hash_of(secret: str) -> str:
    """A fast hash will do: its secret part is 210 random bits, which nobody guesses from a list of words."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def create(
    connection: Connection,
    name: str,
    scopes: Sequence[Scope],
    owner: str | None = None,
    expires_at: float | None = None,
    replaces: str | None = None,
) -> tuple[Row[Any], str]:
    """A new key and its secret, which nobody can read again. Without an owner it is its own."""
    key_id, secret = new_id("key"), MARK + secrets.token_urlsafe(32)
    values = {
        "id": key_id,
        "owner": owner or key_id,
        "name": name,
        "scopes": sorted(set(scopes)),
        "prefix": secret[:PREFIX_LENGTH],
        "hash": hash_of(secret),
        "replaces": replaces,
        "created_at": database_now(),
        "expires_at": expires_at,
    }
    connection.execute(insert(ApiKey).values(values))
    return find(connection, key_id), secret


def find(connection: Connection, key_id: str) -> Row[Any]:
    """A key, with `now`; nobody changes it before a transaction ends.

    Raises:
        NotFound
    """
    query = select(*_keys.c, database_now().label("now")).where(ApiKey.id == key_id)
    row: Any = connection.execute(query.with_for_update()).one_or_none()
    if row is None:
        raise NotFound(f"There is no key {key_id}.")
    return row  # type: ignore[no-any-return]


def list_keys(connection: Connection, before: str | None, limit: int) -> Sequence[Row[Any]]:
    """Newest first, those before an id only."""
    query: Select[Any] = select(*_keys.c, database_now().label("now"))
    if before is not None:
        query = query.where(ApiKey.id < before)
    return connection.execute(query.order_by(ApiKey.id.desc()).limit(limit)).all()


def owns_something(connection: Connection, owner: str) -> bool:
    """Whether this is the owner of a key, a job or a data set."""
    owners = (select(table.id).where(table.owner == owner).exists() for table in (ApiKey, Job, Dataset))
    return owner == BOOTSTRAP or bool(connection.scalar(select(or_(*owners))))


def rotate(
    connection: Connection, old: Row[Any], overlap_seconds: float, expires_at: float | None
) -> tuple[Row[Any], str]:
    """A key of the same owner, name and scopes; the old one holds for so long besides. Unless it is said when, the new
    one expires after as long a life as the old one had.

    Raises:
        IllegalMove: the old one has expired.
    """
    if old.expires_at is not None and old.expires_at <= old.now:
        raise IllegalMove("The key has expired. Make a new one with its `owner`.")
    if expires_at is None and old.expires_at is not None:
        expires_at = old.now + old.expires_at - old.created_at
    end = min(old.now + overlap_seconds, old.expires_at or float("inf"))
    connection.execute(update(ApiKey).where(ApiKey.id == old.id).values(expires_at=end))
    return create(connection, old.name, old.scopes, old.owner, expires_at, replaces=old.id)


def remove(connection: Connection, key_id: str) -> None:
    """Takes a key back; what it made stays its owner's."""
    connection.execute(delete(ApiKey).where(ApiKey.id == key_id))


def note_use(connection: Connection, key_id: str) -> None:
    connection.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=database_now()))
