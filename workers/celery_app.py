"""The Celery app of a worker, which listens for the doorbell."""

from celery import Celery

from models.queue import QUEUE, transport, transport_options
from models.settings import Settings


def create_celery(settings: Settings) -> Celery:
    app = Celery("descent", broker=settings.broker, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport=transport(settings),
        broker_transport_options=transport_options(settings),
    )
    return app
