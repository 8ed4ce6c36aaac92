"""The log of a webhook: what it was told, and again."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from models.database import database_now
from models.errors import NotFound
from models.ids import bound
from models.outbox import State
from models.tables import PENDING, Delivery

SWEPT_AT_ONCE = 1000

_deliveries = Delivery.__table__


def deliveries_of(
    connection: Connection, webhook_id: str, status: str | None, before: str | None, limit: int
) -> Sequence[Row[Any]]:
    """Those of a webhook, newest first."""
    query = select(*(column for column in _deliveries.c if column.name != "body"))
    query = query.where(Delivery.webhook_id == webhook_id)
    if status is not None:
        query = query.where(Delivery.status == status)
    if before is not None:
        query = query.where(Delivery.id < before)
    return connection.execute(query.order_by(Delivery.id.desc()).limit(limit)).all()


def find(connection: Connection, webhook_id: str, delivery_id: str) -> Row[Any]:
    """
    Raises:
        NotFound
    """
    query = select(_deliveries).where(Delivery.id == delivery_id, Delivery.webhook_id == webhook_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no delivery {delivery_id} of this webhook.")
    return row


def redeliver(connection: Connection, delivery_id: str) -> None:
    """Sends it again: the same message, with all attempts before it. Harmless for one that waits."""
    again = {"status": State.PENDING, "earlier": Delivery.attempt, "ended_at": None}
    times = {"due_at": database_now(), "pending_since": database_now()}
    connection.execute(update(Delivery).where(Delivery.id == delivery_id, ~PENDING).values(again | times))


def sweep(connection: Connection, kept_seconds: float) -> None:
    """Forgets what ended long ago; some of it, for others have to write too."""
    old = select(Delivery.id).where(Delivery.id < bound("dlv", time.time() - kept_seconds), ~PENDING)
    connection.execute(delete(Delivery).where(Delivery.id.in_(old.order_by(Delivery.id).limit(SWEPT_AT_ONCE))))
