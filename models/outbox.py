"""The outbox of webhooks: what is to be told is written in the transaction in which it happens, and sent later.

So a webhook is told of nothing that was rolled back, and whatever was committed it is told at least once, whatever is
killed between. Who sends it: `models/deliveries.py`.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, insert, select

from models.database import database_now
from models.definitions.callback import EventName
from models.ids import new_id
from models.questions import Question
from models.tables import PENDING, Delivery, Job, Webhook

PING = "webhook.ping"
FREQUENT: tuple[EventName, ...] = ("job.epoch", "job.checkpoint")
"""Of a job's the next is written only when the last was delivered or given up: there may be a million, and each shows
the job as it is by then."""


class State(StrEnum):
    PENDING = "pending"
    """Waits for its first attempt, or for the next."""
    DELIVERED = "delivered"
    """The receiver answered 2xx."""
    FAILED = "failed"
    """It was given up; `redeliver` tries again."""


_webhooks, _jobs = Webhook.__table__.c, Job.__table__.c
_deliveries: Table = Delivery.__table__  # type: ignore[assignment]
_heard = select(_webhooks.id, _webhooks.owner, _webhooks.events).where(_webhooks.disabled_at.is_(None))
_owner_of_job = select(_jobs.owner).where(_jobs.id == bindparam("job_id")).scalar_subquery()
_of_owner = _heard.where(_webhooks.owner == _owner_of_job, _webhooks.job_id.is_(None))
LISTENERS = Question(_of_owner.union_all(_heard.where(_webhooks.job_id == bindparam("job_id"))))
"""Of a job. Nearly always there is none, and this is all that a webhook costs."""
ADD = insert(_deliveries).values(
    at=database_now(), status=State.PENDING, attempt=0, earlier=0, due_at=database_now(), pending_since=database_now()
)
WAITING_OF_JOB = select(_deliveries.c.webhook_id, _deliveries.c.type).where(
    _deliveries.c.job_id == bindparam("of_job"), PENDING, _deliveries.c.type.in_(FREQUENT)
)


def tell(connection: Connection, job_id: str, kinds: Iterable[str]) -> None:
    """Writes down whom to tell of these events of a job."""
    listeners = LISTENERS.all(connection, job_id=job_id)
    if not listeners:
        return
    wanted = [(webhook, kind) for kind in kinds for webhook in listeners if kind in webhook.events]
    if any(kind in FREQUENT for _, kind in wanted):
        known = {tuple(row) for row in connection.execute(WAITING_OF_JOB, {"of_job": job_id})}
        wanted = [(webhook, kind) for webhook, kind in wanted if not _is_known(known, (webhook.id, kind))]
    if wanted:
        connection.execute(ADD, [_row(webhook.id, webhook.owner, job_id, kind) for webhook, kind in wanted])


def _is_known(known: set[tuple[str, str]], told: tuple[str, str]) -> bool:
    """Whether it waits already; of those of one transaction the first is written."""
    if told in known:
        return True
    if told[1] in FREQUENT:
        known.add(told)
    return False


def _row(webhook_id: str, owner: str, job_id: str | None, kind: str) -> dict[str, Any]:
    row = {"id": new_id("dlv"), "webhook_id": webhook_id, "owner": owner, "job_id": job_id}
    return row | {"type": kind, "attempts": []}


def ping(connection: Connection, webhook: Row[Any]) -> str:
    """A test call, and its id."""
    row = _row(webhook.id, webhook.owner, None, PING)
    connection.execute(ADD, [row])
    return str(row["id"])
