"""Webhooks: who is told what. What is to be told to them, and what came of it, is in `models/deliveries.py`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, select, update
from sqlalchemy import insert as insert_into

from models.database import database_now
from models.definitions.callback import Callback
from models.errors import IllegalMove, NotFound, TooManyWebhooks
from models.ids import new_id
from models.owners import seen
from models.signatures import new_secret
from models.tables import Delivery, Webhook

MOST = 50
"""Webhooks of an owner; callbacks of jobs are not counted."""
BY_CLIENT = "a client disabled it"
GONE = "the receiver answered 410 Gone"

_webhooks = Webhook.__table__.c
SHOWN = select(*(column for column in _webhooks if "secret" not in column.name), _webhooks.old_secret_until)
"""No statement but a sender's reads a secret."""


def create(
    connection: Connection, owner: str, name: str, url: str, events: Sequence[str], secret: str | None = None
) -> tuple[Row[Any], str]:
    """A new webhook and its secret, which is shown nowhere else.

    Raises:
        TooManyWebhooks: the owner has MOST.
    """
    mine = select(func.count()).where(Webhook.owner == owner, Webhook.job_id.is_(None))
    if (connection.scalar(mine) or 0) >= MOST:
        raise TooManyWebhooks(f"You have {MOST} webhooks, the most of an owner. Delete one that is not needed.")
    row = row_of(owner, None, url, events, secret) | {"name": name}
    connection.execute(insert_into(Webhook).values(row))
    return find(connection, row["id"], owner), row["secret"]


def row_of(owner: str, job_id: str | None, url: str, events: Sequence[str], secret: str | None) -> dict[str, Any]:
    """Of a new webhook."""
    values = {"id": new_id("whk"), "owner": owner, "job_id": job_id, "name": "", "url": url, "events": list(events)}
    return values | {"secret": secret or new_secret(), "created_at": database_now()}


def add_callback(connection: Connection, owner: str, job_id: str, callback: Callback, parent: str | None) -> None:
    """The webhook of a new job. Without a secret of its own it goes on with that of its parent's."""
    secret = callback.secret
    if secret is None and parent is not None:
        secret = connection.scalar(select(Webhook.secret).where(Webhook.job_id == parent))
    row = row_of(owner, job_id, callback.url, callback.events, secret)
    connection.execute(insert_into(Webhook).values(row))


def find(connection: Connection, webhook_id: str, owner: str) -> Row[Any]:
    """
    Raises:
        NotFound
    """
    row: Any = connection.execute(SHOWN.where(Webhook.id == webhook_id, seen(Webhook.owner, owner))).one_or_none()
    if row is None:
        raise NotFound(f"There is no webhook {webhook_id}.")
    return row  # type: ignore[no-any-return]


def list_webhooks(
    connection: Connection, owner: str, job_id: str | None, before: str | None, limit: int
) -> Sequence[Row[Any]]:
    """Those of an owner, or the callback of one job; newest first."""
    query: Select[Any] = SHOWN.where(seen(Webhook.owner, owner))
    query = query.where(Webhook.job_id.is_(None) if job_id is None else Webhook.job_id == job_id)
    if before is not None:
        query = query.where(Webhook.id < before)
    return connection.execute(query.order_by(Webhook.id.desc()).limit(limit)).all()


def change(connection: Connection, webhook_id: str, owner: str, values: dict[str, Any]) -> None:
    """Of `name url events enabled` those that are given.

    Raises:
        NotFound
    """
    found = find(connection, webhook_id, owner)
    values = dict(values)
    enabled = values.pop("enabled", None)
    if enabled is not None and enabled != (found.disabled_at is None):
        values |= {"disabled_at": None, "disabled_reason": None} if enabled else disabled(BY_CLIENT)
    if values:
        connection.execute(update(Webhook).where(Webhook.id == webhook_id).values(values))


def disabled(reason: str) -> dict[str, Any]:
    return {"disabled_at": database_now(), "disabled_reason": reason}


def require_enabled(webhook: Row[Any]) -> None:
    """
    Raises:
        IllegalMove
    """
    if webhook.disabled_at is not None:
        raise IllegalMove(f"The webhook is disabled: {webhook.disabled_reason}. Enable it first.")


def rotate(connection: Connection, webhook_id: str, owner: str, secret: str | None, overlap_seconds: float) -> str:
    """Gives it a new secret; what is sent is signed by the old one too for so long. Nothing changes where it has this
    one already: who repeats the call must not lose the old one.

    Raises:
        NotFound
    """
    find(connection, webhook_id, owner)
    secret = secret or new_secret()
    old = {"old_secret": Webhook.secret, "old_secret_until": database_now() + overlap_seconds}
    is_other = Webhook.id == webhook_id, Webhook.secret != secret
    connection.execute(update(Webhook).where(*is_other).values(old | {"secret": secret}))
    return secret


def remove(connection: Connection, webhook_id: str, owner: str) -> None:
    """With its log, and with what is yet to be told to it.

    Raises:
        NotFound
    """
    find(connection, webhook_id, owner)
    connection.execute(delete(Webhook).where(Webhook.id == webhook_id))
    connection.execute(delete(Delivery).where(Delivery.webhook_id == webhook_id))
