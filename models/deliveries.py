"""Deliveries: whichever process of the API claims a message sends it, and writes down what came of it.

The claim is a lease, as with jobs: every write is fenced by the attempt, and what a lost sender held is another's when
its time is over.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Double, Table, bindparam, delete, select, update

from models.database import database_now
from models.outbox import State
from models.tables import PENDING, Delivery, Webhook
from models.webhooks import GONE, disabled

MOST_ATTEMPTS_SHOWN = 20
JITTER = 0.2
"""Share by which a pause may be longer than it is said to be, so that what failed together does not come again so."""
LONGEST_PAUSE_SECONDS = 86_400.0
"""That a receiver may ask for by `Retry-After`."""

_webhooks = Webhook.__table__.c
_deliveries: Table = Delivery.__table__  # type: ignore[assignment]


@dataclass(frozen=True)
class Message:
    """A delivery that a sender holds, and what it needs to send it."""

    id: str
    attempt: int
    number: int
    """Of this attempt among those since it was last asked for; the first is 1."""
    owner: str
    webhook_id: str
    job_id: str | None
    type: str
    at: float
    body: str | None
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    """Those that hold now, the newest first."""


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt."""

    status: int | None
    """Of HTTP; None where there was no answer."""
    error: str | None = None
    """None where it was delivered."""
    detail: str | None = None
    answer: str | None = None
    """How the body of the answer begins."""
    seconds: float = 0.0
    retry_after: float | None = None
    """Seconds that the receiver asks for."""
    is_final: bool = False
    """It would be the same again."""
    is_gone: bool = False
    """The receiver wants to hear nothing more."""


_is_due = _deliveries.c.due_at <= database_now()
_is_not_busy = _deliveries.c.owner.not_in(bindparam("busy", expanding=True))
NEXT = select(_deliveries.c.id).where(_is_due, _is_not_busy).order_by(_deliveries.c.due_at).limit(1)
"""A question of its own too, so that nobody who finds nothing has to write."""
CLAIM = (
    update(_deliveries)
    .where(_deliveries.c.id == NEXT.with_for_update(skip_locked=True).scalar_subquery())
    .values(attempt=_deliveries.c.attempt + 1, due_at=database_now() + bindparam("lease_seconds", type_=Double))
    .returning(
        *(_deliveries.c[name] for name in ("id", "attempt", "earlier", "owner", "webhook_id", "job_id")),
        *(_deliveries.c[name] for name in ("type", "at", "body")),
    )
)
RECEIVER = select(
    *(_webhooks.url, _webhooks.secret, _webhooks.old_secret, _webhooks.disabled_at, _webhooks.disabled_reason),
    (_webhooks.old_secret_until > database_now()).label("old_holds"),
).where(_webhooks.id == bindparam("webhook_id"))


def is_due(connection: Connection, busy: Collection[str] = ()) -> bool:
    """Whether there is anything to send now, but for these owners."""
    return connection.execute(NEXT, {"busy": list(busy)}).first() is not None


def claim(connection: Connection, lease_seconds: float, busy: Collection[str] = ()) -> Message | None:
    """Takes what has waited longest, but for these owners; None where there is nothing, or nobody to send it to any
    more. A sender that has not said what came of it after `lease_seconds` is taken for dead."""
    row = connection.execute(CLAIM, {"busy": list(busy), "lease_seconds": lease_seconds}).one_or_none()
    if row is None:
        return None
    receiver = connection.execute(RECEIVER, {"webhook_id": row.webhook_id}).one_or_none()
    if receiver is None:
        connection.execute(delete(Delivery).where(Delivery.id == row.id))
        return None
    secrets = (receiver.secret, *((receiver.old_secret,) if receiver.old_holds else ()))
    place = (row.id, row.attempt, row.attempt - row.earlier, row.owner, row.webhook_id, row.job_id)
    message = Message(*place, row.type, row.at, row.body, receiver.url, secrets)
    if receiver.disabled_at is not None:
        settle(connection, message, Outcome(None, "disabled", receiver.disabled_reason, is_final=True), ())
        return None
    return message


def keep_body(connection: Connection, message: Message, body: str) -> None:
    """All attempts are to send the same: who has had one may throw away the others."""
    connection.execute(update(Delivery).where(*_fenced(message)).values(body=body))


def settle(connection: Connection, message: Message, outcome: Outcome, pauses: Sequence[float]) -> bool:
    """Writes down what came of an attempt: whether it is delivered, given up, or due again after the next of these
    `pauses`. False where it is another sender's by now."""
    if outcome.is_gone:  # first, as everybody does who locks a webhook and its deliveries
        still = Webhook.id == message.webhook_id, Webhook.disabled_at.is_(None)
        connection.execute(update(Webhook).where(*still).values(disabled(GONE)))
    query = select(Delivery.attempts, database_now().label("now")).where(*_fenced(message))
    row = connection.execute(query.with_for_update()).one_or_none()
    if row is None:
        return False
    told = {name: getattr(outcome, name) for name in ("status", "error", "detail", "answer", "seconds")}
    attempts = [*row.attempts, {"attempt": message.attempt, "at": row.now} | told]
    values: dict[str, Any] = {"attempts": attempts[-MOST_ATTEMPTS_SHOWN:]}
    if outcome.error is None:
        values |= _ended(State.DELIVERED)
    elif outcome.is_final or outcome.is_gone or message.number > len(pauses):
        values |= _ended(State.FAILED)
    else:
        values |= {"due_at": database_now() + pause(pauses[message.number - 1], outcome.retry_after)}
    connection.execute(update(Delivery).where(Delivery.id == message.id).values(values))
    return True


def pause(seconds: float, asked: float | None) -> float:
    """Until the next attempt: a little longer than it has to be, and not shorter than the receiver asks for."""
    least = max(seconds, min(asked or 0.0, LONGEST_PAUSE_SECONDS))
    return least * (1 + random.uniform(0, JITTER))


def _fenced(message: Message) -> tuple[Any, ...]:
    return Delivery.id == message.id, Delivery.attempt == message.attempt, PENDING


def _ended(state: State) -> dict[str, Any]:
    return {"status": state, "due_at": None, "pending_since": None, "ended_at": database_now()}
