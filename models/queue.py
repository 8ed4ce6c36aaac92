"""The broker, and the one message it carries: it says 'there is work', and names no job. The queue itself is the table
`jobs`.

Celery's client would take three megabytes more of each process of the API, which only rings: so this is Kombu alone,
and the message as Celery's protocol 2 has it. The worker's side is Celery's (`workers/celery_app.py`).
"""

# mypy: disable-error-code="no-untyped-call"
# kombu's own classes have no types.

from typing import Any
from uuid import uuid4

from kombu.connection import Connection
from kombu.messaging import Producer

from models.settings import Settings

DOORBELL = "descent.doorbell"
"""Name of the Celery task."""
QUEUE = "descent"

FOLDER_TRANSPORT = "models.folder_broker:FolderTransport"

PUBLISHER_TIMEOUTS = {"socket_timeout": 1, "socket_connect_timeout": 1}
"""Rather lose a ring than wait for a broker."""


def create_connection(settings: Settings, connect_timeout: float = 4) -> Connection:
    """A connection to the broker, for who publishes; it connects when it is used."""
    options = transport_options(settings) | PUBLISHER_TIMEOUTS
    return Connection(
        settings.broker, transport=transport(settings), transport_options=options, connect_timeout=connect_timeout
    )


def ring(connection: Connection) -> None:
    """Publishes the message, straight into the queue: a worker declares it, and without one there is nobody to wake.

    Raises:
        OperationalError, or one of the connection's own errors: the broker is away.
    """
    mark = str(uuid4())
    headers = {"lang": "py", "task": DOORBELL, "id": mark, "root_id": mark, "parent_id": None, "group": None}
    no_links = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    Producer(connection).publish(
        ((), {}, no_links),
        routing_key=QUEUE,
        headers=headers | {"argsrepr": "()", "kwargsrepr": "{}", "ignore_result": True},
        correlation_id=mark,
        serializer="json",
    )


def is_folder(settings: Settings) -> bool:
    return settings.broker.startswith("filesystem:")


def transport(settings: Settings) -> str | None:
    """None: the one that the URL names."""
    return FOLDER_TRANSPORT if is_folder(settings) else None


def transport_options(settings: Settings) -> dict[str, Any]:
    if not is_folder(settings):
        return {}
    folder = settings.data.absolute() / "broker"
    messages = str(folder / "messages")
    # By default Kombu looks once a second.
    return {
        "data_folder_in": messages,
        "data_folder_out": messages,
        "control_folder": str(folder / "control"),
        "polling_interval": 0.05,
    }
