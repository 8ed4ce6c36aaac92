"""What a webhook is told: `{type, timestamp, data}`, with the job as GET shows it."""

from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection

from models import queries
from models.deliveries import Message
from models.owners import EVERYBODY
from service.known_queue import KnownQueue
from service.resource import show_job
from service.times import rfc3339


def body_of(connection: Connection, message: Message, queue: KnownQueue, max_attempts: int) -> str:
    """Of a job as it is now.

    Raises:
        NotFound: it was deleted.
    """
    told = {"type": message.type, "timestamp": rfc3339(message.at)}
    return to_json(told | {"data": _data(connection, message, queue, max_attempts)}, inf_nan_mode="null").decode()


def _data(connection: Connection, message: Message, queue: KnownQueue, max_attempts: int) -> dict[str, Any]:
    if message.job_id is None:
        return {"webhook": message.webhook_id}
    row = queries.find_job(connection, message.job_id, EVERYBODY)
    [place] = queue.places(connection, [row])
    return show_job(row, place, max_attempts)
