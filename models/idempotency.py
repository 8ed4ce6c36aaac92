"""Idempotency keys: what a request made is written down in the very transaction that makes it.

So there is no moment at which a process could die and leave one without the other, and nothing to be cleared up: a key
is in the table if and only if what it made was committed.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from models.database import database_now
from models.errors import DescentError, KeyReused
from models.questions import Question
from models.tables import IdempotencyKey

KEPT_SECONDS = 86_400.0

_keys = IdempotencyKey.__table__.c
_is_it = and_(_keys.owner == bindparam("of_owner"), _keys.key == bindparam("of_key"))
_is_old = _keys.created_at < database_now() - KEPT_SECONDS
FIND = Question(select(_keys.request, _keys.made).where(_is_it, ~_is_old))
FORGET = delete(IdempotencyKey).where(_is_it, _is_old)
INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
KEEP = {
    name: insert(IdempotencyKey).values(created_at=database_now()).on_conflict_do_nothing().returning(_keys.made)
    for name, insert in INSERTS.items()
}


class KeyTaken(DescentError):
    """Another request with this key was committed first."""


@dataclass(frozen=True, order=True)
class Key:
    """A key that a client gave to a request."""

    owner: str
    key: str
    request: str
    """Fingerprint of the call and its body."""


def fingerprint(call: str, body: Any) -> str:
    """Equal for bodies that are equal as JSON values, whatever the order of their fields and how numbers are spelt."""
    said = json.dumps([call, _plain(body)], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """With 1.0 written as 1. Recursive, for bodies are at most `models.json_body.DEEPEST` levels deep."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def find(connection: Connection, key: Key) -> str | None:
    """The id of what a request with this key made, if there was one within KEPT_SECONDS.

    Raises:
        KeyReused: that was another request.
    """
    row = FIND.one(connection, of_owner=key.owner, of_key=key.key)
    if row is None:
        return None
    if row.request != key.request:
        raise KeyReused
    return str(row.made)


def keep(connection: Connection, made: Iterable[tuple[Key, str]]) -> set[str]:
    """Writes down what requests with these keys are making; gives the ids of what must not be made, for another request
    with its key was committed meanwhile."""
    late = set()
    # In one order: of two transactions with the same keys one waits for the other, and none for each other.
    for key, made_id in sorted(made):
        connection.execute(FORGET, {"of_owner": key.owner, "of_key": key.key})
        values = {"owner": key.owner, "key": key.key, "request": key.request, "made": made_id}
        if connection.scalar(KEEP[connection.dialect.name], values) is None:
            late.add(made_id)
    return late


def keep_one(connection: Connection, key: Key | None, made_id: str) -> None:
    """The same for one request, if it has a key.

    Raises:
        KeyTaken: what it was about to make is not to be committed.
    """
    if key is not None and keep(connection, [(key, made_id)]):
        raise KeyTaken


def sweep(connection: Connection) -> None:
    """Forgets all keys that are old."""
    connection.execute(delete(IdempotencyKey).where(_is_old))
