"""The doorbell: one Celery task that says 'there is work' and carries no job. The queue itself is the table `jobs`."""

from typing import Any

from celery import Celery

from models.settings import Settings

DOORBELL = "descent.doorbell"
"""Name of the task."""

FOLDER_TRANSPORT = "models.folder_broker:FolderTransport"

PUBLISHER_TIMEOUTS = {"socket_timeout": 1, "socket_connect_timeout": 1}


def create_celery(settings: Settings, publisher: bool = False) -> Celery:
    """The Celery app of a worker, or of a `publisher` that would rather lose a ring than wait for a broker."""
    app = Celery("descent", broker=settings.broker, set_as_current=False)
    app.conf.update(
        task_default_queue="descent",
        task_ignore_result=True,
        task_acks_late=False,
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport=FOLDER_TRANSPORT if is_folder(settings) else None,
        broker_transport_options=_transport_options(settings) | (PUBLISHER_TIMEOUTS if publisher else {}),
    )
    return app


def is_folder(settings: Settings) -> bool:
    return settings.broker.startswith("filesystem:")


def _transport_options(settings: Settings) -> dict[str, Any]:
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
